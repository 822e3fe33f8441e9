"""Where one thumbnail of a picture has the points of another: direct alignment.

The few thousand points with the steepest gradients are compared, and the eight parameters of a
homography, a gain and an offset are moved until they agree (inverse compositional Gauss-Newton:
Baker and Matthews, "Lucas-Kanade 20 years on", 2004). What plays on the screen moves otherwise, and
weighs little (Geman-McClure).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.smooth.robust import deviation, geman_mcclure, median

Thumbnail = NDArray[np.uint8]
Homography = NDArray[np.float64]
Points = NDArray[np.intp]
"""Pixels, (N, 2) as x and y."""
Slopes = NDArray[np.int16]
"""Across and down, (2, rows, columns)."""
_Real = NDArray[np.float32]

_CELLS = 1600
"""Of a thumbnail, about; each gives one point: spread over the picture, wherever its texture is."""
_LEAST_CELL = 6
_PLACE_BITS = 5
"""For a place in a cell, across and down."""
_LEAST_GRADIENT = 12
"""Sum of both of Sobel's responses; below is noise. A step of one level is 4."""

_STRIDE = 1.6
"""Of a step. Weights that fall where errors grow, and gradients that are noisy, make steps of
Gauss-Newton too short: each leaves four tenths of the way, so that twelve were not enough."""

# Standard deviations of what a hand does within a frame, in half picture widths: turning and
# scaling, shifts, perspective; then gain and offset in levels. They decide where the picture does
# not, for instance on a page with one line of text.
_PRIOR = np.array([0.01, 0.01, 0.2, 0.01, 0.01, 0.2, 0.005, 0.005, 0.3, 20.0])
_STIFF = _PRIOR * [1e-3, 1e-3, 1, 1e-3, 1e-3, 1, 1e-3, 1e-3, 1, 1]
_STEADY, _STIFF_STEADY = (1 / np.square(deviations) for deviations in (_PRIOR, _STIFF))
IDENTITY = np.eye(3)
_PARAMETERS = len(_PRIOR)
_CORRELATED = 10.0
"""Neighbouring points err alike: so many count as one."""

_SAME_THING = 4.0
"""Levels of difference at which a point that was found counts half as lost."""
_ANOTHER_THING = 20.0
"""Levels of difference at which a point counts half."""

_ONE = (0.0, 1.0, 0.0), (-0.5, 0.0, 0.5)
_PAIR = (0.0, 0.5, 0.5, 0.0), (-0.25, -0.25, 0.25, 0.25)
"""What pixels in a row count for the level in their middle, and for the slope there."""


@dataclass(frozen=True)
class Units:
    """Points in halves of a picture's width from its middle: parameters of like size."""

    half_width: float
    to_pixels: Homography
    from_pixels: Homography

    @classmethod
    def of(cls, width: int, height: int) -> Units:
        """Return those of pictures of a size."""
        half, x, y = width / 2, (width - 1) / 2, (height - 1) / 2
        to_pixels = np.array([[half, 0, x], [0, half, y], [0, 0, 1]])
        return cls(half, to_pixels, np.linalg.inv(to_pixels))


