"""Scenes: display content as a function of time.

`frame(t_s)` may be asked for in any order and gives the same picture for the same time. Frames must
not be written to: a scene that stands still returns the same array every time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from engines.simulate.content.draw import Image, Mask, Studio, blend, pointer

_PERIOD_S = 40.0  # journeys repeat after this


class Scene(ABC):
    """What a screen shows over time."""

    @abstractmethod
    def frame(self, t_s: float) -> Image:
        """Return the screen at `t_s` seconds (>= 0), (H, W, 3) uint8 RGB; not to be written to."""


@dataclass(frozen=True)
class Still(Scene):
    """One picture for ever."""

    picture: Image

    def frame(self, t_s: float) -> Image:
        """Return the picture itself."""
        return self.picture


@dataclass(frozen=True)
class Journey:
    """A position that rests and moves by turns, between 0 and 1, smoothly; repeats itself.

    `times` has the start of every leg and the end, seconds; legs run between `places`.
    """

    times: tuple[float, ...]
    places: tuple[float, ...]

    def at(self, t_s: float) -> float:
        """Return the position at a time."""
        t_s = t_s % self.times[-1]
        leg = min(bisect_right(self.times, t_s), len(self.times) - 1)
        start, stop = self.times[leg - 1], self.times[leg]
        share = (t_s - start) / (stop - start)
        eased = share * share * (3 - 2 * share)
        return self.places[leg - 1] + (self.places[leg] - self.places[leg - 1]) * eased


def draw_journey(
    studio: Studio, *, move_s: tuple[float, float], rest_s: tuple[float, float], reach: float = 1.0
) -> Journey:
    """Return a random journey with legs of these durations, each at most `reach` long."""
    times, places = [0.0], [studio.uniform(0, 1)]
    while times[-1] < _PERIOD_S:
        target = min(max(places[-1] + studio.uniform(-reach, reach), 0.0), 1.0)
        times.append(times[-1] + max(0.02, studio.uniform(*move_s)))
        places.append(target)
        times.append(times[-1] + max(0.02, studio.uniform(*rest_s)))
        places.append(target)
    times.append(times[-1] + 1.0)
    places.append(places[0])
    return Journey(tuple(times), tuple(places))


@dataclass(frozen=True)
class Scroll(Scene):
    """A window over a long page, moved up and down in whole pixels or whole `step`s."""

    page: Image
    height: int
    journey: Journey
    step: int

    def frame(self, t_s: float) -> Image:
        """Return the visible part of the page; a view, not a copy."""
        top = self.journey.at(t_s) * (self.page.shape[0] - self.height)
        row = int(top) // self.step * self.step
        return self.page[row : row + self.height]


@dataclass(frozen=True)
class Pointing(Scene):
    """A mouse pointer that wanders over another scene."""

    under: Scene
    across: Journey
    down: Journey
    size: int

    def frame(self, t_s: float) -> Image:
        """Return the scene below with the pointer on it."""
        picture = self.under.frame(t_s).copy()
        height, width = picture.shape[:2]
        x, y = int(self.across.at(t_s) * width), int(self.down.at(t_s) * height)
        pointer(picture, x, y, size=self.size)
        return picture


@dataclass(frozen=True)
class Typing(Scene):
    """Text that appears word by word behind a blinking caret; starts again when the page is full.

    `stops` are (top, right edge) of every word in the order of typing; `begun` of
    them stand at time 0.
    """

    empty: Image
    full: Image
    stops: tuple[tuple[int, int], ...]
    line_height: int
    words_per_s: float
    begun: int
    caret: tuple[int, int, int]

    def frame(self, t_s: float) -> Image:
        """Return the page as far as it is typed."""
        count = (self.begun + int(t_s * self.words_per_s)) % (len(self.stops) + 1)
        picture = self.empty.copy()
        top, right = self.stops[count - 1] if count else (self.stops[0][0], 0)
        picture[:top] = self.full[:top]
        line = slice(top, top + self.line_height)
        picture[line, :right] = self.full[line, :right]
        if t_s % 1.0 < 0.5:
            picture[line, right + 2 : right + 4] = self.caret
        return picture


class Sprite(NamedTuple):
    """A cut-out that moves before a film: its picture, its coverage and its way."""

    picture: Image
    cover: Mask
    across: Journey
    down: Journey


@dataclass(frozen=True)
class Film(Scene):
    """A playing film: a camera that pans and zooms over a picture, with things moving before it.

    Holds every picture for one film frame, whatever the time asked for.
    """

    picture: Image
    size: tuple[int, int]
    frames_per_s: float
    across: Journey
    down: Journey
    zoom: Journey
    sprites: tuple[Sprite, ...]

    def frame(self, t_s: float) -> Image:
        """Return the film's picture at this time."""
        t_s = int(t_s * self.frames_per_s) / self.frames_per_s
        height, width = self.size
        full_height, full_width = self.picture.shape[:2]
        fit = min(full_height / height, full_width / width)
        scale = fit * (0.65 + 0.35 * self.zoom.at(t_s))
        left = self.across.at(t_s) * (full_width - width * scale)
        top = self.down.at(t_s) * (full_height - height * scale)
        to_source = np.array([[scale, 0, left], [0, scale, top]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        picture = np.asarray(
            cv2.warpAffine(
                self.picture, to_source, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT
            ),
            np.uint8,
        )
        for sprite in self.sprites:
            x = int(sprite.across.at(t_s) * (width - sprite.cover.shape[1]))
            y = int(sprite.down.at(t_s) * (height - sprite.cover.shape[0]))
            blend(picture[y:, x:], sprite.cover, sprite.picture)
        return picture


@dataclass(frozen=True)
class Inset(Scene):
    """A scene in a rectangle (top, left) of a picture that stands still."""

    around: Image
    inner: Scene
    top: int
    left: int

    def frame(self, t_s: float) -> Image:
        """Return the picture with the inner scene's frame in it."""
        inner = self.inner.frame(t_s)
        picture = self.around.copy()
        picture[self.top : self.top + inner.shape[0], self.left : self.left + inner.shape[1]] = (
            inner
        )
        return picture


@dataclass(frozen=True)
class Cuts(Scene):
    """Scenes one after the other, with hard cuts or, over `fade_s`, dissolves; repeats itself.

    `starts` are the seconds at which each scene begins, then the end of the last.
    """

    scenes: tuple[Scene, ...]
    starts: tuple[float, ...]
    fade_s: float

    def frame(self, t_s: float) -> Image:
        """Return the frame of the scene whose turn it is."""
        t_s = t_s % self.starts[-1]
        index = bisect_right(self.starts, t_s) - 1
        picture = self.scenes[index].frame(t_s)
        since = t_s - self.starts[index]
        if since >= self.fade_s:
            return picture
        before, share = self.scenes[index - 1].frame(t_s), since / self.fade_s
        return np.asarray(cv2.addWeighted(picture, share, before, 1 - share, 0), np.uint8)
