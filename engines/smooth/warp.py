"""Moving a whole plane: tiles that are shifted, where a hand trembles; a true warp elsewhere.

From one picture to the next a hand shifts everything by pixels, and turns or scales it by far less
than a thousandth: within a tile that is one shift. A bilinear shift is a 2x2 filter: a third
of the time that `warpPerspective` takes.
"""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.smooth.motion import Homography, mapped

_TILE = 300
"""Side of a tile in samples, about: few calls, and still one shift."""
_LEAST_SIDE = 64
_TOLERANCE = 0.08
"""Samples by which a tile's corners may be off; steps between two tiles are below twice that."""

Samples = NDArray[Any]
"""uint8, uint16 or float32."""


def warp_into(plane: Samples, homography: Homography, target: Samples) -> None:
    """Write a plane, moved, to `target`; beyond the edge its samples are repeated. Bilinear.

    Args:
        plane: (H, W), uint8, uint16 or float32.
        homography: From the pixel (x, y) of the target to that of the plane.
        target: The same shape, other memory.
    """
    rows, columns = (_edges(side) for side in plane.shape)
    shifts = _tile_shifts(homography, rows, columns) if min(plane.shape) >= _LEAST_SIDE else None
    if shifts is None:
        _warp(plane, homography, target)
        return
    tiles = product(pairwise(rows), pairwise(columns))
    for ((top, bottom), (left, right)), (x, y) in zip(tiles, shifts, strict=True):
        _shift(plane, target, (top, bottom, left, right), x=x, y=y)


def _edges(side: int) -> list[int]:
    """Return where tiles begin and end along a side."""
    count = max(1, round(side / _TILE))
    return [side * number // count for number in range(count + 1)]


def _tile_shifts(
    homography: Homography, rows: list[int], columns: list[int]
) -> list[tuple[float, float]] | None:
    """Return the shift of each tile, row by row; None where one shift is not enough."""
    y, x = np.meshgrid(rows, columns, indexing="ij")
    nodes = np.stack([x, y], axis=-1).astype(np.float32)
    moves = mapped(homography, nodes.reshape(-1, 2)).reshape(nodes.shape) - nodes
    corners = np.stack([moves[:-1, :-1], moves[:-1, 1:], moves[1:, :-1], moves[1:, 1:]])
    shifts = corners.mean(axis=0)
    if np.abs(corners - shifts).max() > _TOLERANCE:
        return None
    return [(x, y) for x, y in shifts.reshape(-1, 2).tolist()]


def _shift(
    plane: Samples, target: Samples, tile: tuple[int, int, int, int], *, x: float, y: float
) -> None:
    """Write one tile: what lies at (x, y) from it in the plane."""
    top, bottom, left, right = tile
    column, row = math.floor(x), math.floor(y)
    across, down = x - column, y - row
    kernel = np.array(
        [
            [(1 - down) * (1 - across), (1 - down) * across],
            [down * (1 - across), down * across],
        ],
        np.float32,
    )
    # One sample more than the tile: the filter does not see what lies beyond its array.
    source = _cut(plane, (top + row, bottom + row + 1), (left + column, right + column + 1))
    room = target[top : bottom + 1, left : right + 1]
    if room.shape == source.shape:  # the next tile writes over the sample too many
        cv2.filter2D(source, -1, kernel, dst=room, anchor=(0, 0))
    else:
        filtered = cv2.filter2D(source, -1, kernel, anchor=(0, 0))
        target[top:bottom, left:right] = filtered[:-1, :-1]


def _cut(plane: Samples, rows: tuple[int, int], columns: tuple[int, int]) -> Samples:
    """Return a part of a plane; beyond its edge, its samples are repeated."""
    height, width = plane.shape
    (top, bottom), (left, right) = rows, columns
    if top >= 0 and left >= 0 and bottom <= height and right <= width:
        return plane[top:bottom, left:right]
    if top >= height or left >= width or bottom <= 0 or right <= 0:
        edges = np.clip(np.arange(top, bottom), 0, height - 1)
        return plane[edges][:, np.clip(np.arange(left, right), 0, width - 1)]
    inside = plane[max(top, 0) : bottom, max(left, 0) : right]
    beyond = (max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width))
    return np.asarray(cv2.copyMakeBorder(inside, *beyond, cv2.BORDER_REPLICATE))


def _warp(plane: Samples, homography: Homography, target: Samples) -> None:
    cv2.warpPerspective(
        plane,
        homography,
        target.shape[::-1],
        dst=target,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
