"""Slow changes of the whole picture: a camera's exposure and white balance follow the screen.

Smoothing would lag behind such a change and answer it with a veil over everything. It is told from
flicker by being steady: what one picture gains the next one does not lose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines.smooth.robust import deviation, geman_mcclure

Kind = Literal["brightness", "tint"]
"""How a plane changes: `brightness` by a gain, as exposure changes luma (and RGB); `tint` by an
offset, as white balance moves chroma. Both at once, fitted to pictures that never lie on each other
perfectly, would fade them: a fit to what is blurred has too small a slope."""

_TAU_S = 0.15
"""Over so long changes are averaged: a few pictures, so that pulses of a codec cancel out."""
_STEPS = 3
_DEVIATIONS: dict[Kind, float] = {"brightness": 0.02, "tint": 2.0}
"""From one picture to the next, in 1 and in 8-bit levels: decides where a picture tells nothing."""

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Tone:
    """Of a plane: levels become `gain * level + offset`, 8-bit levels."""

    gain: float = 1.0
    offset: float = 0.0


class Drift:
    """Follows how fast each plane's tone changes.

    Args:
        kinds: How each plane does.
    """

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = list(kinds)
        self._rates = [0.0] * len(kinds)  # a second
        self._known = [0] * len(kinds)

    def forget(self) -> None:
        """Another scene begins."""
        self._rates = [0.0] * len(self._kinds)
        self._known = [0] * len(self._kinds)

    def step(self, elapsed_s: float) -> list[Tone]:
        """Return what becomes of the past within so many seconds if it goes on like that."""
        return [
            Tone(gain=1 + rate * elapsed_s)
            if kind == "brightness"
            else Tone(offset=rate * elapsed_s)
            for kind, rate in zip(self._kinds, self._rates, strict=True)
        ]

    def learn(self, plane: int, before: Values, after: Values, *, elapsed_s: float) -> None:
        """Take a picture's change since the one before.

        Args:
            plane: Which plane.
            before: Levels of the plane, in 8-bit levels.
            after: The same places in the present picture.
            elapsed_s: Seconds between the two.
        """
        change = tone_change(before.ravel(), after.ravel(), self._kinds[plane])
        self._known[plane] += 1
        # The first changes are averaged: a camera adapts most when it has just been started.
        share = max(1 / self._known[plane], 1 - math.exp(-elapsed_s / _TAU_S))
        self._rates[plane] += share * (change / elapsed_s - self._rates[plane])


def tone_change(before: Values, after: Values, kind: Kind) -> float:
    """Return by what most levels changed: the gain less 1, or the offset in 8-bit levels.

    Geman-McClure as for motion: parts that show something else do not count.

    Args:
        before: (N,) levels.
        after: (N,) levels.
        kind: Which of the two.
    """
    change, found = after - before, 0.0
    for _ in range(_STEPS):
        error = np.float32(found) * before if kind == "brightness" else np.float32(found)
        error = change - error
        spread = deviation(error) + 0.1
        weights = geman_mcclure(error, 2 * spread)
        # A ratio of sums, no regression: `before` was moved and is a little blurred, and a slope
        # fitted to that would be off. Neighbouring blocks err alike: a tenth of them counts.
        count = float(weights.sum())
        total = float(weights @ before) if kind == "brightness" else count
        level = max(total / count, 1e-3)
        prior = 10 * spread**2 / (_DEVIATIONS[kind] ** 2 * level)
        found = float(weights @ change) / (total + prior)
    return found
