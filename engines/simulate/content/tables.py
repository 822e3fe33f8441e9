"""Content in rows and columns: tables, spreadsheets, calendars."""

from __future__ import annotations

from engines.simulate.content.draw import WHITE, Image, Studio, Theme, box, draw_theme, fill, mix
from engines.simulate.content.text import WordBank
from engines.simulate.content.typesetting import bank_of, put_label, put_line, text_size


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
            fill(line, studio.choice((theme.panel, theme.line, theme.accents[1])))
        elif striped and index % 2:
            fill(line, theme.panel)
        for column in range(columns):
            cell = line[:, column * wide + 3 : (column + 1) * wide - 3]
            put_label(studio, cell, bank if index == 0 or column == 0 else figures, theme.ink)
            if ruled:
                fill(line[:, column * wide : column * wide + 1], theme.line)
        if ruled:
            fill(line[-1:], theme.line)


def paint_sheet(studio: Studio, view: Image) -> None:
    """Fill with a spreadsheet: coloured cells, figures, grid lines, headers."""
    theme = draw_theme(studio, dark=0.15)
    fill(view, theme.back)
    size = min(text_size(studio), 20)
    bank, words = bank_of(studio, size, "number"), bank_of(studio, size)
    row, wide = round(bank.height * studio.uniform(1.0, 1.4)), size * studio.integer(5, 9)
    tinted = {studio.integer(1, 12): studio.choice(theme.accents) for _ in range(2)}
    filled = studio.uniform(0.2, 0.95)
    for column, x in enumerate(range(0, view.shape[1], wide)):
        strip = view[:, x : x + wide]
        if column in tinted:
            fill(strip, mix(theme.back, tinted[column], studio.uniform(0.1, 0.5)))
        for index, y in enumerate(range(0, view.shape[0], row)):
            cell = strip[y : y + row]
            if index == 0 or column == 0:
                fill(cell, theme.panel)
            if studio.chance(filled):
                put_label(studio, cell, words if column == 1 else bank, theme.ink)
        fill(strip[:, :1], theme.line)
    fill(view[::row], theme.line)


def paint_calendar(studio: Studio, view: Image) -> None:
    """Fill with a month of days and coloured entries."""
    theme = draw_theme(studio, dark=0.25)
    fill(view, theme.back)
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
            fill(cell[:, :1], theme.line)
            fill(cell[:1], theme.line)
