"""How the filmed plane moved from one picture to the next, found on small copies of their luma.

A direct alignment: the few thousand points of a thumbnail with the steepest gradients are compared
with the thumbnail before, and the eight parameters of a homography, a gain and an offset are moved
until they agree (inverse compositional Gauss-Newton: Baker and Matthews, "Lucas-Kanade 20 years
on", 2004). What plays on the screen moves otherwise, and weighs little (Geman-McClure). Moiré
sweeps faster than the picture, so it is copies of the *cleaned* picture that are compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.smooth.robust import geman_mcclure, median

Thumbnail = NDArray[np.uint8]
Homography = NDArray[np.float64]
_Real = NDArray[np.float32]

_TRACKED_WIDTH = 640
"""The widest thumbnail that all steps but the last are taken on."""
_COARSE_WIDTH = 160
"""The widest on which a jump is looked for."""

_CELLS = 1600
"""Of a thumbnail, about; each gives one point: spread over the picture, wherever its texture is."""
_LEAST_CELL = 6
_LEAST_GRADIENT = 12.0
"""Sum of both of Sobel's responses; below is noise. A step of one level is 4."""
_LEAST_POINTS = 24

_STIFF_STEPS, _STEPS, _FINE_STEPS = 3, 12, 4
_CONVERGED_PX = 0.02

# Standard deviations of what a hand does within a frame, in half picture widths: turning and
# scaling, shifts, perspective; then gain and offset in levels. They decide where the picture does
# not, for instance on a page with one line of text.
_PRIOR = np.array([0.01, 0.01, 0.2, 0.01, 0.01, 0.2, 0.005, 0.005, 0.3, 20.0])
_STIFF = _PRIOR * [1e-3, 1e-3, 1, 1e-3, 1e-3, 1, 1e-3, 1e-3, 1, 1]
_STEADY, _STIFF_STEADY = (1 / np.square(deviations) for deviations in (_PRIOR, _STIFF))
_IDENTITY = np.eye(3)
_CORRELATED = 10.0
"""Neighbouring points err alike: so many count as one."""

_SAME_SCENE = 0.35
"""Least likeness of a picture to the one before: two scenes have 0.1 to 0.25."""
_WELL_ALIGNED = 0.8
"""Likeness above which no other start is tried."""
_BETTER = 1.1
"""How many times the misfit of a movement standing still must have, or nothing moved: fits find
something over flat pages and under a film. On tripods it is 0.8 to 1.05, in hands 1.3 to 6."""
_SAME_THING = 4.0
"""Levels of difference at which a point that was found counts half as lost."""
_ANOTHER_THING = 20.0
"""Levels of difference at which a point counts half."""


@dataclass(frozen=True)
class Motion:
    """From the present picture to the one before."""

    homography: Homography
    """3x3, from the pixel (x, y) of the present full-size picture to that of the one before,
    counted from the centre of the first pixel."""
    cut: bool = False
    """Nothing of the picture before is found in this one; the homography is the identity."""


class MotionEstimator:
    """Motion of one clip's pictures since one of them, the anchor; remembers thumbnails only.

    Args:
        width: Of the full-size picture.
        height: Of the full-size picture.
    """

    def __init__(self, *, width: int, height: int) -> None:
        self._units = _Units.of(width, height)
        self._pyramid: list[Thumbnail] = []
        self._anchor: _Anchor | None = None
        self._last = np.eye(3)

    def follow(self, luma: Thumbnail) -> Motion:
        """Take the next picture and return its motion since the anchor; a cut without one.

        Args:
            luma: Its luma at half its size, (H / 2, W / 2) uint8.
        """
        self._pyramid = _pyramid(luma)
        found = self._anchor.find(self._pyramid, self._last) if self._anchor else None
        if found is None:
            self._last = np.eye(3)
            return Motion(np.eye(3), cut=True)
        self._last = found
        back = _inverse(found)
        return Motion(back / back[2, 2])

    def anchor(self) -> None:
        """From now on tell motion since the picture that was taken last."""
        self._anchor = _Anchor(self._pyramid, self._units)


