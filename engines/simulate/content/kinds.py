"""Kinds of display content and how often each is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.simulate.content.desktop import paint_icons, paint_windows
from engines.simulate.content.draw import Image, Studio, pointer
from engines.simulate.content.fields import (
    paint_gradient,
    paint_pattern,
    paint_plain,
    paint_test_card,
    paint_textured,
)
from engines.simulate.content.media import paint_film, paint_gallery, paint_game, paint_player
from engines.simulate.content.pages import (
    paint_code,
    paint_document,
    paint_terminal,
    paint_web,
)
from engines.simulate.content.photos import PhotoLibrary
from engines.simulate.content.pictures import paint_picture
from engines.simulate.content.screens import paint_dashboard, paint_slide
from engines.simulate.content.tables import paint_calendar, paint_sheet
from engines.simulate.content.text import Lettering, builtin_lettering

MIN_SIDE = 32
# Layouts are drawn up to this much larger than asked and cut, as a camera frames part of a screen.
_MARGIN = 0.35
_MARGIN_MAX_SIDE = 900


class Content(NamedTuple):
    """A kind of content: who paints it, and how often it is drawn against the others."""

    paint: Callable[[Studio, Image], None]
    weight: float


def paint_mixed(studio: Studio, view: Image) -> None:
    """Fill with two to four areas of other kinds, side by side."""
    kinds = [name for name in CONTENTS if name != "mixed"]
    if min(view.shape[:2]) < 2 * MIN_SIDE:
        CONTENTS[studio.choice(kinds)].paint(studio, view)
        return
    along = view.shape[0] if view.shape[0] > view.shape[1] * studio.uniform(0.6, 1.6) else 0
    cut = int((along or view.shape[1]) * studio.uniform(0.3, 0.7))
    halves = (view[:cut], view[cut:]) if along else (view[:, :cut], view[:, cut:])
    for half in halves:
        deeper = studio.chance(0.3) and min(half.shape[:2]) > 200
        name = "mixed" if deeper else studio.choice(kinds)
        CONTENTS[name].paint(studio, half)


CONTENTS: dict[str, Content] = {
    "code": Content(paint_code, 9),
    "document": Content(paint_document, 13),
    "web": Content(paint_web, 13),
    "slide": Content(paint_slide, 8),
    "terminal": Content(paint_terminal, 3),
    "dashboard": Content(paint_dashboard, 5),
    "windows": Content(paint_windows, 6),
    "icons": Content(paint_icons, 3),
    "plain": Content(paint_plain, 7),
    "gradient": Content(paint_gradient, 6),
    "film": Content(paint_film, 26),
    "picture": Content(paint_picture, 5),
    "gallery": Content(paint_gallery, 4),
    "player": Content(paint_player, 4),
    "pattern": Content(paint_pattern, 6),
    "textured": Content(paint_textured, 6),
    "test_card": Content(paint_test_card, 0.5),
    "sheet": Content(paint_sheet, 4),
    "calendar": Content(paint_calendar, 2),
    "game": Content(paint_game, 3),
    "mixed": Content(paint_mixed, 6),
}
"""Every kind of content by name, with how often it is drawn."""

_WHOLE = {"plain", "gradient", "film", "picture", "pattern"}  # nothing to gain from a margin


def draw_content(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    photos: PhotoLibrary | None = None,
    text: Lettering | None = None,
    kind: str | None = None,
) -> NDArray[np.uint8]:
    """Return what a screen shows, (height, width, 3) uint8 RGB, gamma-coded as displays take it.

    The same state of `rng` gives the same picture on one machine.

    Args:
        rng: Source of every choice.
        height: In display pixels, at least 32.
        width: In display pixels, at least 32.
        photos: Photographs to use among the pictures; made-up pictures alone without.
        text: Letters; OpenCV's own without.
        kind: A key of `CONTENTS`; drawn by weight without.

    Raises:
        ValueError: The size is too small or the kind unknown.
    """
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"content of {width}x{height} display pixels: sides must be >= {MIN_SIDE}")
    if kind is not None and kind not in CONTENTS:
        raise ValueError(f"content kind {kind!r} is unknown; one of {', '.join(CONTENTS)}")
    studio = Studio(rng, text if text is not None else builtin_lettering(), photos)
    name = kind if kind is not None else _draw_kind(rng)
    canvas = np.empty((*_drawn_size(studio, name, height, width), 3), np.uint8)
    CONTENTS[name].paint(studio, canvas)
    top = studio.integer(0, canvas.shape[0] - height)
    left = studio.integer(0, canvas.shape[1] - width)
    picture = np.ascontiguousarray(canvas[top : top + height, left : left + width])
    if studio.chance(0.08):
        pointer(
            picture,
            studio.integer(0, width),
            studio.integer(0, height),
            size=studio.integer(12, 40),
        )
    return _adjust(studio, picture)


def _draw_kind(rng: np.random.Generator) -> str:
    weights = np.array([content.weight for content in CONTENTS.values()])
    return list(CONTENTS)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _drawn_size(studio: Studio, name: str, height: int, width: int) -> tuple[int, int]:
    if name in _WHOLE or max(height, width) > _MARGIN_MAX_SIDE or studio.chance(0.4):
        return height, width
    grow = 1 + studio.uniform(0, _MARGIN)
    return round(height * grow), round(width * grow)


def _adjust(studio: Studio, picture: Image) -> Image:
    """Return the picture as a user may have set the screen: dimmed, warm at night, or as it is."""
    if not studio.chance(0.15):
        return picture
    warmth, gain = studio.uniform(-0.1, 0.45), studio.uniform(0.55, 1.0)
    gains = gain * np.array([1.0, 1 - 0.4 * max(warmth, 0), 1 - max(warmth, 0)])
    if warmth < 0:
        gains = gain * np.array([1 + warmth, 1 + warmth / 2, 1.0])
    lookup = np.arange(256)[:, None] * gains
    return np.asarray(cv2.LUT(picture, lookup.round().astype(np.uint8)[:, None, :]), np.uint8)
