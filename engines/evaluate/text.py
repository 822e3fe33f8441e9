"""Where a picture shows text, told from its shapes alone: for measures, not for reading.

Letters are thin strokes of strong contrast on even ground, each a connected region, and many stand
together that are alike in height but not in shape. That tells them from the regular (windows,
weaves, halftone: alike in shape), from solid dots and lines, and from the random (leaves, clouds:
alike in nothing). Regions of strokes, filtered by what they measure and by their neighbours, follow
Epshtein, Ofek, Wexler: "Detecting text in natural scenes with stroke width transform" (2010); here
a top-hat finds the strokes, since the truth of a screen is free of noise.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
_Grey = NDArray[np.uint8]
_Real = NDArray[np.float64]

_STROKE = 15
"""Strokes are narrower, in pixels: letters up to about 100 pixels high."""
_AROUND = 33
"""Side of the window, in pixels, that tells ink from ground."""
_LEAST_CONTRAST = 48
"""Levels between the darkest and the lightest pixel of that window."""
_INK = 0.4
"""Of that contrast: how far a stroke stands out from what surrounds it."""
_GROUND, _LEAST_GROUND = 0.75, 0.45
"""Above this much of the contrast lies the ground, which fills at least this much of the window."""
_LEAST_SIDE, _MOST_HEIGHT, _MOST_LENGTH, _MOST_SLIM = 3, 80, 240, 10
"""Pixels; length over breadth. Words run together where they are small or their script does so."""
_CELL = 48
"""Pixels; the neighbourhood of a letter is three cells square."""
_LEAST_LETTERS = 8
_FILLED, _FILLED_BY_SHAPES, _MOST_FILLED = 0.5, 0.6, 0.75
"""Most ink over the area of the letters' boxes, and how much more if their shapes differ: letters
may be bold, but dots, which are of one shape, and bars fill theirs too."""
_MOST_UNLIKE = 0.5
"""Standard deviation of the letters' heights over their mean."""
_LEAST_SHAPES = 0.12
"""Standard deviation of the logarithm of width over height: 0 where all shapes are one."""
_BESIDE = 7
"""Strokes are widened by half of this, so that their edges are in the region."""
_LEAST_SHARE = 0.015
"""Less of a picture is no text: photographs have so much by chance."""


def find_text(picture: Picture) -> Mask:
    """Return which pixels belong to letters or lie beside them, (H, W); none where all is chance.

    Dark letters on light ground and light ones on dark. Meant for pictures without noise and moiré,
    such as truths. Single words, and letters larger than about 100 pixels, are missed rather than
    guessed: of the gradients in what it finds on pages that the simulator draws, 99 % are those of
    letters, and of the letters' gradients it finds 80 %.

    Args:
        picture: (H, W, 3) uint8 RGB.
    """
    luma = cast(_Grey, cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    letters = _dark_letters(luma) | _dark_letters(255 - luma)
    found = cv2.dilate(letters.astype(np.uint8), np.ones((_BESIDE, _BESIDE), np.uint8)) > 0
    return found if found.mean() >= _LEAST_SHARE else np.zeros_like(found)


class _Shapes(NamedTuple):
    """Connected regions that may be letters: one entry of each array for each."""

    row: NDArray[np.intp]
    column: NDArray[np.intp]
    width: _Real
    height: _Real
    area: _Real


def _dark_letters(luma: _Grey) -> Mask:
    strokes, on_ground = _dark_strokes(luma)
    count, labels, boxes, centres = cv2.connectedComponentsWithStats(strokes.astype(np.uint8))
    width, height, area = boxes[:, 2:].T.astype(np.float64)
    short, long = np.minimum(width, height), np.maximum(width, height)
    may_be = (long >= _LEAST_SIDE) & (short <= _MOST_HEIGHT) & (long <= _MOST_LENGTH)
    may_be &= long <= _MOST_SLIM * short
    may_be &= np.bincount(labels.ravel(), on_ground.ravel(), count) > 0.7 * area
    may_be[0] = False  # what is no stroke
    which = np.flatnonzero(may_be)
    column, row = (centres[which] // _CELL).astype(np.intp).T
    shapes = _Shapes(row, column, width[which], height[which], area[which])
    may_be[which] = _like_text(shapes, luma.shape[0] // _CELL + 1, luma.shape[1] // _CELL + 1)
    return cast(Mask, may_be[labels])


def _dark_strokes(luma: _Grey) -> tuple[Mask, Mask]:
    """Return which pixels are strokes, and around which the ground is even and wide enough."""
    window = np.ones((_AROUND, _AROUND), np.uint8)
    darkest = cv2.erode(luma, window)
    contrast = cv2.subtract(cv2.dilate(luma, window), darkest).astype(np.float32)
    hat = cv2.morphologyEx(luma, cv2.MORPH_BLACKHAT, np.ones((_STROKE, _STROKE), np.uint8))
    strokes = (hat > _INK * contrast) & (contrast >= _LEAST_CONTRAST)
    ground = (cv2.subtract(luma, darkest) > _GROUND * contrast).astype(np.float32)
    share = cv2.blur(ground, (_AROUND, _AROUND), borderType=cv2.BORDER_REFLECT)
    return strokes, share >= _LEAST_GROUND


def _like_text(shapes: _Shapes, rows: int, columns: int) -> Mask:
    """Return for each shape whether those of its neighbourhood are like letters."""
    cell = shapes.row * columns + shapes.column

    def around(values: _Real) -> _Real:
        """Sum over the neighbourhood of each cell."""
        sums = np.bincount(cell, values, rows * columns).reshape(rows, columns)
        beyond = cv2.BORDER_CONSTANT  # nothing
        return cast(_Real, cv2.boxFilter(sums, -1, (3, 3), normalize=False, borderType=beyond))

    count = around(np.ones_like(shapes.area))
    some = np.maximum(count, 1)

    def deviation(values: _Real) -> _Real:
        mean = around(values) / some
        return np.sqrt(np.maximum(around(values * values) / some - mean * mean, 0))

    shaped = deviation(np.log(shapes.width / shapes.height))
    filled = around(shapes.area) / np.maximum(around(shapes.width * shapes.height), 1)
    likely: Mask = (count >= _LEAST_LETTERS) & (shaped >= _LEAST_SHAPES)
    likely &= filled <= np.minimum(_FILLED + _FILLED_BY_SHAPES * shaped, _MOST_FILLED)
    likely &= deviation(shapes.height) <= _MOST_UNLIKE * around(shapes.height) / some
    return cast(Mask, likely.ravel()[cell])
