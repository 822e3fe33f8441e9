"""Slow changes of the whole picture: a camera's exposure and white balance follow the screen.

Smoothing would lag behind such a change and answer it with a veil over everything. It is told from
flicker by being steady: what one picture gains the next one does not lose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TAU_S = 0.15
"""Over so long changes are averaged: a few pictures, so that pulses of a codec cancel out."""
_STEPS = 3
_GAIN_DEVIATION, _OFFSET_DEVIATION = 0.02, 2.0
"""From one picture to the next, in 1 and in 8-bit levels: what flat pictures leave undetermined."""

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Tone:
    """Of a plane: levels become `gain * level + offset`, 8-bit levels."""

    gain: float = 1.0
    offset: float = 0.0


class Drift:
    """Follows how fast each plane's tone changes.

    Args:
        planes: How many.
    """

    def __init__(self, planes: int) -> None:
        self._rates = np.zeros((planes, 2))

    def forget(self) -> None:
        """Another scene begins."""
        self._rates[:] = 0

    def step(self, elapsed_s: float) -> list[Tone]:
        """Return what becomes of the past within so many seconds if it goes on like that."""
        return [Tone(1 + gain, offset) for gain, offset in (self._rates * elapsed_s).tolist()]

    def learn(self, plane: int, before: Values, after: Values, *, elapsed_s: float) -> None:
        """Take a picture's change since the one before.

        Args:
            plane: Which plane.
            before: Levels of the plane, in 8-bit levels.
            after: The same places in the present picture.
            elapsed_s: Seconds between the two.
        """
        change = tone_change(before.ravel(), after.ravel())
        share = 1 - math.exp(-elapsed_s / _TAU_S)
        self._rates[plane] += share * (change / elapsed_s - self._rates[plane])


def tone_change(before: Values, after: Values) -> NDArray[np.float64]:
    """Return the gain less 1 and the offset that turn most levels into the others, (2,).

    Geman-McClure as for motion: parts that show something else do not count.

    Args:
        before: (N,) levels.
        after: (N,) levels.
    """
    features = np.stack([before, np.ones_like(before)])
    change = after - before
    found = np.zeros(2)
    for _ in range(_STEPS):
        error = change - found.astype(np.float32) @ features
        spread = 1.4826 * float(np.median(np.abs(error[::4]))) + 0.1
        weighted = features * np.square(1 / (1 + np.square(error / (2 * spread))))
        # Neighbouring blocks err alike: a tenth of them counts.
        prior = 10 * spread**2 / np.square([_GAIN_DEVIATION, _OFFSET_DEVIATION])
        normal = (weighted @ features.T).astype(np.float64) + np.diag(prior)
        found = np.linalg.solve(normal, (weighted @ change).astype(np.float64))
    return found
