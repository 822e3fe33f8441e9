"""Plain fields, soft gradients and regular patterns.

On flat bright fields the fringes of a filmed screen show best; regular patterns look like fringes
but belong to the picture and are to be left alone.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.simulate.content.draw import (
    BLACK,
    WHITE,
    Colour,
    Image,
    Mask,
    Studio,
    blend,
    colourize,
    fill,
    gradient,
    hsv,
)
from engines.simulate.content.pictures import paint_picture, texture

Field = NDArray[np.float32]


def paint_plain(studio: Studio, view: Image) -> None:
    """Fill with one colour (white, grey, saturated, dark), or a few large areas of them."""
    fill(view, _plain_colour(studio))
    if studio.chance(0.45):
        height, width = view.shape[:2]
        for _ in range(studio.integer(1, 4)):
            top, left = studio.integer(0, height * 3 // 4), studio.integer(0, width * 3 // 4)
            tall = studio.integer(height // 8 + 1, height)
            wide = studio.integer(width // 8 + 1, width)
            fill(view[top : top + tall, left : left + wide], _plain_colour(studio))


def _plain_colour(studio: Studio) -> Colour:
    kind = studio.rng.random()
    if kind < 0.25:
        return WHITE
    if kind < 0.5:
        level = studio.integer(30, 250)
        return level, level, level
    if kind < 0.75:
        return studio.colour(saturation=(0.7, 1), value=(0.5, 1))
    if kind < 0.93:
        return studio.colour(saturation=(0, 0.25), value=(0.8, 1))
    return studio.colour(saturation=(0, 0.6), value=(0.05, 0.25))


def paint_gradient(studio: Studio, view: Image) -> None:
    """Fill with a soft gradient: linear, round or a mesh of colours, as on wallpapers."""
    height, width = view.shape[:2]
    kind = studio.integer(0, 3)
    if kind <= 1:
        first = _plain_colour(studio)
        gradient(view, first, _plain_colour(studio), angle=studio.uniform(0, 6.28))
    elif kind == 2:
        across = np.linspace(-1, 1, width, dtype=np.float32) - np.float32(studio.uniform(-0.8, 0.8))
        down = np.linspace(-1, 1, height, dtype=np.float32) - np.float32(studio.uniform(-0.8, 0.8))
        radius = across[None, :] ** 2 + down[:, None] ** 2
        grey = np.clip(radius * studio.uniform(60, 200), 0, 255).astype(np.uint8)
        colourize(view, grey, _lookup(_plain_colour(studio), _plain_colour(studio)))
    else:
        mesh = np.array([[_plain_colour(studio) for _ in range(4)] for _ in range(4)], np.uint8)
        soft = cv2.resize(mesh, (96, 96), interpolation=cv2.INTER_CUBIC)
        view[:] = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)


def _lookup(first: Colour, second: Colour) -> NDArray[np.uint8]:
    return np.linspace(first, second, 256).round().astype(np.uint8)


def paint_pattern(studio: Studio, view: Image) -> None:
    """Fill with a regular pattern: stripes, checks, halftone, cloth, bricks, a test chart."""
    height, width = view.shape[:2]
    grey = studio.choice(_PATTERNS)(studio, height, width)
    first, second = _plain_colour(studio), _plain_colour(studio)
    if sum(abs(a - b) for a, b in zip(first, second, strict=True)) < 120:
        first, second = WHITE, studio.choice((BLACK, second))
    if studio.chance(0.4):
        amount = studio.uniform(0.1, 0.5)
        grey = np.asarray(
            cv2.addWeighted(grey, 1 - amount, texture(studio, height, width), amount, 0)
        )
    colourize(view, np.asarray(grey, np.uint8), _lookup(first, second))


def _phase(studio: Studio, height: int, width: int, period: float, angle: float) -> Field:
    """Return the phase of plane waves, radians, (height, width)."""
    step = 2 * np.pi / period
    across = np.arange(width, dtype=np.float32) * np.float32(step * np.cos(angle))
    down = np.arange(height, dtype=np.float32) * np.float32(step * np.sin(angle))
    phase: Field = across[None, :] + down[:, None] + np.float32(studio.uniform(0, 6.28))
    return phase


def _waves(studio: Studio, height: int, width: int, period: float, angle: float) -> Mask:
    """Return stripes, soft or with sharp antialiased edges."""
    phase = _phase(studio, height, width, period, angle)
    sharp = studio.choice((1.0, 1.0, period / 3))
    return np.clip(128 + 127 * sharp * np.sin(phase), 0, 255).astype(np.uint8)


def _period(studio: Studio) -> float:
    return float(np.exp(studio.uniform(np.log(3), np.log(60))))


def _stripes(studio: Studio, height: int, width: int) -> Mask:
    angle = studio.choice((0.0, np.pi / 2, studio.uniform(0, np.pi)))
    return _waves(studio, height, width, _period(studio), angle)


def _checks(studio: Studio, height: int, width: int) -> Mask:
    cell = studio.integer(1, 40)
    rows, columns = np.arange(height) // cell % 2, np.arange(width) // cell % 2
    return np.where(rows[:, None] ^ columns[None, :], 255, 0).astype(np.uint8)


def _grid(studio: Studio, height: int, width: int) -> Mask:
    cell, stroke = studio.integer(4, 60), studio.integer(1, 2)
    rows, columns = np.arange(height) % cell < stroke, np.arange(width) % cell < stroke
    return np.where(rows[:, None] | columns[None, :], 255, 0).astype(np.uint8)


def _halftone(studio: Studio, height: int, width: int) -> Mask:
    period, angle = studio.uniform(4, 14), studio.uniform(0, np.pi)
    first = np.sin(_phase(studio, height, width, period, angle))
    dots = first + np.sin(_phase(studio, height, width, period, angle + np.pi / 2))
    tone = texture(studio, height, width, 1.8).astype(np.float32) / 64 - 2
    return np.clip(128 + 60 * period / 2 * (dots - tone), 0, 255).astype(np.uint8)


def _cloth(studio: Studio, height: int, width: int) -> Mask:
    period, angle = studio.uniform(3, 16), studio.uniform(-0.3, 0.3)
    warp = np.sin(_phase(studio, height, width, period, angle))
    weft = np.sin(_phase(studio, height, width, period * studio.uniform(0.8, 1.2), angle + 1.57))
    over = np.maximum(warp, weft) if studio.chance(0.5) else warp * weft
    noise = texture(studio, height, width, 0.9).astype(np.float32) - 128
    cloth: Mask = np.clip(128 + 80 * over + 0.5 * noise, 0, 255).astype(np.uint8)
    return cloth


def _bricks(studio: Studio, height: int, width: int) -> Mask:
    tall, long = studio.integer(6, 24), studio.integer(14, 60)
    rows = np.arange(height)[:, None]
    shifted = np.arange(width)[None, :] + (rows // tall % 2) * (long // 2)
    joint = (rows % tall < 2) | (shifted % long < 2)
    face = texture(studio, height, width, 1.15) // 2
    return np.where(joint, 255, face).astype(np.uint8)


def _rings(studio: Studio, height: int, width: int) -> Mask:
    across = np.arange(width, dtype=np.float32) - studio.integer(0, width)
    down = np.arange(height, dtype=np.float32) - studio.integer(0, height)
    radius = np.hypot(across[None, :], down[:, None])
    if studio.chance(0.5):
        phase = radius * np.float32(6.28 / _period(studio))
    else:  # a zone plate, its finest rings just below the limit at the far edge
        phase = radius**2 * np.float32(np.pi / max(height, width) / studio.uniform(1.0, 4.0))
    rings: Mask = (128 + 127 * np.cos(phase)).astype(np.uint8)
    return rings


def _star(studio: Studio, height: int, width: int) -> Mask:
    across = np.arange(width, dtype=np.float32)[None, :] - width / 2
    down = np.arange(height, dtype=np.float32)[:, None] - height / 2
    sectors = studio.integer(8, 60)
    wave = np.sin(np.arctan2(down, across) * sectors)
    reach = np.hypot(across, down) / sectors  # pixels per radian of the wave
    star: Mask = np.clip(128 + 127 * wave * np.maximum(reach, 0.3), 0, 255).astype(np.uint8)
    return star


_PATTERNS: tuple[Callable[[Studio, int, int], Mask], ...] = (
    _stripes,
    _stripes,
    _checks,
    _grid,
    _halftone,
    _cloth,
    _cloth,
    _bricks,
    _rings,
    _star,
)


def paint_textured(studio: Studio, view: Image) -> None:
    """Fill with a picture of things with regular texture: fences, cloth, tiles, grilles.

    What a filmed screen's grid looks like, and is not.
    """
    paint_picture(studio, view)
    height, width = view.shape[:2]
    for _ in range(studio.integer(1, 3)):
        drawn = _tilted(studio, studio.choice(_PATTERNS)(studio, height, width))
        if studio.chance(0.5):
            drawn = np.minimum(drawn, _patch(studio, height, width))
        opacity = studio.uniform(0.1, 0.9)
        blend(view, (drawn * opacity).astype(np.uint8), studio.colour())
    if studio.chance(0.5):  # as processors of phones do
        soft = cv2.GaussianBlur(view, (0, 0), studio.uniform(0.6, 1.5))
        amount = studio.uniform(0.3, 1.5)
        view[:] = cv2.addWeighted(np.ascontiguousarray(view), 1 + amount, soft, -amount, 0)


def _tilted(studio: Studio, mask: Mask) -> Mask:
    """Return the mask seen at an angle: its far end is up to half as large."""
    height, width = mask.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inward = studio.rng.uniform(-0.5, 0.1, (4, 2)).astype(np.float32)
    moved = corners + inward * np.sign(corners - corners.mean(0)) * -corners.mean(0)
    return np.asarray(
        cv2.warpPerspective(
            mask,
            cv2.getPerspectiveTransform(corners, moved),
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        ),
        np.uint8,
    )


def _patch(studio: Studio, height: int, width: int) -> Mask:
    """Return the cover of one thing: an ellipse anywhere, sharp or out of focus."""
    patch = np.zeros((height, width), np.uint8)
    centre = (studio.integer(0, width), studio.integer(0, height))
    axes = (studio.integer(width // 6 + 1, width), studio.integer(height // 6 + 1, height))
    cv2.ellipse(patch, centre, axes, studio.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(patch, (0, 0), studio.uniform(0.5, 6)), np.uint8)


def paint_test_card(studio: Studio, view: Image) -> None:
    """Fill with colour bars, a grey wedge and a circle, as a broadcaster's test card."""
    height, width = view.shape[:2]
    bars = 8
    for index in range(bars):
        on = bars - 1 - index
        colour = (255 * (on >> 1 & 1), 255 * (on >> 2 & 1), 255 * (on & 1))
        fill(view[:, index * width // bars : (index + 1) * width // bars], colour)
    wedge = view[height * 2 // 3 : height * 5 // 6]
    gradient(wedge, BLACK, WHITE)
    gradient(view[height * 5 // 6 :], hsv(studio.uniform(0, 1), 1, 1), WHITE)
    if studio.chance(0.5):
        ring = np.zeros((height, width), np.uint8)
        radius = min(height, width) * 2 // 5
        cv2.circle(ring, (width // 2, height // 2), radius, 255, 3, cv2.LINE_AA)
        blend(view, ring, WHITE)
