"""Content that plays or is looked at: films, players, galleries, games."""

from __future__ import annotations

import cv2
import numpy as np

from engines.simulate.content.draw import (
    BLACK,
    WHITE,
    Image,
    Studio,
    box,
    draw_theme,
    fill,
    gradient,
    icon,
    mix,
)
from engines.simulate.content.pictures import paint_picture, paint_sphere, texture
from engines.simulate.content.typesetting import (
    bank_of,
    put_label,
    put_line,
)


def paint_gallery(studio: Studio, view: Image) -> None:
    """Fill with pictures in frames, on a light or dark ground."""
    theme = draw_theme(studio, dark=0.4)
    fill(view, theme.back)
    columns = studio.integer(1, 4)
    gap = studio.integer(2, 24)
    wide = view.shape[1] // columns
    for x in range(0, columns * wide, wide):
        y = gap
        while y < view.shape[0]:
            tall = int(wide * studio.uniform(0.5, 1.4))
            frame = view[y : y + tall, x + gap // 2 : x + wide - gap // 2]
            border = studio.choice((0, 0, 3, 8))
            fill(frame, studio.choice((WHITE, BLACK, theme.line)))
            inner = frame[border : frame.shape[0] - border, border : frame.shape[1] - border]
            if inner.size:
                paint_picture(studio, inner)
            y += tall + gap


def paint_player(studio: Studio, view: Image) -> None:
    """Fill with a video player: the film, letterbox bars, controls, subtitles."""
    fill(view, studio.choice((BLACK, BLACK, (15, 15, 15), WHITE)))
    height, width = view.shape[:2]
    bars = int(height * studio.uniform(0, 0.15))
    film = view[bars : height - bars]
    paint_film(studio, film)
    size = min(max(12, height // 22), 40)
    if studio.chance(0.5):
        bank = bank_of(studio, size)
        line = set_line_centre(studio, film, bank.height)
        put_label(studio, line, bank, WHITE)
    if studio.chance(0.7):
        y = height - 2 * size
        done = studio.integer(0, width)
        fill(view[y : y + 4, size:-size], (120, 120, 120))
        played = studio.choice(((230, 30, 30), (60, 140, 250), WHITE))
        fill(view[y : y + 4, size : size + done], played)
        for index in range(4):
            x = size + index * 2 * size
            icon(studio, view[y + 8 : y + 8 + size, x : x + size], WHITE)


def set_line_centre(studio: Studio, film: Image, tall: int) -> Image:
    """Return the strip of the film where subtitles stand."""
    bottom = int(film.shape[0] * studio.uniform(0.75, 0.9))
    return film[max(0, bottom - tall) : bottom]


def paint_film(studio: Studio, view: Image) -> None:
    """Fill with one picture, graded as films are."""
    paint_picture(studio, view)
    if studio.chance(0.4):
        lift, gain = studio.uniform(0, 30), studio.uniform(0.5, 1.1)
        curve = np.clip(
            np.arange(256)[:, None] * (gain * studio.rng.uniform(0.85, 1.1, 3)) + lift, 0, 255
        ).astype(np.uint8)
        view[:] = cv2.LUT(np.ascontiguousarray(view), curve[:, None, :])
    if studio.chance(0.35):
        light_stage(studio, view)


def light_stage(studio: Studio, view: Image) -> None:
    """Darken as at night or on a stage: deep shadows under lights of two saturated colours."""
    gamma = studio.uniform(1, 3)
    curve = (255 * (np.arange(256) / 255) ** gamma + 0.5).astype(np.uint8)
    lights = np.empty_like(view)
    colours = [studio.colour(saturation=(0.1, 1), value=(0.4, 1)) for _ in range(2)]
    gradient(lights, colours[0], colours[1], angle=studio.uniform(0, 6.28))
    view[:] = cv2.multiply(cv2.LUT(np.ascontiguousarray(view), curve), lights, scale=1 / 255)


def paint_game(studio: Studio, view: Image) -> None:
    """Fill with a game: tiles or a floor in perspective, figures, bars and figures on top."""
    height, width = view.shape[:2]
    gradient(view, studio.colour(), studio.colour(value=(0.5, 1)), angle=1.57)
    if studio.chance(0.5):
        _put_tiles(studio, view)
    else:
        _put_floor(studio, view[height // 2 :])
    for _ in range(studio.integer(2, 8)):
        size = studio.integer(10, max(11, height // 5))
        top, left = studio.integer(0, height - size), studio.integer(0, max(0, width - size))
        paint_sphere(view[top : top + size, left : left + size], studio.colour())
    size = max(12, height // 26)
    bank = bank_of(studio, size, "number")
    put_line(studio, view[6:, 8 : width // 2], bank, WHITE)
    box(view[8 : 8 + size, -width // 3 : -8], studio.colour(value=(0.6, 1)), radius=4, border=WHITE)


def _put_tiles(studio: Studio, view: Image) -> None:
    cell = studio.integer(12, 48)
    palette = [studio.colour(value=(0.2, 0.9)) for _ in range(4)]
    for y in range(view.shape[0] // 3, view.shape[0], cell):
        for x in range(0, view.shape[1], cell):
            if studio.chance(0.6):
                tile = view[y : y + cell, x : x + cell]
                colour = studio.choice(palette)
                fill(tile, mix(colour, BLACK, 0.3))
                fill(tile[1:-2, 1:-2], colour)


def _put_floor(studio: Studio, view: Image) -> None:
    height, width = view.shape[:2]
    depth = 40 / (np.arange(height, dtype=np.float32)[:, None] + 4)
    across = (np.arange(width, dtype=np.float32)[None, :] - width / 2) * depth / 20
    checks = (np.floor(across) + np.floor(depth * 4)) % 2
    first, second = studio.colour(), studio.colour()
    view[:] = np.where(checks[..., None] > 0, np.array(first, np.uint8), np.array(second, np.uint8))
    grain = cv2.cvtColor(texture(studio, height, width), cv2.COLOR_GRAY2RGB)
    view[:] = cv2.addWeighted(np.ascontiguousarray(view), 0.8, grain, 0.2, 0)