class _Anchor:
    """A picture to be found again in later ones."""

    def __init__(self, pyramid: list[Thumbnail], units: _Units) -> None:
        self._smallest = pyramid[-1]
        self._tracked = next(i for i, t in enumerate(pyramid) if t.shape[1] <= _TRACKED_WIDTH)
        scale = 2 ** (self._tracked + 1)
        points = _in_full(_steep_points(pyramid[self._tracked]), scale=scale)
        self._level: _Level | None = None
        self._fine: _Level | None = None
        if len(points) < _LEAST_POINTS:
            return  # an empty page, a dark room: nothing to hold on to
        self._level = _Level(pyramid[self._tracked], points, scale=scale, units=units)
        if self._tracked:
            self._fine = _Level(pyramid[0], points, scale=2, units=units)

    def find(self, pyramid: list[Thumbnail], guess: Homography) -> Homography | None:
        """Return the way from the anchor's pixels to those of a later picture, None after a cut."""
        if self._level is None:
            return np.eye(3)
        level, present = self._level, pyramid[self._tracked]
        near = level.likeness(present, guess) >= _WELL_ALIGNED
        found = level.align(present, guess, steps=_STEPS, stiff=0 if near else _STIFF_STEPS)
        likeness = level.likeness(present, found)
        if likeness < _WELL_ALIGNED:
            # The hand turned back, or jumped; or a window plays, and this is as good as it gets.
            jump = _shift_between(self._smallest, pyramid[-1], scale=2 ** len(pyramid))
            for start in (np.eye(3), jump):
                other = level.align(present, start, steps=_STEPS, stiff=_STIFF_STEPS)
                if (better := level.likeness(present, other)) > likeness:
                    found, likeness = other, better
        if likeness < _SAME_SCENE:
            return None
        if self._fine is not None:
            level, present = self._fine, pyramid[0]
            found = level.align(present, found, steps=_FINE_STEPS)
        misfits = (level.misfit(present, matrix) for matrix in (np.eye(3), found))
        return found if next(misfits) > _BETTER * next(misfits) else np.eye(3)


@dataclass(frozen=True)
class _Units:
    """Points in halves of a picture's width from its middle: parameters of like size."""

    half_width: float
    to_pixels: Homography
    from_pixels: Homography

    @classmethod
    def of(cls, width: int, height: int) -> _Units:
        half, x, y = width / 2, (width - 1) / 2, (height - 1) / 2
        to_pixels = np.array([[half, 0, x], [0, half, y], [0, 0, 1]])
        return cls(half, to_pixels, np.linalg.inv(to_pixels))


