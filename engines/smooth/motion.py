"""How the filmed plane moved from one picture to the next, found on small copies of their luma.

Pictures are aligned with one of them, the anchor: the smallest copies first, until they nearly
agree, then the largest. Moiré sweeps faster than the picture, so it is copies of the *cleaned*
picture that are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.smooth.alignment import (
    IDENTITY,
    Homography,
    Level,
    Slopes,
    Thumbnail,
    Units,
    inverse,
    steep_points,
)

__all__ = ["Homography", "Motion", "MotionEstimator", "Thumbnail", "at_scale", "mapped"]

_Real = NDArray[np.float32]

_TRACKED_WIDTH = 640
"""The widest thumbnail that all steps but the last are taken on."""
_COARSE_WIDTH = 160
"""The widest on which a jump is looked for."""
_LEAST_POINTS = 24

_STIFF_STEPS, _STEPS, _FINE_STEPS = 3, 12, 4
_CONVERGED_PX = 0.05
_NEARLY_CONVERGED = 0.1
"""Pixels of the smallest thumbnail, where a larger one comes next."""

_KEPT = 6
"""Pictures that an anchor serves in a hand: to make one is as much work as to use it."""
_KEPT_ALIGNED, _KEPT_LOSS = 0.8, 0.02
"""Least likeness of the last picture to be kept, and most that it may have lost since the first:
what plays on the screen resembles an older picture less."""

_SAME_SCENE = 0.35
"""Least likeness of a picture to the one before: two scenes have 0.1 to 0.25."""
_WELL_ALIGNED = 0.75
"""Likeness above which no other start is tried."""
_BETTER = 1.1
"""How many times the misfit of a movement standing still must have, or nothing moved: fits find
something over flat pages and under a film. On tripods it is 0.8 to 1.05, in hands 1.3 to 6."""


@dataclass(frozen=True)
class Motion:
    """From the present picture to the marked one."""

    homography: Homography
    """3x3, from the pixel (x, y) of the present full-size picture to that of the marked one,
    counted from the centre of the first pixel."""
    cut: bool = False
    """Nothing of the anchor is found in this one; the homography is the identity."""


class MotionEstimator:
    """Motion of one clip's pictures since one of them, the marked one; remembers thumbnails only.

    They are compared with an anchor, which may be older than the marked one. Its noise is part of
    where each is found, and so no part of the motion between two.

    Args:
        width: Of the full-size picture.
        height: Of the full-size picture.
    """

    def __init__(self, *, width: int, height: int) -> None:
        self._units = Units.of(width, height)
        self._pyramid: list[Thumbnail] = []
        self._anchor: _Anchor | None = None
        self._age = 0  # of the anchor, in pictures
        # From the anchor to the marked picture and the last one, and between the last two; units.
        self._marked = self._last = self._velocity = IDENTITY
        self._likeness = self._first_likeness = 0.0  # of the last picture, the anchor's first one
        self._slopes = np.empty((2, 0, 0), np.int16)

    def follow(self, luma: Thumbnail) -> Motion:
        """Take the next picture and return its motion since the marked one; a cut without one.

        Args:
            luma: Its luma at half its size, (H / 2, W / 2) uint8; kept, not to be written over.
        """
        before, self._pyramid = self._pyramid, _pyramid(luma, _TRACKED_WIDTH)
        found = self._found(before)
        if found is None:
            self._last = self._velocity = IDENTITY
            return Motion(np.eye(3), cut=True)
        self._velocity, self._last = found @ inverse(self._last), found
        back = self._units.to_pixels @ self._marked @ inverse(found) @ self._units.from_pixels
        return Motion(back / back[2, 2])

    def mark(self) -> None:
        """From now on tell motion since the picture that was taken last."""
        least = max(_KEPT_ALIGNED, self._first_likeness - _KEPT_LOSS)
        if self._age < _KEPT and self._likeness >= least:
            self._marked = self._last
        else:
            self.anchor()

    def anchor(self) -> None:
        """From now on tell motion since the picture taken last, and compare with none before it."""
        self._anchor_at(self._pyramid)
        self._marked = IDENTITY

    def _anchor_at(self, pyramid: list[Thumbnail]) -> None:
        """Compare with the last picture from now on."""
        shape = pyramid[-1].shape
        if self._slopes.shape[1:] != shape:
            self._slopes = np.empty((2, *shape), np.int16)
        self._anchor = _Anchor(pyramid, self._units, self._slopes)
        self._last, self._age = IDENTITY, 0

    def _found(self, before: list[Thumbnail]) -> Homography | None:
        """Return the way from the anchor to the present picture, None after a cut.

        Args:
            before: The pyramid of the picture before.
        """
        if self._anchor is None:
            return None
        older = self._age > 0
        found, likeness = self._find(self._anchor, near=older)
        if found is None and older:
            # Something else is shown: the picture before resembles this one more.
            self._marked = self._marked @ inverse(self._last)
            self._anchor_at(before)
            found, likeness = self._find(self._anchor)
        self._age += 1
        self._likeness = likeness
        if self._age == 1:
            self._first_likeness = likeness
        return found

    def _find(self, anchor: _Anchor, *, near: bool = False) -> tuple[Homography | None, float]:
        guess = self._velocity @ self._last
        return anchor.find(self._pyramid, guess, marked=self._marked, near=near)


class _Anchor:
    """A picture to be found again in later ones.

    Args:
        pyramid: Of the picture.
        units: Of the picture.
        slopes: Memory for those of the smallest of the pyramid.
    """

    def __init__(self, pyramid: list[Thumbnail], units: Units, slopes: Slopes) -> None:
        self._half_width = units.half_width
        self._thumbnail = pyramid[-1]
        self._scale = 2 ** len(pyramid)
        self._level: Level | None = None
        self._fine: Level | None = None
        points = steep_points(pyramid[-1], slopes)
        if len(points) < _LEAST_POINTS:
            return  # an empty page, a dark room: nothing to hold on to
        if len(pyramid) > 1:
            shrink = 2 ** (len(pyramid) - 1)
            self._fine = Level(pyramid[0], points, shrink=shrink, scale=self._scale, units=units)
            points = points[::2]  # only to come near
        self._level = Level(pyramid[-1], points, shrink=1, scale=self._scale, units=units)

    def find(
        self, pyramid: list[Thumbnail], guess: Homography, *, marked: Homography, near: bool
    ) -> tuple[Homography | None, float]:
        """Return the way to a later picture, in units, and how alike they are; None after a cut.

        Args:
            pyramid: Of the later picture.
            guess: The way to it, about.
            marked: The way to the marked picture.
            near: Give up, too, where the guess does not lead to a good alignment.
        """
        if self._level is None:
            return IDENTITY, 1.0
        level, present = self._level, pyramid[-1]
        found, likeness = self._aligned(level, present, guess, marked=marked, near=near)
        if likeness < (_WELL_ALIGNED if near else _SAME_SCENE):
            return None, likeness
        if self._fine is not None:
            level, present = self._fine, pyramid[0]
            found = level.align(
                present, found, rest=marked, steps=_FINE_STEPS, converged_px=_CONVERGED_PX
            )
        misfits = (level.misfit(level.sampled(present, matrix)) for matrix in (marked, found))
        return found if next(misfits) > _BETTER * next(misfits) else marked, likeness

    def _aligned(
        self,
        level: Level,
        present: Thumbnail,
        guess: Homography,
        *,
        marked: Homography,
        near: bool,
    ) -> tuple[Homography, float]:
        """Return the best way to a later picture's smallest thumbnail, and how alike they are."""
        converged_px = _NEARLY_CONVERGED * self._scale if self._fine else _CONVERGED_PX

        def tried(start: Homography, levels: _Real, *, stiff: int) -> tuple[Homography, float]:
            found = level.align(
                present,
                start,
                rest=marked,
                steps=_STEPS,
                converged_px=converged_px,
                stiff=stiff,
                levels=levels,
            )
            return found, level.likeness(level.sampled(present, found))

        levels = level.sampled(present, guess)
        there = level.likeness(levels) >= _WELL_ALIGNED
        found, likeness = tried(guess, levels, stiff=0 if there else _STIFF_STEPS)
        if likeness < _WELL_ALIGNED and not near:
            # The hand turned back, or jumped; or a window plays, and this is as good as it gets.
            jump = _shift_between(self._thumbnail, present, scale=self._scale / self._half_width)
            for start in (marked, jump):
                levels = level.sampled(present, start)
                other, better = tried(start, levels, stiff=_STIFF_STEPS)
                if better > likeness:
                    found, likeness = other, better
        return found, likeness


