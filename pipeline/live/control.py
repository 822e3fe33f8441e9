"""What can be changed while a camera runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pipeline.config import SmoothConfig, parse_smoothing

if TYPE_CHECKING:
    from engines.engine import Smoothing


@dataclass(frozen=True, kw_only=True)
class Values:
    """What is in force."""

    strength: float
    """Share of the found fringes to remove, 0 to 1."""
    smoothing: Literal["off", "auto"] | float
    """As `smooth.seconds` of the configuration."""
    bypass: bool = False
    """Show pictures as they came."""


class LiveControl:
    """The settings of one camera; every call is safe from any thread.

    Args:
        values: To begin with.
        deband: Of smoothing; stays as it is.
        cleaned: Whether there is a network at work.
    """

    def __init__(self, values: Values, *, deband: Literal["auto", "off"], cleaned: bool) -> None:
        self._lock = threading.Lock()
        self._values, self._deband, self._cleaned = values, deband, cleaned
        self._smoothing = self._chosen(values)

    @property
    def now(self) -> Values:
        """What is in force, all of one moment."""
        with self._lock:
            return self._values

    @property
    def smoothing(self) -> Smoothing | None:
        """What an engine is told; asked for every picture."""
        with self._lock:
            return self._smoothing

    def values(self) -> Mapping[str, object]:
        """See `pipeline.live.web.camera.Control`."""
        now = self.now
        return {"strength": now.strength, "smoothing": now.smoothing, "bypass": now.bypass}

    def set(self, name: str, value: object) -> None:
        """Change one of them at once.

        Raises:
            ValueError: There is no such name or it cannot have that value, in words.
        """
        with self._lock:
            self._values = _changed(self._values, name, value)
            self._smoothing = self._chosen(self._values)

    def _chosen(self, values: Values) -> Smoothing | None:
        config = SmoothConfig(seconds=values.smoothing, deband=self._deband)
        return config.chosen(cleaned=self._cleaned and values.strength > 0)


def _changed(values: Values, name: str, value: object) -> Values:
    if name == "strength":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ValueError(f"strength: must be 0 to 1, got {value!r}")
        return replace(values, strength=float(value))
    if name == "smoothing":
        try:
            return replace(values, smoothing=parse_smoothing(value))
        except ValueError as error:
            raise ValueError(f"smoothing: {error}") from error
    if name == "bypass":
        if not isinstance(value, bool):
            raise ValueError(f"bypass: must be true or false, got {value!r}")
        return replace(values, bypass=value)
    raise ValueError(f"{name!r}: there are strength, smoothing and bypass")
