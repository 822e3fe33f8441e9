"""Content made of areas: slides, dashboards and their charts."""

from __future__ import annotations

import cv2
import numpy as np

from engines.simulate.content.draw import (
    BLACK,
    WHITE,
    Image,
    Studio,
    Theme,
    blend,
    box,
    draw_theme,
    fill,
    gradient,
    icon,
    mix,
)
from engines.simulate.content.pictures import paint_picture
from engines.simulate.content.typesetting import (
    bank_of,
    put_block,
    put_line,
    text_size,
)


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
        fill(view[y : y + 1], theme.line)
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
    fill(view, theme.back)
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
    fill(view, theme.panel)
    size = min(text_size(studio), 20)
    bank = bank_of(studio, size)
    if studio.chance(0.6):
        menu = view[:, : size * 4]
        fill(menu, studio.choice((theme.back, theme.accents[0], theme.ink)))
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
