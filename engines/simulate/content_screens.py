"""Content made of areas: slides, dashboards, windows, players, icons, games, galleries."""

from __future__ import annotations

import cv2
import numpy as np

from engines.simulate.content_draw import (
    BLACK,
    WHITE,
    Image,
    Studio,
    Theme,
    blend,
    box,
    draw_theme,
    gradient,
    icon,
    mix,
    pointer,
    shadow,
)
from engines.simulate.content_fields import paint_gradient
from engines.simulate.content_pages import (
    bank_of,
    put_block,
    put_label,
    put_line,
    put_tabs,
    text_size,
)
from engines.simulate.content_pictures import paint_picture, paint_sphere, texture


def put_chart(studio: Studio, view: Image, theme: Theme) -> None:
    """Draw a chart into the view: bars, lines, an area or a pie."""
    height, width = view.shape[:2]
    if min(height, width) < 24:
        return
    kind = studio.integer(0, 3)
    if kind == 3:
        _put_pie(studio, view, theme)
        return
    for y in range(height // 6, height, max(6, height // 6)):
        view[y : y + 1] = theme.line
    if kind == 0:
        bars = studio.integer(3, 24)
        wide = max(2, width // bars)
        for index in range(bars):
            tall = studio.integer(1, height - 4)
            column = view[height - tall :, index * wide + 1 : (index + 1) * wide - wide // 4]
            column[:] = theme.accents[index % 5 if bars < 6 else 0]
        return
    across = np.linspace(0, width - 1, studio.integer(5, 60))
    for line in range(studio.integer(1, 4)):
        walk = np.cumsum(studio.rng.standard_normal(across.size))
        spread = float(np.ptp(walk)) or 1.0
        down = (0.1 + 0.8 * (walk - walk.min()) / spread) * height
        points = np.stack([across, down], axis=1).round().astype(np.int32)
        if kind == 2 and line == 0:
            corners = np.concatenate([points, [(width - 1, height), (0, height)]]).astype(np.int32)
            area = np.zeros((height, width), np.uint8)
            cv2.fillPoly(area, [corners], 110)
            blend(view, area, theme.accents[line])
        cv2.polylines(view, [points], False, theme.accents[line], studio.integer(1, 3), cv2.LINE_AA)


def _put_pie(studio: Studio, view: Image, theme: Theme) -> None:
    height, width = view.shape[:2]
    centre, radius = (width // 2, height // 2), min(height, width) * 2 // 5
    edges = np.sort(studio.rng.uniform(0, 360, 4))
    for index in range(5):
        start = 0.0 if index == 0 else float(edges[index - 1])
        stop = 360.0 if index == 4 else float(edges[index])
        colour = theme.accents[index]
        cv2.ellipse(view, centre, (radius, radius), 0, start, stop, colour, -1, cv2.LINE_AA)
    if studio.chance(0.5):
        hole = view[centre[1], 2].tolist()
        cv2.circle(view, centre, radius // 2, hole, -1, cv2.LINE_AA)


def paint_slide(studio: Studio, view: Image) -> None:
    """Fill with a slide: a large title, points, a chart or picture, shapes, a gradient ground."""
    theme = draw_theme(studio, dark=0.3)
    height, width = view.shape[:2]
    view[:] = theme.back
    if studio.chance(0.3):
        gradient(
            view, theme.back, mix(theme.back, theme.accents[0], 0.4), angle=studio.uniform(0, 6)
        )
    if studio.chance(0.4):
        view[: height // studio.integer(5, 9)] = theme.accents[0]
    for _ in range(studio.integer(0, 3)):
        centre = (studio.integer(0, width), studio.integer(0, height))
        colour = mix(theme.back, studio.choice(theme.accents), studio.uniform(0.1, 1))
        cv2.circle(view, centre, studio.integer(4, height // 3 + 5), colour, -1, cv2.LINE_AA)
    size = max(14, min(60, int(height * studio.uniform(0.05, 0.11))))
    margin = max(4, width // 16)
    put_line(studio, view[margin // 2 :, margin:-margin], bank_of(studio, size), theme.ink)
    body = view[round(2 * size) + margin // 2 : -margin, margin:-margin]
    layout = studio.integer(0, 3)
    left = body if layout == 0 else body[:, : body.shape[1] // 2 - 6]
    _put_points(studio, left, theme, max(9, size * 6 // 10))
    right = body[:, body.shape[1] // 2 + 6 :]
    if layout == 1:
        paint_picture(studio, right)
    elif layout >= 2:
        put_chart(studio, right, theme)


def _put_points(studio: Studio, view: Image, theme: Theme, size: int) -> None:
    bank = bank_of(studio, size)
    pitch = round(bank.height * studio.uniform(1.3, 2.2))
    for index, y in enumerate(range(0, view.shape[0] - bank.height, pitch)):
        if index >= 8:
            return
        centre = (size // 3, y + bank.height // 2)
        cv2.circle(view, centre, max(2, size // 6), theme.accents[1], -1, cv2.LINE_AA)
        room = int(view.shape[1] * studio.uniform(0.5, 1))
        put_line(studio, view[y:, size:room], bank, theme.ink)


def paint_dashboard(studio: Studio, view: Image) -> None:
    """Fill with panels of charts, figures and lists beside a menu of icons."""
    theme = draw_theme(studio, dark=0.45)
    view[:] = theme.panel
    size = min(text_size(studio), 20)
    bank = bank_of(studio, size)
    if studio.chance(0.6):
        menu = view[:, : size * 4]
        menu[:] = studio.choice((theme.back, theme.accents[0], theme.ink))
        shade = WHITE if sum(menu[0, 0].tolist()) < 380 else BLACK
        for y in range(size, view.shape[0] - 3 * size, size * 3):
            icon(studio, menu[y : y + 2 * size, size : 3 * size], shade)
        view = view[:, size * 4 :]
    wide = max(90, view.shape[1] // studio.integer(1, 4))
    tall = max(70, view.shape[0] // studio.integer(2, 5))
    radius = studio.choice((0, 4, 10))
    for y in range(4, view.shape[0], tall):
        for x in range(4, view.shape[1], wide):
            card = view[y : y + tall - 8, x : x + wide - 8]
            box(card, theme.back, radius=radius, border=studio.choice((None, theme.line)))
            inner = card[6:-6, 8:-8]
            put_line(studio, inner, bank, theme.faint)
            body = inner[round(1.4 * bank.height) :]
            if studio.chance(0.65):
                put_chart(studio, body, theme)
            elif studio.chance(0.5):
                figure = bank_of(studio, size * 2, "number")
                put_line(studio, body, figure, studio.choice(theme.accents))
            else:
                put_block(studio, body, bank, theme.ink)


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
        bar[:] = studio.choice(((28, 28, 32), (238, 238, 242), (20, 40, 70)))
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
    bar[:] = theme.panel
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


def paint_gallery(studio: Studio, view: Image) -> None:
    """Fill with pictures in frames, on a light or dark ground."""
    theme = draw_theme(studio, dark=0.4)
    view[:] = theme.back
    columns = studio.integer(1, 4)
    gap = studio.integer(2, 24)
    wide = view.shape[1] // columns
    for x in range(0, columns * wide, wide):
        y = gap
        while y < view.shape[0]:
            tall = int(wide * studio.uniform(0.5, 1.4))
            frame = view[y : y + tall, x + gap // 2 : x + wide - gap // 2]
            border = studio.choice((0, 0, 3, 8))
            frame[:] = studio.choice((WHITE, BLACK, theme.line))
            inner = frame[border : frame.shape[0] - border, border : frame.shape[1] - border]
            if inner.size:
                paint_picture(studio, inner)
            y += tall + gap


def paint_player(studio: Studio, view: Image) -> None:
    """Fill with a video player: the film, letterbox bars, controls, subtitles."""
    view[:] = studio.choice((BLACK, BLACK, (15, 15, 15), WHITE))
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
        view[y : y + 4, size:-size] = (120, 120, 120)
        view[y : y + 4, size : size + done] = studio.choice(((230, 30, 30), (60, 140, 250), WHITE))
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
                tile[:] = mix(colour, BLACK, 0.3)
                tile[1:-2, 1:-2] = colour


def _put_floor(studio: Studio, view: Image) -> None:
    height, width = view.shape[:2]
    depth = 40 / (np.arange(height, dtype=np.float32)[:, None] + 4)
    across = (np.arange(width, dtype=np.float32)[None, :] - width / 2) * depth / 20
    checks = (np.floor(across) + np.floor(depth * 4)) % 2
    first, second = studio.colour(), studio.colour()
    view[:] = np.where(checks[..., None] > 0, np.uint8(first), np.uint8(second))
    grain = cv2.cvtColor(texture(studio, height, width), cv2.COLOR_GRAY2RGB)
    view[:] = cv2.addWeighted(np.ascontiguousarray(view), 0.8, grain, 0.2, 0)