class _Level:
    """A thumbnail that others of the same size are to be aligned with.

    A step of an alignment is some forty operations on a thousand numbers each: what they cost is
    their number, so arrays are used again and several values are handled at once.

    Args:
        thumbnail: What the points are taken from.
        points: Where to compare, full-size pixels, (N, 2).
        scale: Full-size pixels per thumbnail pixel.
        units: Of the picture.
    """

    def __init__(self, thumbnail: Thumbnail, points: _Real, *, scale: int, units: _Units) -> None:
        self._units = units
        self._points = np.vstack([points.T, np.ones(len(points), np.float32)])  # (3, N)
        # From full-size pixels to those of the thumbnail.
        inset = 0.5 / scale - 0.5
        self._to_thumbnail = np.array([[1 / scale, 0, inset], [0, 1 / scale, inset], [0, 0, 1]])
        self._last = np.array([[thumbnail.shape[1]], [thumbnail.shape[0]]], np.float32) - 1.001
        width = thumbnail.shape[1]
        self._corners = np.array([[0], [width], [1], [width + 1]], np.int32)
        step = float(scale)
        steps = [(0.0, 0.0), (step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step)]
        shifted = [self._to_thumbnail @ _shift(x, y) for x, y in steps]
        places = np.concatenate([matrix.astype(np.float32) @ self._points for matrix in shifted], 1)
        samples = self._levels_at(thumbnail, places).reshape(5, -1)
        self._levels, right, left, below, above = samples
        to_units = units.half_width / (2 * scale)
        x, y = mapped(units.from_pixels, points).T
        gx, gy = (right - left) * to_units, (below - above) * to_units
        radial = -(gx * x + gy * y)
        contrast = self._levels - self._levels.mean()
        self._jacobian = np.stack(
            [
                gx * x,
                gx * y,
                gx,
                gy * x,
                gy * y,
                gy,
                radial * x,
                radial * y,
                contrast,
                np.ones_like(x),
            ]
        )  # (10, N)

    def align(
        self, other: Thumbnail, start: Homography, *, steps: int, stiff: int = 0
    ) -> Homography:
        """Return where another thumbnail has this one's pixels: the homography of full-size ones.

        Args:
            other: The other thumbnail.
            start: From where to look.
            steps: At most.
            stiff: The first of them, that only shift.
        """
        units, jacobian = self._units, self._jacobian
        weighted, found = np.empty_like(jacobian), units.from_pixels @ start @ units.to_pixels
        gain, offset = 0.0, 0.0
        for step in range(steps):
            error = self._sample(other, units.to_pixels @ found @ units.from_pixels)
            error -= self._levels
            error -= np.float32(gain) * jacobian[8]
            error -= np.float32(offset)
            spread = 1.4826 * median(np.abs(error)) + 0.3
            np.multiply(jacobian, geman_mcclure(error, 2 * spread), out=weighted)
            # A shift first: with all eight, a window in which something else moves would bend it.
            prior = _CORRELATED * spread**2 * (_STEADY if step >= stiff else _STIFF_STEADY)
            normal = (weighted @ jacobian.T).astype(np.float64)
            normal.flat[:: len(normal) + 1] += prior
            # The prior pulls the whole motion back to none; gain and offset are free.
            pull = (weighted @ error).astype(np.float64)
            pull[:8] += prior[:8] * (found - _IDENTITY).ravel()[:8]
            # Positive definite: the prior is.
            _, change = cv2.solve(normal, pull[:, None], flags=cv2.DECOMP_CHOLESKY)
            *moved, more_gain, more_offset = change[:, 0].tolist()
            gain, offset = gain + more_gain, offset + more_offset
            found = found @ _inverse(np.array([*moved, 0.0]).reshape(3, 3) + _IDENTITY)
            found /= found[2, 2]
            if step >= stiff and max(map(abs, moved)) * units.half_width < _CONVERGED_PX:
                break
        return units.to_pixels @ found @ units.from_pixels

    def misfit(self, other: Thumbnail, homography: Homography) -> float:
        """Return how much the points' levels differ, 0..1, brightness apart (Geman-McClure)."""
        error = self._sample(other, homography) - self._levels
        squares = np.square(error - np.float32(median(error)))
        return float(np.mean(squares / (squares + _SAME_THING**2)))

    def likeness(self, other: Thumbnail, homography: Homography) -> float:
        """Return how alike the points' levels are in both thumbnails, -1..1.

        That is their correlation, times the share of points that agree.
        """
        levels = self._sample(other, homography)
        # What plays on the screen may change altogether: it counts for little, as above.
        weights = 1 / (1 + np.square((levels - self._levels) / _ANOTHER_THING))
        total = weights.sum()
        a, b = (v - weights @ v / total for v in (self._levels, levels))
        variances = (weights @ np.square(a)) * (weights @ np.square(b))
        alike = float(weights @ (a * b)) / max(math.sqrt(float(variances)), 1e-6)
        return alike * float(total) / len(levels)

    def _sample(self, thumbnail: Thumbnail, homography: Homography) -> _Real:
        """Return a thumbnail's levels where a homography takes the points, (N,).

        Args:
            thumbnail: Contiguous, of this one's size.
            homography: From the points to where to look, full-size pixels.
        """
        matrix = (self._to_thumbnail @ homography).astype(np.float32)
        return self._levels_at(thumbnail, matrix @ self._points)

    def _levels_at(self, thumbnail: Thumbnail, places: _Real) -> _Real:
        """Return a thumbnail's levels at some places, (N,); the places are written over.

        Bilinear, in float32: OpenCV's steps of 1/32 thumbnail pixel are 1/8 of the picture's.

        Args:
            thumbnail: Contiguous, of this one's size.
            places: Homogeneous, (3, N), in its pixels.
        """
        place = places[:2]
        place /= places[2]
        np.maximum(place, 0, out=place)
        np.minimum(place, self._last, out=place)
        cell = place.astype(np.int32)
        place -= cell
        column, row = cell
        index = row * np.int32(thumbnail.shape[1])
        index += column
        corners = thumbnail.reshape(-1).take(index + self._corners).astype(np.float32)  # (4, N)
        x, y = place
        left, right = corners[:2], corners[2:]
        right -= left
        right *= x
        left += right  # above, below
        above: _Real = left[0]
        above += y * (left[1] - above)
        return above


