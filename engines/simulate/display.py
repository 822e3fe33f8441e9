"""The screen: a picture becomes light, pixel by pixel, through sub-pixels and a black matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from engines.simulate import primitives
from engines.simulate.arrays import Array, look_up

PanelKind = Literal["stripe", "bgr", "pentile", "diamond", "wrgb", "led"]

SAMPLES = 24
"""Samples of the sub-pixel pattern per screen pixel and axis; divisible by 2, 3 and 4."""


@dataclass(frozen=True)
class Panel:
    """What one screen pixel looks like from close by."""

    kind: PanelKind = "stripe"
    fill: float = 0.8
    """Share of a sub-pixel's cell that emits, per axis; the rest is black matrix. 0.5..0.98."""
    gamma: float = 2.2
    """Light over code value."""
    rotated: bool = False
    """Stripes lie instead of stand: a phone or a monitor in portrait."""
    leak: float = 0.02
    """Light through the black matrix, of white."""


def _cell(tile: NDArray[np.float32], channel: int, box: tuple[float, float, float, float]) -> None:
    """Add an emitting rectangle (x0, y0, x1, y1 in screen pixels), wrapping at the tile's edge."""
    size_y, size_x, _ = tile.shape
    x0, y0, x1, y1 = (round(v * SAMPLES) for v in box)
    columns = np.arange(x0, max(x1, x0 + 1)) % size_x
    rows = np.arange(y0, max(y1, y0 + 1)) % size_y
    tile[np.ix_(rows, columns, [channel])] = 1.0


def _centred(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _draw(panel: Panel) -> NDArray[np.float32]:
    """Return which sub-pixel emits where: (2 SAMPLES, 2 SAMPLES, 3) for 2x2 screen pixels."""
    tile = np.zeros((2 * SAMPLES, 2 * SAMPLES, 3), np.float32)
    fill = panel.fill
    for row in range(2):
        for column in range(2):
            for channel, box in _boxes(panel.kind, fill, column, row):
                _cell(tile, channel, box)
    return tile


def _boxes(
    kind: PanelKind, fill: float, column: int, row: int
) -> list[tuple[int, tuple[float, float, float, float]]]:
    """Return (channel, rectangle) of every sub-pixel of the screen pixel at (column, row)."""
    x, y, even = float(column), float(row), (column + row) % 2 == 0
    if kind in ("stripe", "bgr"):
        order = (0, 1, 2) if kind == "stripe" else (2, 1, 0)
        return [
            (channel, _centred(x + (i + 0.5) / 3, y + 0.5, fill / 3, fill))
            for i, channel in enumerate(order)
        ]
    if kind == "wrgb":  # four stripes, the white one lights all three filters
        white = [(c, _centred(x + 0.625, y + 0.5, fill / 4, fill)) for c in range(3)]
        places = ((0, 0.125), (1, 0.875), (2, 0.375))
        return white + [(c, _centred(x + at, y + 0.5, fill / 4, fill)) for c, at in places]
    if kind == "led":  # one package a pixel, three dies close together, much black around
        return [
            (channel, _centred(x + 0.5, y + 0.5 + (channel - 1) * 0.16, fill * 0.35, fill * 0.14))
            for channel in range(3)
        ]
    # PenTile: every pixel has green, every second one red or blue.
    other = 0 if even else 2
    if kind == "pentile":
        return [
            (1, _centred(x + 0.25, y + 0.5, fill * 0.3, fill)),
            (other, _centred(x + 0.75, y + 0.5, fill * 0.45, fill * 0.9)),
        ]
    return [  # diamond: greens between reds and blues
        (1, _centred(x + 0.25, y + 0.25, fill * 0.42, fill * 0.42)),
        (other, _centred(x + 0.75, y + 0.75, fill * 0.6, fill * 0.6)),
    ]


def pattern(panel: Panel, *, footprint: float) -> NDArray[np.float32]:
    """Return the panel's light pattern over 2x2 screen pixels, (2 SAMPLES, 2 SAMPLES, 3) float32.

    Every channel has mean 1, so that a patterned screen is as bright as a plain one.

    Args:
        panel: The sub-pixels.
        footprint: Distance between two points at which the pattern will be looked up, in screen
            pixels; the pattern is averaged over it so that point sampling cannot alias by itself.
    """
    tile = _draw(panel)
    if panel.rotated:
        tile = np.ascontiguousarray(tile.transpose(1, 0, 2))
    tile *= 1 - panel.leak
    tile += panel.leak
    width = max(1, round(footprint * SAMPLES))
    wrapped = cv2.copyMakeBorder(tile, width, width, width, width, cv2.BORDER_WRAP)
    averaged = cv2.blur(wrapped, (width, width))[width:-width, width:-width]
    mean = averaged.mean((0, 1), np.float64)
    normalised: NDArray[np.float32] = (averaged / mean).astype(np.float32)
    return normalised


def linear_light(content: Array, gamma: float) -> Array:
    """Return the light of code values: uint8 (H, W, 3) to float32 in 0..1."""
    xp = array_namespace(content)
    table: NDArray[np.float32] = ((np.arange(256) / 255) ** gamma).astype(np.float32)
    codes: Array = xp.astype(content, xp.int32)
    return look_up(table, codes)


def emit(light: Array, x: Array, y: Array) -> Array:
    """Return the light of a screen without sub-pixels (the truth) at points, (h, w, 3) float32.

    Args:
        light: What each screen pixel shows, (H, W, 3) float32, linear.
        x: Column of each point in screen pixels, (h, w); a pixel spans [i, i+1).
        y: Row of each point.
    """
    return primitives.nearest(light, x - 0.5, y - 0.5)


def patterned(plain: Array, x: Array, y: Array, mask: NDArray[np.float32]) -> Array:
    """Return what sub-pixels make of plain light at points, (h, w, 3) float32.

    Args:
        plain: `emit()` at the same points.
        x: Column of each point in screen pixels, (h, w).
        y: Row of each point.
        mask: `pattern()` of the panel.
    """
    xp = array_namespace(plain)
    period = len(mask)
    # Float rounding may return the period itself.
    tile = np.pad(mask, ((0, 1), (0, 1), (0, 0)), mode="edge")
    column, place = (xp.astype(xp.remainder(at * SAMPLES, period), xp.int32) for at in (x, y))
    place *= period + 1
    place += column
    light: Array = look_up(tile.reshape(-1, 3), place)
    light *= plain
    return light
