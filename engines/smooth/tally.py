"""How much flicker smoothing takes away, counted in blocks as it goes."""

from __future__ import annotations

import cv2
import numpy as np

from engines.engine import Flicker
from engines.smooth.motion import Homography, at_scale
from engines.smooth.trust import BLOCK, Blocks

_TRUSTED = 0.5


class FlickerTally:
    """Counts changes from picture to picture before and after smoothing, where nothing happened."""

    def __init__(self) -> None:
        self._last: tuple[Blocks, Blocks] | None = None
        self._frames = 0
        self._sums = np.zeros(2)

    def begin(self, means: Blocks) -> None:
        """Take the first picture of a scene: the result is the picture."""
        self._last = means, means

    def add(
        self, before: Blocks, after: Blocks, *, trust: Blocks, homography: Homography | None
    ) -> None:
        """Count a picture.

        Args:
            before: Mean luma of each block of the picture as it was cleaned, in 8-bit levels.
            after: The same once it was smoothed.
            trust: How far each block's past is trusted, 0..1.
            homography: From the present to the past in pixels; None where it lies in place.
        """
        assert self._last is not None
        still = trust >= _TRUSTED
        if still.any():
            for index, (new, old) in enumerate(zip((before, after), self._last, strict=True)):
                moved = old if homography is None else moved_blocks(old, homography)
                self._sums[index] += float(np.abs(new - moved)[still].mean())
            self._frames += 1
        self._last = before, after

    @property
    def flicker(self) -> Flicker | None:
        """What was counted; None where no picture had a past."""
        if not self._frames:
            return None
        before, after = (self._sums / self._frames).tolist()
        return Flicker(self._frames, before, after)


def moved_blocks(blocks: Blocks, homography: Homography) -> Blocks:
    """Return values of blocks where the picture is now."""
    height, width = blocks.shape
    moved = cv2.warpPerspective(
        blocks,
        at_scale(homography, BLOCK, BLOCK),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(moved, np.float32)