def mapped(homography: Homography, points: _Real) -> _Real:
    """Return where a homography takes points, (N, 2) float32 as x and y."""
    matrix = homography.astype(np.float32)
    x, y, depth = matrix[:, :2] @ points.T + matrix[:, 2:]
    return np.stack([x / depth, y / depth], axis=1)


def _pyramid(luma: Thumbnail, most_columns: int) -> list[Thumbnail]:
    """Return copies of a thumbnail, each half as large as the one before, until one is small."""
    pyramid = [np.ascontiguousarray(luma)]
    while pyramid[-1].shape[1] > most_columns and min(pyramid[-1].shape) >= 4:
        height, width = pyramid[-1].shape
        size = (width // 2, height // 2)
        pyramid.append(np.asarray(cv2.resize(pyramid[-1], size, interpolation=cv2.INTER_AREA)))
    return pyramid


def _shift_between(thumbnail: Thumbnail, other: Thumbnail, *, scale: float) -> Homography:
    """Return the shift from one thumbnail to another, of any length.

    Args:
        thumbnail: The one.
        other: The other, as large.
        scale: Of a pixel of theirs.
    """
    pyramid = _pyramid(thumbnail, _COARSE_WIDTH)
    small, there = (p.astype(np.float32) for p in (pyramid[-1], _pyramid(other, _COARSE_WIDTH)[-1]))
    window = cv2.createHanningWindow(small.shape[::-1], cv2.CV_32F)
    shift, _ = cv2.phaseCorrelate(small, there, window)
    x, y = (along * scale * 2 ** (len(pyramid) - 1) for along in shift)
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def at_scale(homography: Homography, across: int, down: int) -> Homography:
    """Return a homography of full-size pixels for a plane subsampled by `across` and `down`.

    Its samples lie in the middle of the pixels that they stand for.
    """
    to_full = np.array(
        [[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]], np.float64
    )
    from_full = np.array(
        [[1 / across, 0, (1 / across - 1) / 2], [0, 1 / down, (1 / down - 1) / 2], [0, 0, 1]]
    )
    scaled: Homography = from_full @ homography @ to_full
    return scaled
