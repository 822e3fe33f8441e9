"""Squares of pictures to look at: before, after, and what was taken away."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_SIDE = 256
_REMOVED_GAIN = 4


@dataclass(frozen=True)
class Crop:
    """A square of a picture before and after, (h, w, 3) uint8 RGB each."""

    before: Picture
    after: Picture
    truth: Picture | None = None

    @property
    def removed(self) -> Picture:
        """The residual, four times as strong, on grey."""
        removed = (self.before.astype(np.int16) - self.after) * _REMOVED_GAIN + 128
        shown: Picture = np.clip(removed, 0, 255).astype(np.uint8)
        return shown


def crop_at_most(
    energy: NDArray[np.float32], before: Picture, after: Picture, truth: Picture | None = None
) -> Crop:
    """Return the square of 256 pixels, or what the picture has of it, that holds most energy.

    Args:
        energy: What the square is chosen by, (H, W).
        before: (H, W, 3) uint8 RGB.
        after: The same shape.
        truth: The same shape.
    """
    held = cv2.boxFilter(energy, -1, (_SIDE, _SIDE), borderType=cv2.BORDER_CONSTANT)
    row, column = np.unravel_index(int(held.argmax()), held.shape)
    height, width = energy.shape
    top = int(np.clip(row - _SIDE // 2, 0, max(0, height - _SIDE)))
    left = int(np.clip(column - _SIDE // 2, 0, max(0, width - _SIDE)))
    here = (slice(top, top + _SIDE), slice(left, left + _SIDE))
    return Crop(
        before[here].copy(), after[here].copy(), None if truth is None else truth[here].copy()
    )
