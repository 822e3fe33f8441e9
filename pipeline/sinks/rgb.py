"""Planes of any layout as RGB in fractions of a level, for pictures that show small differences."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.engine import CHROMA_SHIFT, PictureFormat, Plane, Planes
from pipeline.frame import ColourTags
from pipeline.media import FULL_RANGE

_BT601 = (0.299, 0.114)
_BT709 = (0.2126, 0.0722)
_BT2020 = (0.2627, 0.0593)
_WEIGHTS = {
    1: _BT709,
    4: (0.3, 0.11),
    5: _BT601,
    6: _BT601,
    7: (0.212, 0.087),
    9: _BT2020,
    10: _BT2020,
}
"""Shares of red and blue in luma, by FFmpeg's AVColorSpace."""
_HD_LINES = 720
_UNTAGGED = 0


def rgb_levels(planes: Planes, picture: PictureFormat, colour: ColourTags) -> NDArray[np.float32]:
    """Return (H, W, 3) RGB from 0 to 255, not rounded to whole levels.

    YUV goes by its own tags, and where there are none by what players assume: limited range, and
    BT.709 from 720 lines up. Untagged grey is of full range, as FFmpeg has it.
    """
    stacked = _stacked(planes, picture)
    coded: Any = cv2.transform(stacked, _to_rgb(picture, colour))
    levels: NDArray[np.float32] = np.clip(coded, 0, 255)
    return levels


def _stacked(planes: Planes, picture: PictureFormat) -> NDArray[np.float32]:
    """Return the planes as (H, W, 3), chroma enlarged, the only plane of grey three times."""
    first, second, third = planes * 3 if picture.layout == "gray" else planes
    stacked = np.empty((picture.height, picture.width, 3), np.float32)
    stacked[..., 0] = first
    for channel, plane in ((1, second), (2, third)):
        stacked[..., channel] = _enlarged(plane, picture)
    return stacked


def _enlarged(plane: Plane, picture: PictureFormat) -> Any:  # noqa: ANN401 (the plane's own type)
    """Return a plane at the size of luma; chroma of odd sizes reaches one sample further."""
    shift_x, shift_y = CHROMA_SHIFT[picture.layout]
    if not (shift_x or shift_y):
        return plane
    rows, columns = plane.shape
    size = (columns << shift_x, rows << shift_y)
    larger = cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_LINEAR)
    return larger[: picture.height, : picture.width]


def _to_rgb(picture: PictureFormat, colour: ColourTags) -> NDArray[np.float64]:
    """Return the 3x4 matrix from code values, in the order of the planes, to RGB levels."""
    if picture.layout == "gbr":
        return np.eye(3, 4)[[2, 0, 1]] * (255 / picture.peak)
    is_grey = picture.layout == "gray"
    is_full = colour.range == FULL_RANGE or (is_grey and colour.range == _UNTAGGED)
    step = 1 << (picture.bits - 8)
    black, luma, chroma = (0, picture.peak, picture.peak) if is_full else (16, 219, 224)
    if not is_full:
        black, luma, chroma = black * step, luma * step, chroma * step
    if is_grey:
        return _affine(np.eye(3) / luma, (black, black, black))
    red, blue = _WEIGHTS.get(colour.space, _BT709 if picture.height >= _HD_LINES else _BT601)
    of_v, of_u = 2 * (1 - red), 2 * (1 - blue)
    green = 1 - red - blue
    matrix = np.array([[1, 0, of_v], [1, -blue * of_u / green, -red * of_v / green], [1, of_u, 0]])
    return _affine(matrix / (luma, chroma, chroma), (black, 128 * step, 128 * step))


def _affine(matrix: NDArray[np.float64], zero: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return 255 * matrix * (code - zero) as one 3x4 matrix."""
    return 255 * np.column_stack([matrix, -matrix @ np.array(zero, np.float64)])
