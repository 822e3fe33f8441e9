"""Content made of text: editors, terminals, documents, web pages, sheets and calendars."""

from __future__ import annotations

import numpy as np

from engines.simulate.content_draw import (
    BLACK,
    WHITE,
    Colour,
    Image,
    Studio,
    Theme,
    blend,
    box,
    draw_theme,
    icon,
    mix,
)
from engines.simulate.content_pictures import paint_picture
from engines.simulate.content_text import Line, Vocabulary, WordBank, set_block, set_line


def text_size(studio: Studio) -> int:
    """Return a body text size in pixels: mostly 11-17, larger on dense displays, a few small."""
    kind = studio.rng.random()
    if kind < 0.12:
        return studio.integer(8, 10)
    return studio.integer(11, 17) if kind < 0.72 else studio.integer(18, 32)


def bank_of(
    studio: Studio, size: int, vocabulary: Vocabulary = "prose", *, fixed: bool = False
) -> WordBank:
    """Return words of a random face."""
    return studio.lettering.bank(studio.lettering.pick(studio.rng, fixed=fixed), size, vocabulary)


def put_line(studio: Studio, view: Image, bank: WordBank, colour: Colour) -> None:
    """Set one line of words at the upper left of the view, cut to it."""
    blend(view, set_line(studio.rng, bank, view.shape[1]).mask, colour)


def put_block(studio: Studio, view: Image, bank: WordBank, colour: Colour) -> None:
    """Fill the view with paragraphs."""
    leading = studio.uniform(1.0, 1.6)
    mask = set_block(studio.rng, bank, *view.shape[:2], leading=leading)
    blend(view, mask, colour)


def put_label(studio: Studio, view: Image, bank: WordBank, colour: Colour) -> None:
    """Set one word in the middle of the view, where it fits."""
    word = studio.choice(bank.words)
    top, left = (view.shape[0] - word.shape[0]) // 2, (view.shape[1] - word.shape[1]) // 2
    if top >= 0 and left >= 0:
        blend(view[top:, left:], word, colour)


def put_code(studio: Studio, view: Image, bank: WordBank, theme: Theme, *, leading: float) -> None:
    """Fill the view with indented lines of coloured tokens."""
    height, width = view.shape[:2]
    pitch = max(1, round(bank.height * leading))
    mask = np.zeros((height, width), np.uint8)
    colours: Image = np.empty((height, width, 3), np.uint8)
    colours[:] = theme.ink
    palette = (theme.ink, theme.ink, *theme.accents[:4])
    step, depth, y = round(bank.size * 2.2), 0, 0
    while y + bank.height <= height:
        depth = min(max(depth + studio.integer(-1, 1), 0), 5)
        left = depth * step
        if left < width and not studio.chance(0.12):
            room = int((width - left) * studio.uniform(0.1, 0.9))
            line = set_line(studio.rng, bank, room)
            mask[y : y + bank.height, left : left + room] = line.mask
            _colour_spans(studio, colours[y : y + bank.height, left:], line, theme, palette)
        y += pitch
    blend(view, mask, colours)


def _colour_spans(
    studio: Studio, colours: Image, line: Line, theme: Theme, palette: tuple[Colour, ...]
) -> None:
    if studio.chance(0.1):  # a comment
        colours[:] = theme.faint
        return
    for start, stop in line.spans:
        colours[:, start:stop] = studio.choice(palette)