class Level:
    """A thumbnail that others of the same size are to be aligned with; homographies are of units.

    A step of an alignment is some forty operations on a thousand numbers each: what they cost is
    their number, so arrays are used again and several values are handled at once.

    Args:
        thumbnail: What the points are taken from.
        points: Where to compare: pixels, none in the first or last row or column, of a thumbnail
            `shrink` times smaller, (N, 2) as x and y.
        shrink: A power of two.
        scale: Full-size pixels per pixel of that smaller thumbnail.
        units: Of the picture.
    """

    def __init__(
        self, thumbnail: Thumbnail, points: Points, *, shrink: int, scale: int, units: Units
    ) -> None:
        self._half_width = units.half_width
        height, width = thumbnail.shape
        inset = 0.5 * shrink / scale - 0.5
        from_pixels = np.array([[shrink / scale, 0, inset], [0, shrink / scale, inset], [0, 0, 1]])
        self._from_units = from_pixels @ units.to_pixels
        self._last = np.array([[width], [height]], np.float32) - np.float32(1.001)
        self._corners = np.array([[0], [width], [1], [width + 1]])
        self._points = np.ones((3, len(points)), np.float32)  # in units
        full = (points.T + 0.5) * scale - 0.5
        np.divide(full - units.to_pixels[:2, 2:], units.half_width, out=self._points[:2])
        self._levels, *slopes = _levels_and_slopes(thumbnail, points, shrink=shrink)
        gradient = np.stack(slopes) * np.float32(units.half_width * shrink / scale)
        # What each parameter changes, and a row for the differences that they are to explain.
        self._columns = np.empty((_PARAMETERS + 1, len(points)), np.float32)
        turns, rest = self._columns[:6].reshape(2, 3, -1), self._columns[6:]
        np.multiply(gradient[:, None], self._points, out=turns)
        np.multiply(-(turns[0, 0] + turns[1, 1]), self._points[:2], out=rest[:2])
        self._mean = float(self._levels.mean())
        np.subtract(self._levels, np.float32(self._mean), out=rest[2])
        rest[3] = 1
        self._weighted = np.empty_like(self._columns[:-1])

    def align(
        self,
        other: Thumbnail,
        start: Homography,
        *,
        rest: Homography,
        steps: int,
        converged_px: float,
        stiff: int = 0,
        levels: _Real | None = None,
    ) -> Homography:
        """Return where another thumbnail has this one's points.

        Args:
            other: The other thumbnail.
            start: From where to look.
            rest: Where they are if the picture does not tell.
            steps: At most.
            converged_px: A step below which no other is taken, full-size pixels.
            stiff: The first steps, that only shift.
            levels: What `sampled` returns for the start, if that is known.
        """
        columns, weighted, found = self._columns, self._weighted, start
        contrast, error = columns[8], columns[_PARAMETERS]
        gain, offset = 1.0, self._mean
        for step in range(steps):
            np.multiply(contrast, np.float32(gain), out=error)
            error += np.float32(offset)
            if step or levels is None:
                levels = self.sampled(other, found)
            np.subtract(levels, error, out=error)
            spread = deviation(error) + 0.3
            np.multiply(columns[:_PARAMETERS], geman_mcclure(error, 2 * spread), out=weighted)
            products = (weighted @ columns.T).astype(np.float64)
            normal, pull = products[:, :_PARAMETERS].copy(), products[:, _PARAMETERS:].copy()
            # A shift first: with all eight, a window in which something else moves would bend it.
            prior = _CORRELATED * spread**2 * (_STEADY if step >= stiff else _STIFF_STEADY)
            normal.flat[:: _PARAMETERS + 1] += prior
            # The prior pulls the whole motion back; gain and offset are free.
            pull[:8, 0] += prior[:8] * (found - rest).ravel()[:8]
            # Positive definite: the prior is.
            _, change = cv2.solve(normal, pull, flags=cv2.DECOMP_CHOLESKY)
            *moved, more_gain, more_offset = (_STRIDE * change[:, 0]).tolist()
            gain, offset = gain + more_gain, offset + more_offset
            found = found @ inverse(np.array([*moved, 0.0]).reshape(3, 3) + IDENTITY)
            found /= found[2, 2]
            if step >= stiff and max(map(abs, moved)) * self._half_width < converged_px:
                break
        return found

    def misfit(self, levels: _Real) -> float:
        """Return how much the points' levels differ, 0..1, brightness apart (Geman-McClure)."""
        error = levels - self._levels
        error -= np.float32(median(error))
        error *= error
        return float(np.mean(error / (error + np.float32(_SAME_THING**2))))

    def likeness(self, levels: _Real) -> float:
        """Return how alike the points' levels are in both thumbnails, -1..1.

        That is their correlation, times the share of points that agree.
        """
        # What plays on the screen may change altogether: it counts for little, as above.
        weights = 1 / (1 + np.square((levels - self._levels) / _ANOTHER_THING))
        total = weights.sum()
        a, b = (v - weights @ v / total for v in (self._levels, levels))
        variances = (weights @ np.square(a)) * (weights @ np.square(b))
        alike = float(weights @ (a * b)) / max(math.sqrt(float(variances)), 1e-6)
        return alike * float(total) / len(levels)

    def sampled(self, thumbnail: Thumbnail, homography: Homography) -> _Real:
        """Return a thumbnail's levels where a homography takes the points, (N,).

        Bilinear, in float32: OpenCV's steps of 1/32 thumbnail pixel are 1/8 of the picture's.

        Args:
            thumbnail: Contiguous, of this one's size.
            homography: From the points to where to look.
        """
        places = (self._from_units @ homography).astype(np.float32) @ self._points
        place = places[:2]
        place /= places[2]
        np.maximum(place, 0, out=place)
        np.minimum(place, self._last, out=place)
        cell = np.floor(place)
        place -= cell
        column, row = cell.astype(np.intp)
        row *= thumbnail.shape[1]
        row += column
        corners = thumbnail.reshape(-1).take(row + self._corners).astype(np.float32)  # (4, N)
        x, y = place
        left, right = corners[:2], corners[2:]
        right -= left
        right *= x
        left += right  # above, below
        above: _Real
        above, below = left
        below -= above
        below *= y
        above += below
        return above


