"""Clean at half the size: a quarter of the arithmetic, for a machine that cannot keep up.

What is subtracted is found in a picture of half the height and width and enlarged; fringes of two
or three samples stay, detail is untouched. Nothing of the picture itself is ever enlarged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from engines.engine import DoneRequest, Moment, Plane, Planes, check_pictures

if TYPE_CHECKING:
    from engines.engine import Engine, Flicker, PictureFormat, Session


class HalfSession:
    """A session of `engine` for pictures of half the size; one request at a time, not smoothed."""

    depth = 1

    def __init__(self, engine: Engine, picture_format: PictureFormat) -> None:
        self.format = picture_format
        width, height = ((side + 1) // 2 for side in (picture_format.width, picture_format.height))
        self._inner: Session = engine.open(replace(picture_format, width=width, height=height))
        self.batch = self._inner.batch

    @property
    def flicker(self) -> Flicker | None:
        """Nothing is smoothed."""
        return None

    def submit(
        self,
        pictures: Sequence[Planes],
        *,
        strength: float = 1.0,
        moments: Sequence[Moment] = (),
    ) -> DoneRequest:
        """See `Session.submit`; computes before it returns."""
        check_pictures(pictures, self.format, self.batch)
        shapes = self._inner.format.plane_shapes
        halves = [
            tuple(_shrunk(plane, shape) for plane, shape in zip(planes, shapes, strict=True))
            for planes in pictures
        ]
        cleaned = self._inner.submit(halves, strength=strength).result()
        return DoneRequest(
            [
                tuple(_without(*parts, self.format.bits) for parts in zip(*three, strict=True))
                for three in zip(pictures, halves, cleaned, strict=True)
            ]
        )

    def close(self) -> None:
        """See `Session.close`."""
        self._inner.close()


def _shrunk(plane: Plane, shape: tuple[int, int]) -> Plane:
    return cast(Plane, cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_AREA))


def _without(plane: Plane, half: Plane, cleaned: Plane, bits: int) -> Plane:
    """Return a plane less what was taken from its half."""
    # Exact for up to 15 bits of difference; OpenCV resizes no wider integers.
    taken = cv2.subtract(half, cleaned, dtype=cv2.CV_16S if bits < 16 else cv2.CV_32F)
    taken = cv2.resize(taken, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)
    whole = cv2.subtract(plane, taken, dtype=cv2.CV_8U if bits == 8 else cv2.CV_16U)
    if 8 < bits < 16:
        np.minimum(whole, (1 << bits) - 1, out=whole)
    return cast(Plane, whole)