def paint_code(studio: Studio, view: Image) -> None:
    """Fill with a code editor: line numbers, tokens, perhaps a file list and a status bar."""
    theme = draw_theme(studio, dark=0.65)
    view[:] = theme.back
    size = text_size(studio)
    bank = bank_of(studio, size, "code", fixed=True)
    if studio.chance(0.5):
        side = min(view.shape[1] // 3, size * 14)
        panel = view[:, :side]
        panel[:] = theme.panel
        put_code(studio, panel[size:, size : side - 4], bank_of(studio, size), theme, leading=1.5)
        view = view[:, side:]
    if studio.chance(0.6):
        put_tabs(studio, view[: size * 2], theme, size)
        view = view[size * 2 :]
    if studio.chance(0.4) and view.shape[0] > 4 * size:
        bar = view[-round(size * 1.6) :]
        bar[:] = studio.choice((theme.panel, *theme.accents))
        put_line(studio, bar[2:, size:], bank_of(studio, size - 2, "number"), theme.ink)
        view = view[: -round(size * 1.6)]
    leading = studio.uniform(1.0, 1.5)
    pitch = max(1, round(bank.height * leading))
    gutter = size * 3
    numbers = bank_of(studio, size, "number", fixed=True)
    for y in range(4, view.shape[0] - bank.height, pitch):
        put_label(studio, view[y : y + bank.height, :gutter], numbers, theme.line)
    row = 4 + pitch * studio.integer(0, max(0, view.shape[0] // pitch))
    view[row : row + bank.height, gutter:] = theme.panel
    put_code(studio, view[4:, gutter:], bank, theme, leading=leading)


def put_tabs(studio: Studio, bar: Image, theme: Theme, size: int) -> None:
    """Draw a bar of tabs with names."""
    bar[:] = theme.panel
    bank = bank_of(studio, size)
    x, active = 0, studio.integer(0, 3)
    for index in range(studio.integer(1, 6)):
        wide = size * studio.integer(6, 11)
        tab = bar[:, x : x + wide]
        if index == active:
            tab[:] = theme.back
        put_label(studio, tab, bank, theme.ink if index == active else theme.faint)
        x += wide
        bar[:, x : x + 1] = theme.line


def paint_terminal(studio: Studio, view: Image) -> None:
    """Fill with a terminal: fixed letters, prompts, some coloured words."""
    theme = draw_theme(studio, dark=0.85)
    view[:] = BLACK if theme.dark and studio.chance(0.5) else theme.back
    bank = bank_of(studio, text_size(studio), "code", fixed=True)
    mask = np.zeros(view.shape[:2], np.uint8)
    colours: Image = np.empty_like(view)
    colours[:] = theme.ink
    for y in range(3, view.shape[0] - bank.height, bank.height):
        line = set_line(studio.rng, bank, int((view.shape[1] - 6) * studio.uniform(0.0, 1.0)))
        mask[y : y + bank.height, 4 : 4 + line.mask.shape[1]] = line.mask
        prompt = studio.chance(0.2)
        for index, (start, stop) in enumerate(line.spans):
            if (prompt and index < 2) or studio.chance(0.08):
                colours[y : y + bank.height, 4 + start : 4 + stop] = studio.choice(theme.accents)
    blend(view, mask, colours)


def paint_document(studio: Studio, view: Image) -> None:
    """Fill with a page: headings, columns of paragraphs, tables and pictures."""
    theme = draw_theme(studio, dark=0.08)
    size = text_size(studio)
    page = view
    view[:] = theme.back
    if studio.chance(0.5):
        view[:] = studio.choice((theme.panel, theme.line, (82, 86, 89)))
        margin = studio.integer(4, max(5, view.shape[1] // 8))
        page = view[margin // 2 :, margin:-margin]
        page[:] = WHITE if not theme.dark else theme.back
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


def put_table(studio: Studio, view: Image, theme: Theme, bank: WordBank) -> None:
    """Draw a table: a header, striped or ruled rows, words and figures."""
    height, width = view.shape[:2]
    row = round(bank.height * studio.uniform(1.1, 1.7))
    columns = max(1, min(studio.integer(2, 8), width // (bank.size * 4)))
    wide = width // columns
    striped, ruled = studio.chance(0.5), studio.chance(0.6)
    figures = bank_of(studio, bank.size, "number")
    for index, y in enumerate(range(0, height - row + 1, row)):
        line = view[y : y + row]
        if index == 0:
            line[:] = studio.choice((theme.panel, theme.line, theme.accents[1]))
        elif striped and index % 2:
            line[:] = theme.panel
        for column in range(columns):
            cell = line[:, column * wide + 3 : (column + 1) * wide - 3]
            put_label(studio, cell, bank if index == 0 or column == 0 else figures, theme.ink)
            if ruled:
                line[:, column * wide : column * wide + 1] = theme.line
        if ruled:
            line[-1:] = theme.line


def paint_sheet(studio: Studio, view: Image) -> None:
    """Fill with a spreadsheet: coloured cells, figures, grid lines, headers."""
    theme = draw_theme(studio, dark=0.15)
    view[:] = theme.back
    size = min(text_size(studio), 20)
    bank, words = bank_of(studio, size, "number"), bank_of(studio, size)
    row, wide = round(bank.height * studio.uniform(1.0, 1.4)), size * studio.integer(5, 9)
    tinted = {studio.integer(1, 12): studio.choice(theme.accents) for _ in range(2)}
    filled = studio.uniform(0.2, 0.95)
    for column, x in enumerate(range(0, view.shape[1], wide)):
        strip = view[:, x : x + wide]
        if column in tinted:
            strip[:] = mix(theme.back, tinted[column], studio.uniform(0.1, 0.5))
        for index, y in enumerate(range(0, view.shape[0], row)):
            cell = strip[y : y + row]
            if index == 0 or column == 0:
                cell[:] = theme.panel
            if studio.chance(filled):
                put_label(studio, cell, words if column == 1 else bank, theme.ink)
        strip[:, :1] = theme.line
    view[::row] = theme.line


def paint_calendar(studio: Studio, view: Image) -> None:
    """Fill with a month of days and coloured entries."""
    theme = draw_theme(studio, dark=0.25)
    view[:] = theme.back
    size = min(text_size(studio), 18)
    numbers, words = bank_of(studio, size, "number"), bank_of(studio, max(8, size - 3))
    top = size * 3
    put_line(studio, view[size // 2 :, size:], bank_of(studio, size + 6), theme.ink)
    wide, tall = view.shape[1] // 7 + 1, max(size * 3, view.shape[0] // studio.integer(4, 6))
    for y in range(top, view.shape[0], tall):
        for x in range(0, view.shape[1], wide):
            cell = view[y : y + tall, x : x + wide]
            put_line(studio, cell[2 : size + 6, 4 : 4 + 2 * size], numbers, theme.faint)
            for entry in range(studio.integer(0, 3)):
                at = size + 8 + entry * (words.height + 3)
                item = cell[at : at + words.height + 1, 3:-3]
                colour = studio.choice(theme.accents)
                box(item, colour, radius=3)
                put_line(studio, item[:, 4:], words, WHITE)
            cell[:, :1] = theme.line
            cell[:1] = theme.line


def paint_web(studio: Studio, view: Image) -> None:
    """Fill with a web page: a header, a banner, cards with pictures, text and buttons."""
    theme = draw_theme(studio, dark=0.2)
    view[:] = theme.back
    size = text_size(studio)
    bank = bank_of(studio, size)
    if studio.chance(0.7):
        bar = view[: size * 3]
        bar[:] = studio.choice((theme.back, theme.panel, theme.accents[0], theme.ink))
        ink = BLACK if sum(bar[0, 0].tolist()) > 380 else WHITE
        icon(studio, bar[size // 2 : size * 5 // 2, size : size * 3], theme.accents[1])
        put_line(studio, bar[size:, size * 4 : -size], bank, ink)
        view = view[size * 3 :]
    if studio.chance(0.5):
        banner = view[: view.shape[0] // studio.integer(2, 4)]
        if studio.chance(0.7):
            paint_picture(studio, banner)
        else:
            banner[:] = studio.choice(theme.accents)
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