def _levels_and_slopes(thumbnail: Thumbnail, points: Points, *, shrink: int) -> _Real:
    """Return levels and their change per pixel across and down, (3, N) float32.

    Args:
        thumbnail: Contiguous.
        points: See `Level`.
        shrink: See `Level`.
    """
    # The middle of a smaller thumbnail's pixel is one of this one's pixels, or between four.
    mean, slope = _ONE if shrink == 1 else _PAIR
    weights = np.stack([np.outer(mean, mean), np.outer(mean, slope), np.outer(slope, mean)])
    kernel = weights.reshape(3, -1)
    used = kernel.any(axis=0)
    width = thumbnail.shape[1]
    side = np.arange(len(mean)) - 1
    around = (side[:, None] * width + side).ravel()[used]
    first = points * shrink + (shrink - 1) // 2
    index = first[:, 1] * width + first[:, 0]
    levels = thumbnail.reshape(-1).take(index + around[:, None]).astype(np.float32)
    return np.asarray(kernel[:, used].astype(np.float32) @ levels)


def inverse(matrix: Homography) -> Homography:
    """Return the inverse of a 3x3 matrix; `numpy.linalg.inv` takes five times as long."""
    return np.asarray(cv2.invert(matrix)[1])


def steep_points(thumbnail: Thumbnail, slopes: Slopes) -> Points:
    """Return the steepest point of each cell that has a gradient, (N, 2) as x and y.

    Args:
        thumbnail: (rows, columns).
        slopes: To work in, (2, rows, columns): new memory takes longer than what is done in it.
    """
    across, down = cv2.spatialGradient(thumbnail, *slopes)
    steepness = np.abs(across, out=across)
    steepness += np.abs(down, out=down)  # at most 2040
    side = min(max(_LEAST_CELL, round(math.sqrt(thumbnail.size / _CELLS))), 1 << _PLACE_BITS)
    rows, columns = (max(0, length - 2) // side for length in steepness.shape)  # no border
    # A key is the steepness and, in its last bits, the row in the cell, then the column too: the
    # greatest of a cell tells both.
    keys = steepness[1 : 1 + rows * side].view(np.uint16)
    keys <<= _PLACE_BITS
    width = keys.shape[1]
    keys = keys.reshape(rows, side, width)
    keys += np.repeat(np.arange(side, dtype=np.uint16), width).reshape(side, width)
    highest = keys.max(axis=1)[:, 1 : 1 + columns * side].T.astype(np.uint32)
    highest <<= _PLACE_BITS
    highest = highest.reshape(columns, side, rows)
    highest += np.arange(side, dtype=np.uint32)[:, None]
    greatest = highest.max(axis=1).ravel()
    cells = np.flatnonzero(greatest >= _LEAST_GRADIENT << 2 * _PLACE_BITS)
    found, mask = greatest[cells].astype(np.intp), (1 << _PLACE_BITS) - 1
    column, row = np.divmod(cells, max(1, rows))
    x, y = column * side + (found & mask), row * side + (found >> _PLACE_BITS & mask)
    return np.stack([x, y], axis=1) + 1
