"""What the page needs to know and may do of one camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.live.access import VideoTrack
from pipeline.live.status import Status

Which = Literal["clean", "original"]
WHICH: tuple[Which, ...] = ("clean", "original")
"""In the order of their numbers in what is sent to the page."""


class Control(Protocol):
    """What can be changed while a camera runs. Both are called in the servers' loop."""

    def values(self) -> Mapping[str, object]:
        """Return what is in force.

        `strength` is 0 to 1, `smoothing` "off", "auto" or seconds, `bypass` a bool.
        """
        ...

    def set(self, name: str, value: object) -> None:
        """Change one of them at once.

        Raises:
            ValueError: There is no such name or it cannot have that value, in words.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class CameraView:
    """One camera. Everything in it is called in the servers' loop, so it must be quick."""

    clean: VideoTrack
    original: VideoTrack
    """The same size as `clean`; its units carry the pts of the cleaned picture they belong to."""
    status: Callable[[], Status]
    control: Control
    request_key: Callable[[Which], None]
    """Make the next picture one that decoding can start at."""
    on_viewers: Callable[[int], None]
    """Told how many look, when that changes: with none, no original needs to be encoded."""

    def __post_init__(self) -> None:
        sizes = {(track.width, track.height) for track in (self.clean, self.original)}
        if len(sizes) > 1:
            raise ValueError(f"both pictures must have the same size, got {sizes = }")
