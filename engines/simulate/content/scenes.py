"""Makers of scenes: which kinds there are and how often each is drawn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.simulate.content.draw import Image, Studio, blend, draw_theme, fill
from engines.simulate.content.kinds import draw_content
from engines.simulate.content.motion import (
    Cuts,
    Film,
    Inset,
    Pointing,
    Scene,
    Scroll,
    Sprite,
    Still,
    Typing,
    draw_journey,
)
from engines.simulate.content.photos import PhotoLibrary
from engines.simulate.content.pictures import paint_picture, paint_sphere
from engines.simulate.content.text import Lettering, builtin_lettering, set_line
from engines.simulate.content.typesetting import bank_of, text_size

_SCROLLED = ("document", "document", "web", "web", "code", "terminal", "gallery", "sheet")
_AROUND_PLAYER = ("web", "windows", "player", "dashboard")


def _content(studio: Studio, height: int, width: int, kind: str | None = None) -> Image:
    return draw_content(
        studio.rng, height, width, photos=studio.photos, text=studio.lettering, kind=kind
    )


def _still(studio: Studio, height: int, width: int) -> Scene:
    return Still(_content(studio, height, width))


def _scroll(studio: Studio, height: int, width: int) -> Scene:
    kind = studio.choice(
        ("document", "document", "web", "web", "code", "terminal", "gallery", "sheet")
    )
    page = _content(studio, int(height * studio.uniform(1.6, 3)), width, kind)
    if kind == "terminal" or studio.chance(0.25):  # in jumps of a few lines
        step = studio.integer(8, 40)
        journey = draw_journey(studio, move_s=(0.02, 0.6), rest_s=(0.1, 1.5), reach=0.3)
        return Scroll(page, height, journey, step)
    if studio.chance(0.4):  # read slowly, all the time
        journey = draw_journey(studio, move_s=(3, 12), rest_s=(0.02, 1))
        return Scroll(page, height, journey, 1)
    journey = draw_journey(studio, move_s=(0.3, 1.2), rest_s=(0.3, 3), reach=0.4)
    return Scroll(page, height, journey, 1)


def _cursor(studio: Studio, height: int, width: int) -> Scene:
    under = Still(_content(studio, height, width))
    wander = partial(draw_journey, studio, move_s=(0.2, 1.2), rest_s=(0.05, 1.5))
    return Pointing(under, wander(), wander(), studio.integer(14, 36))


def _typing(studio: Studio, height: int, width: int) -> Scene:
    theme = draw_theme(studio, dark=0.5)
    bank = bank_of(studio, text_size(studio), studio.choice(("prose", "code")))
    empty: Image = np.empty((height, width, 3), np.uint8)
    fill(empty, theme.back)
    mask = np.zeros((height, width), np.uint8)
    stops: list[tuple[int, int]] = []
    margin = min(bank.size, width // 8)
    for top in range(margin // 2, max(height - bank.height, 1), round(bank.height * 1.2)):
        line = set_line(studio.rng, bank, int((width - margin) * studio.uniform(0.3, 1)))
        room = mask[top : top + bank.height, margin : margin + line.mask.shape[1]]
        room[:] = line.mask[: room.shape[0]]
        stops += [(top, margin + right) for _, right in line.spans]
    full = empty.copy()
    blend(full, mask, theme.ink)
    done = tuple(stops) or ((0, 0),)
    begun = studio.integer(0, len(done))
    return Typing(empty, full, done, bank.height, studio.uniform(1, 8), begun, theme.ink)


def _film(studio: Studio, height: int, width: int) -> Scene:
    grow = studio.uniform(1.0, 1.5)
    picture = _content(studio, round(height * grow), round(width * grow), "film")
    slow = studio.chance(0.6)
    move_s = (2.0, 9.0) if slow else (0.4, 2.0)
    travel = partial(draw_journey, studio, move_s=move_s, rest_s=(0.02, 1.5))
    things = studio.integer(0, 5)
    sprites = tuple(_sprite(studio, height, width) for _ in range(things))
    rate = studio.choice((24000 / 1001, 24.0, 25.0, 30.0, 30000 / 1001, 50.0, 60.0))
    return Film(picture, (height, width), rate, travel(), travel(), travel(), sprites)


def _sprite(studio: Studio, height: int, width: int) -> Sprite:
    size = studio.integer(8, max(9, min(height, width) // 3))
    picture: Image = np.empty((size, size, 3), np.uint8)
    cover = np.zeros((size, size), np.uint8)
    paint_picture(studio, picture)
    if studio.chance(0.5):
        paint_sphere(picture, studio.colour())
    cv2.circle(cover, (size // 2, size // 2), size // 2 - 1, 255, -1, cv2.LINE_AA)
    travel = partial(draw_journey, studio, move_s=(0.5, 4.0), rest_s=(0.02, 0.5))
    return Sprite(picture, cover, travel(), travel())


def _player(studio: Studio, height: int, width: int) -> Scene:
    tall, wide = int(height * studio.uniform(0.4, 0.9)), int(width * studio.uniform(0.4, 0.95))
    around = _content(studio, height, width, studio.choice(_AROUND_PLAYER))
    top, left = studio.integer(0, height - tall), studio.integer(0, width - wide)
    return Inset(around, _film(studio, tall, wide), top, left)


def _cuts(studio: Studio, height: int, width: int) -> Scene:
    talk = studio.chance(0.5)
    parts: list[Scene] = []
    starts = [0.0]
    for _ in range(studio.integer(2, 5)):
        if talk:
            parts.append(Still(_content(studio, height, width, "slide")))
        else:
            parts.append(studio.choice((_film, _film, _still))(studio, height, width))
        starts.append(starts[-1] + studio.uniform(0.4, 5))
    fade_s = studio.uniform(0.2, 0.4) if studio.chance(0.4) else 0.0
    return Cuts(tuple(parts), tuple(starts), fade_s)


class SceneKind(NamedTuple):
    """A kind of scene: who makes it, and how often it is drawn against the others."""

    make: Callable[[Studio, int, int], Scene]
    weight: float


SCENES: dict[str, SceneKind] = {
    "static": SceneKind(_still, 30),
    "scroll": SceneKind(_scroll, 16),
    "cursor": SceneKind(_cursor, 10),
    "typing": SceneKind(_typing, 8),
    "film": SceneKind(_film, 20),
    "player": SceneKind(_player, 8),
    "cuts": SceneKind(_cuts, 8),
}
"""Every kind of scene by name, with how often it is drawn."""


def scene(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    kind: str | None = None,
    photos: PhotoLibrary | None = None,
    text: Lettering | None = None,
) -> Scene:
    """Return what a screen of (height, width) display pixels shows over time.

    Args:
        rng: Source of every choice; not used any more once the scene is made.
        height: In display pixels, at least 96.
        width: In display pixels, at least 96.
        kind: A key of `SCENES`; drawn by weight without.
        photos: Photographs to use among the pictures; made-up pictures alone without.
        text: Letters; OpenCV's own without.

    Raises:
        ValueError: The size is too small or the kind unknown.
    """
    if min(height, width) < 96:
        raise ValueError(f"scene of {width}x{height} display pixels: both sides must be >= 96")
    if kind is not None and kind not in SCENES:
        raise ValueError(f"scene kind {kind!r} is unknown; one of {', '.join(SCENES)}")
    if kind is None:
        weights: NDArray[np.float64] = np.array([entry.weight for entry in SCENES.values()])
        kind = list(SCENES)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    studio = Studio(rng, text if text is not None else builtin_lettering(), photos)
    return SCENES[kind].make(studio, height, width)
