"""How much flicker smoothing takes away, counted in blocks as it goes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from engines.engine import Flicker
from engines.smooth.motion import Homography, at_scale
from engines.smooth.trust import BLOCK, Blocks

_TRUSTED = 0.5
_SAMPLED = 3
"""That leaves 3,700 blocks of 1080p."""


@dataclass(frozen=True)
class Sample:
    """Every so manieth block across and down: enough to tell how a picture's levels change."""

    row: int
    column: int
    """Of the first."""

    @classmethod
    def at(cls, turn: int) -> Sample:
        """Return the sample for a picture: in turn, all blocks are taken."""
        return cls(turn % _SAMPLED, turn // _SAMPLED % _SAMPLED)

    def of(self, blocks: Blocks, homography: Homography | None = None) -> Blocks:
        """Return the sample of values of blocks, where the picture is now.

        Args:
            blocks: Of a picture.
            homography: From the present to that picture in pixels; None where it lies in place.
        """
        height, width = blocks.shape
        row, column = self.row % height, self.column % width
        if homography is None:
            return blocks[row::_SAMPLED, column::_SAMPLED]
        to_block = np.array([[_SAMPLED, 0, column], [0, _SAMPLED, row], [0, 0, 1]])
        moved = cv2.warpPerspective(
            blocks,
            at_scale(homography, BLOCK, BLOCK) @ to_block,
            (math.ceil((width - column) / _SAMPLED), math.ceil((height - row) / _SAMPLED)),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(moved, np.float32)


class FlickerTally:
    """Counts changes from picture to picture before and after smoothing, where nothing happened."""

    def __init__(self) -> None:
        self._last: Blocks | None = None
        self._frames = 0
        self._sums = np.zeros(2)

    def begin(self, means: Blocks) -> None:
        """Take the first picture of a scene: the result is the picture."""
        self._last = means

    def add(
        self,
        change: Blocks,
        after: Blocks,
        *,
        trust: Blocks,
        homography: Homography | None,
        sample: Sample,
    ) -> None:
        """Count a picture.

        Args:
            change: Of the picture as it was cleaned from the one before: mean luma of the sample,
                in 8-bit levels.
            after: Mean luma of each block once it was smoothed.
            trust: How far each block's past is trusted, 0..1.
            homography: From the present to the past in pixels; None where it lies in place.
            sample: Which blocks count.
        """
        assert self._last is not None
        still = sample.of(trust) >= _TRUSTED
        if still.any():
            smoothed = sample.of(after) - sample.of(self._last, homography)
            for index, values in enumerate((change, smoothed)):
                self._sums[index] += float(np.abs(values[still]).mean())
            self._frames += 1
        self._last = after

    @property
    def flicker(self) -> Flicker | None:
        """What was counted; None where no picture had a past."""
        if not self._frames:
            return None
        before, after = (self._sums / self._frames).tolist()
        return Flicker(self._frames, before, after)
