"""How planes of a format lie in blocks and rows: what every blender shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engines.engine import CHROMA_SHIFT, PictureFormat
from engines.smooth.trust import BLOCK

if TYPE_CHECKING:
    from engines.smooth.smoother import Rows

Grid = tuple[int, int, int, int]
"""Rows of blocks, rows of each, columns of blocks, columns of each."""


def row_gains(gains: Rows, rows: int) -> Rows:
    """Return gains of rows at half size for all rows of a plane; the last one's for padding."""
    step = 1 if rows < 2 * len(gains) else 2
    spread = np.repeat(gains, step)[:rows]
    return np.pad(spread, (0, rows - len(spread)), mode="edge").astype(np.float32, copy=False)


def middle(picture_format: PictureFormat, plane: int) -> int:
    """Return the code of a plane that light does not change: no light, or no colour."""
    if plane == 0 or picture_format.layout == "gbr":
        return 0
    return 1 << (picture_format.bits - 1)


def subsampling(picture_format: PictureFormat, plane: int) -> tuple[int, int]:
    """Return how many pixels a plane's sample stands for, across and down."""
    shift_x, shift_y = CHROMA_SHIFT[picture_format.layout] if plane else (0, 0)
    return 1 << shift_x, 1 << shift_y


def block_grid(picture_format: PictureFormat, plane: int, shape: tuple[int, int]) -> Grid:
    """Return the shape of a plane seen as blocks: rows of blocks, their rows, and so across."""
    across, down = subsampling(picture_format, plane)
    rows, columns = BLOCK // down, BLOCK // across
    return shape[0] // rows, rows, shape[1] // columns, columns
