"""Content of windows and icons: desktops, tablets."""

from __future__ import annotations

import cv2

from engines.simulate.content.draw import (
    WHITE,
    Image,
    Studio,
    Theme,
    box,
    draw_theme,
    fill,
    icon,
    pointer,
    shadow,
)
from engines.simulate.content.fields import paint_gradient
from engines.simulate.content.pictures import paint_picture
from engines.simulate.content.screens import put_chart
from engines.simulate.content.typesetting import (
    bank_of,
    put_block,
    put_label,
    put_line,
    put_tabs,
    text_size,
)


def paint_windows(studio: Studio, view: Image) -> None:
    """Fill with a desktop: a wallpaper, icons, overlapping windows, a task bar."""
    if studio.chance(0.6):
        paint_picture(studio, view)
    else:
        paint_gradient(studio, view)
    height, width = view.shape[:2]
    size = min(text_size(studio), 20)
    bank = bank_of(studio, size)
    for y in range(size, height, size * 6):
        for x in range(size, min(width, size * 14), size * 7):
            symbol = view[y : y + 3 * size, x + size : x + 4 * size]
            icon(studio, symbol, studio.colour(value=(0.6, 1)))
            put_label(studio, view[y + 3 * size : y + 5 * size, x : x + 6 * size], bank, WHITE)
    for _ in range(studio.integer(1, 3)):
        tall, wide = studio.integer(height // 3, height), studio.integer(width // 3, width)
        top, left = studio.integer(0, height * 2 // 3), studio.integer(0, width * 2 // 3)
        put_window(studio, view, (top, left, tall, wide), size)
    if studio.chance(0.6):
        bar = view[-2 * size :]
        fill(bar, studio.choice(((28, 28, 32), (238, 238, 242), (20, 40, 70))))
        for x in range(size, width - 2 * size, size * 3):
            if x < width // 2:
                icon(studio, bar[2:-2, x : x + 2 * size - 4], studio.colour(value=(0.6, 1)))
    pointer(view, studio.integer(0, width), studio.integer(0, height), size=studio.integer(14, 36))


def put_window(studio: Studio, canvas: Image, place: tuple[int, int, int, int], size: int) -> None:
    """Draw a window with its title bar, buttons and some content at (top, left, height, width)."""
    top, left, tall, wide = place
    theme = draw_theme(studio, dark=0.3)
    shadow(canvas, top, left, tall, wide)
    window = canvas[top : top + tall, left : left + wide]
    if min(window.shape[:2]) < 4 * size:
        return
    box(window, theme.back, radius=studio.choice((0, 6, 10)), border=theme.line)
    bar = window[1 : 2 * size, 1:-1]
    fill(bar, theme.panel)
    put_label(studio, bar, bank_of(studio, size), theme.ink)
    for index, colour in enumerate(((255, 95, 86), (255, 189, 46), (39, 201, 63))):
        at = (size + index * size * 3 // 2, size)
        cv2.circle(bar, at, max(2, size // 2 - 1), colour, -1, cv2.LINE_AA)
    body = window[2 * size : -2, 2:-2]
    kind = studio.integer(0, 3)
    if kind == 0:
        put_block(studio, body[6:-6, 8:-8], bank_of(studio, size), theme.ink)
    elif kind == 1:
        paint_picture(studio, body)
    elif kind == 2:
        _put_form(studio, body, theme, size)
    else:
        put_tabs(studio, body[: 2 * size], theme, size)
        put_chart(studio, body[3 * size : -size, size:-size], theme)


def _put_form(studio: Studio, view: Image, theme: Theme, size: int) -> None:
    bank = bank_of(studio, size)
    for y in range(size, view.shape[0] - 3 * size, 3 * size):
        put_line(studio, view[y:, size : view.shape[1] // 3], bank, theme.ink)
        field = view[y : y + 2 * size, view.shape[1] // 3 : -size]
        kind = studio.integer(0, 2)
        if kind == 0:
            box(field, theme.back, radius=4, border=theme.line)
            put_line(studio, field[size // 4 :, size // 2 :], bank, theme.faint)
        elif kind == 1:
            box(field[:, : size * 7], theme.accents[0], radius=6)
            put_label(studio, field[:, : size * 7], bank, WHITE)
        else:
            box(field[size // 2 : -size // 2, : size * 2], theme.accents[2], radius=size)


def paint_icons(studio: Studio, view: Image) -> None:
    """Fill with a grid of app icons over a wallpaper or a plain ground, as on a tablet."""
    if studio.chance(0.5):
        paint_gradient(studio, view)
    else:
        paint_picture(studio, view)
    size = studio.integer(20, 90)
    pitch = int(size * studio.uniform(1.25, 2))
    bank = bank_of(studio, max(8, size // 4))
    for y in range(pitch - size, view.shape[0], pitch + bank.height):
        for x in range(pitch - size, view.shape[1], pitch):
            tile = view[y : y + size, x : x + size]
            if studio.chance(0.9):
                box(tile, studio.colour(value=(0.5, 1)), radius=size // 4)
                icon(studio, tile[size // 4 : -size // 4, size // 4 : -size // 4], WHITE)
            label = view[y + size : y + size + bank.height, max(0, x - 6) : x + size + 6]
            put_label(studio, label, bank, WHITE)