def _shift(x: float, y: float) -> Homography:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def _inverse(matrix: Homography) -> Homography:
    """Return the inverse of a 3x3 matrix; `numpy.linalg.inv` takes five times as long."""
    return np.asarray(cv2.invert(matrix)[1])


def mapped(homography: Homography, points: _Real) -> _Real:
    """Return where a homography takes points, (N, 2) float32 as x and y."""
    matrix = homography.astype(np.float32)
    x, y, depth = matrix[:, :2] @ points.T + matrix[:, 2:]
    return np.stack([x / depth, y / depth], axis=1)


def _pyramid(luma: Thumbnail) -> list[Thumbnail]:
    """Return copies of a thumbnail, each half as large as the one before."""
    pyramid = [np.ascontiguousarray(luma)]
    while pyramid[-1].shape[1] > _COARSE_WIDTH and min(pyramid[-1].shape) >= 4:
        height, width = pyramid[-1].shape
        size = (width // 2, height // 2)
        pyramid.append(np.asarray(cv2.resize(pyramid[-1], size, interpolation=cv2.INTER_AREA)))
    return pyramid


def _steep_points(thumbnail: Thumbnail) -> _Real:
    """Return the steepest point of each cell that has a gradient, (N, 2) float32 as x and y."""
    across, down = (cv2.convertScaleAbs(slope) for slope in cv2.spatialGradient(thumbnail))
    steepness = cv2.add(across, down)  # saturates, which is steep enough
    side = max(_LEAST_CELL, round(math.sqrt(thumbnail.size / _CELLS)))
    rows, columns = (max(0, length - 2) // side for length in steepness.shape)  # no border
    inner = steepness[1 : 1 + rows * side, 1 : 1 + columns * side]
    cells = inner.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side * side)
    best = cells.argmax(axis=1)
    steep = np.take_along_axis(cells, best[:, None], axis=1)[:, 0] >= _LEAST_GRADIENT
    row, column = np.divmod(np.arange(rows * columns), columns)
    inner_row, inner_column = np.divmod(best, side)
    x, y = column * side + inner_column + 1, row * side + inner_row + 1
    return np.stack([x, y], axis=1)[steep].astype(np.float32)


def _in_full(points: _Real, *, scale: int) -> _Real:
    """Return points of a thumbnail in full-size pixels."""
    return (points + np.float32(0.5)) * np.float32(scale) - np.float32(0.5)


def _shift_between(thumbnail: Thumbnail, other: Thumbnail, *, scale: int) -> Homography:
    """Return the shift of full-size pixels from one thumbnail to another, of any length."""
    window = cv2.createHanningWindow(thumbnail.shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(thumbnail.astype(np.float32), other.astype(np.float32), window)
    return _shift(x * scale, y * scale)


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
