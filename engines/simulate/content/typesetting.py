"""Setting words into a view: lines, blocks, labels and tabs."""

from __future__ import annotations

from engines.simulate.content.draw import Colour, Image, Studio, Theme, blend, fill
from engines.simulate.content.text import Vocabulary, WordBank, set_block, set_line


def text_size(studio: Studio) -> int:
    """Return a body text size in pixels: mostly 11-17, larger on dense displays, a few small."""
    kind = studio.rng.random()
    if kind < 0.12:
        return studio.integer(8, 10)
    return studio.integer(11, 17) if kind < 0.72 else studio.integer(18, 32)


def bank_of(studio: Studio, size: int, vocabulary: Vocabulary = "prose") -> WordBank:
    """Return words of a random face that suits the vocabulary."""
    return studio.lettering.bank(studio.lettering.pick(studio.rng, vocabulary), size, vocabulary)


def put_line(studio: Studio, view: Image, bank: WordBank, colour: Colour) -> None:
    """Set one line of words at the upper left of the view, where it is high enough."""
    if view.shape[0] >= bank.height:
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


def put_tabs(studio: Studio, bar: Image, theme: Theme, size: int) -> None:
    """Draw a bar of tabs with names."""
    fill(bar, theme.panel)
    bank = bank_of(studio, size)
    x, active = 0, studio.integer(0, 3)
    for index in range(studio.integer(1, 6)):
        wide = size * studio.integer(6, 11)
        tab = bar[:, x : x + wide]
        if index == active:
            fill(tab, theme.back)
        put_label(studio, tab, bank, theme.ink if index == active else theme.faint)
        x += wide
        fill(bar[:, x : x + 1], theme.line)
