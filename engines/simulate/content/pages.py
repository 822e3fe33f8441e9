"""Content made of text: editors, terminals, documents and web pages."""

from __future__ import annotations

import numpy as np

from engines.simulate.content.draw import (
    BLACK,
    WHITE,
    Colour,
    Image,
    Studio,
    Theme,
    blend,
    box,
    draw_theme,
    fill,
    icon,
)
from engines.simulate.content.pictures import paint_picture
from engines.simulate.content.tables import put_table
from engines.simulate.content.text import Line, WordBank, set_line
from engines.simulate.content.typesetting import (
    bank_of,
    put_block,
    put_label,
    put_line,
    put_tabs,
    text_size,
)


def put_code(studio: Studio, view: Image, bank: WordBank, theme: Theme, *, leading: float) -> None:
    """Fill the view with indented lines of coloured tokens."""
    height, width = view.shape[:2]
    pitch = max(1, round(bank.height * leading))
    mask = np.zeros((height, width), np.uint8)
    colours: Image = np.empty((height, width, 3), np.uint8)
    fill(colours, theme.ink)
    palette = (theme.ink, theme.ink, *theme.accents[:4])
    step, depth, y = round(bank.size * 2.2), 0, 0
    deepest = min(5, width // (4 * step))
    while y + bank.height <= height:
        depth = min(max(depth + studio.integer(-1, 1), 0), deepest)
        left = depth * step
        if left < width and not studio.chance(0.12):
            room = int((width - left) * studio.uniform(0.25, 1.0))
            line = set_line(studio.rng, bank, room)
            mask[y : y + bank.height, left : left + room] = line.mask
            _colour_spans(studio, colours[y : y + bank.height, left:], line, theme, palette)
        y += pitch
    blend(view, mask, colours)


def _colour_spans(
    studio: Studio, colours: Image, line: Line, theme: Theme, palette: tuple[Colour, ...]
) -> None:
    if studio.chance(0.1):  # a comment
        fill(colours, theme.faint)
        return
    for start, stop in line.spans:
        fill(colours[:, start:stop], studio.choice(palette))


def paint_code(studio: Studio, view: Image) -> None:
    """Fill with a code editor: line numbers, tokens, perhaps a file list and a status bar."""
    theme = draw_theme(studio, dark=0.65)
    fill(view, theme.back)
    size = text_size(studio)
    bank = bank_of(studio, size, "code")
    if studio.chance(0.5):
        side = min(view.shape[1] // 3, size * 14)
        panel = view[:, :side]
        fill(panel, theme.panel)
        put_code(studio, panel[size:, size : side - 4], bank_of(studio, size), theme, leading=1.5)
        view = view[:, side:]
    if studio.chance(0.6):
        put_tabs(studio, view[: size * 2], theme, size)
        view = view[size * 2 :]
    if studio.chance(0.4) and view.shape[0] > 4 * size:
        bar = view[-round(size * 1.6) :]
        fill(bar, studio.choice((theme.panel, *theme.accents)))
        put_line(studio, bar[2:, size:], bank_of(studio, size - 2, "number"), theme.ink)
        view = view[: -round(size * 1.6)]
    leading = studio.uniform(1.0, 1.5)
    pitch = max(1, round(bank.height * leading))
    gutter = size * 3
    numbers = bank_of(studio, size, "number")
    for y in range(4, view.shape[0] - bank.height, pitch):
        put_label(studio, view[y : y + bank.height, :gutter], numbers, theme.line)
    row = 4 + pitch * studio.integer(0, max(0, view.shape[0] // pitch))
    fill(view[row : row + bank.height, gutter:], theme.panel)
    put_code(studio, view[4:, gutter:], bank, theme, leading=leading)


def paint_terminal(studio: Studio, view: Image) -> None:
    """Fill with a terminal: fixed letters, prompts, some coloured words."""
    theme = draw_theme(studio, dark=0.85)
    fill(view, BLACK if theme.dark and studio.chance(0.5) else theme.back)
    bank = bank_of(studio, text_size(studio), "code")
    mask = np.zeros(view.shape[:2], np.uint8)
    colours: Image = np.empty_like(view)
    fill(colours, theme.ink)
    for y in range(3, view.shape[0] - bank.height, bank.height):
        line = set_line(studio.rng, bank, int((view.shape[1] - 6) * studio.uniform(0.0, 1.0)))
        mask[y : y + bank.height, 4 : 4 + line.mask.shape[1]] = line.mask
        prompt = studio.chance(0.2)
        for index, (start, stop) in enumerate(line.spans):
            if (prompt and index < 2) or studio.chance(0.08):
                span = colours[y : y + bank.height, 4 + start : 4 + stop]
                fill(span, studio.choice(theme.accents))
    blend(view, mask, colours)


def paint_document(studio: Studio, view: Image) -> None:
    """Fill with a page: headings, columns of paragraphs, tables and pictures."""
    theme = draw_theme(studio, dark=0.08)
    size = text_size(studio)
    page = view
    fill(view, theme.back)
    if studio.chance(0.5):
        fill(view, studio.choice((theme.panel, theme.line, (82, 86, 89))))
        margin = studio.integer(4, max(5, view.shape[1] // 8))
        page = view[margin // 2 :, margin:-margin]
        fill(page, WHITE if not theme.dark else theme.back)
    page = page[size:-size, 2 * size : -2 * size]
    columns = studio.choice((1, 1, 1, 2, 3))
    gap = 2 * size
    wide = max(1, (page.shape[1] - gap * (columns - 1)) // columns)
    body = bank_of(studio, size)
    head = bank_of(studio, round(size * studio.uniform(1.3, 2.4)))
    for column in range(columns):
        strip = page[:, column * (wide + gap) : column * (wide + gap) + wide]
        _fill_column(studio, strip, body, head, theme)


def _fill_column(
    studio: Studio, strip: Image, body: WordBank, head: WordBank, theme: Theme
) -> None:
    y = 0
    while y + body.height < strip.shape[0]:
        kind = studio.rng.random()
        if kind < 0.25:
            put_line(
                studio, strip[y:], head, studio.choice((theme.ink, theme.ink, theme.accents[0]))
            )
            y += round(head.height * 1.2)
        elif kind < 0.85:
            tall = body.height * studio.integer(3, 14)
            put_block(studio, strip[y : y + tall], body, theme.ink)
            y += tall + body.height // 2
        elif kind < 0.93:
            tall = body.height * studio.integer(4, 10)
            put_table(studio, strip[y : y + tall], theme, body)
            y += tall + body.height
        else:
            tall = min(strip.shape[1] * 2 // 3, body.height * 14)
            paint_picture(studio, strip[y : y + tall])
            y += tall + body.height


def paint_web(studio: Studio, view: Image) -> None:
    """Fill with a web page: a header, a banner, cards with pictures, text and buttons."""
    theme = draw_theme(studio, dark=0.2)
    fill(view, theme.back)
    size = text_size(studio)
    bank = bank_of(studio, size)
    if studio.chance(0.7):
        bar = view[: size * 3]
        fill(bar, studio.choice((theme.back, theme.panel, theme.accents[0], theme.ink)))
        ink = BLACK if sum(bar[0, 0].tolist()) > 380 else WHITE
        icon(studio, bar[size // 2 : size * 5 // 2, size : size * 3], theme.accents[1])
        put_line(studio, bar[size:, size * 4 : -size], bank, ink)
        view = view[size * 3 :]
    if studio.chance(0.5):
        banner = view[: view.shape[0] // studio.integer(2, 4)]
        if studio.chance(0.7):
            paint_picture(studio, banner)
        else:
            fill(banner, studio.choice(theme.accents))
        title = bank_of(studio, size * studio.integer(2, 3))
        put_line(studio, banner[banner.shape[0] // 3 :, size * 2 :], title, WHITE)
        view = view[banner.shape[0] :]
    if studio.chance(0.35):
        _fill_column(
            studio, view[size:, 2 * size : -2 * size], bank, bank_of(studio, size * 2), theme
        )
    else:
        _put_cards(studio, view[size // 2 :], theme, bank)


def _put_cards(studio: Studio, view: Image, theme: Theme, bank: WordBank) -> None:
    columns = studio.integer(1, max(1, min(5, view.shape[1] // 110)))
    wide, gap = view.shape[1] // columns, studio.integer(6, 20)
    tall = int(wide * studio.uniform(0.7, 1.4)) + bank.height * 3
    radius = studio.choice((0, 4, 8, 14))
    for y in range(0, view.shape[0], tall):
        for x in range(0, columns * wide, wide):
            card = view[y : y + tall - gap, x + gap // 2 : x + wide - gap // 2]
            box(card, theme.panel, radius=radius, border=studio.choice((None, theme.line)))
            inner = card[6:-6, 6:-6]
            split = int(inner.shape[0] * studio.uniform(0.3, 0.65))
            paint_picture(studio, inner[:split])
            put_block(studio, inner[split + 4 : -2 * bank.height], bank, theme.ink)
            button = inner[-round(1.5 * bank.height) :, : bank.size * 8]
            if studio.chance(0.5) and inner.shape[0] > 4 * bank.height:
                box(button, theme.accents[0], radius=radius)
                put_label(studio, button, bank, WHITE)
