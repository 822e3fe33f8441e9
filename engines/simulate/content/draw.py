"""Primitives that paint display content: fills, blends, gradients, icons and the pointer.

Every painter works in place on a view of the canvas, (H, W, 3) uint8 gamma-coded RGB. A view that
is empty or too small for a shape is left alone, so layouts may be cut at any size.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.simulate.content.photos import PhotoLibrary
from engines.simulate.content.text import Lettering

Image = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Colour = tuple[int, int, int]
T = TypeVar("T")

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)


@dataclass(frozen=True)
class Studio:
    """What a painter draws with: its random numbers, its letters and its photographs."""

    rng: np.random.Generator
    lettering: Lettering
    photos: PhotoLibrary | None = None

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return bool(self.rng.random() < probability)

    def integer(self, low: int, high: int) -> int:
        """Return an integer of `low` to `high`, both included; `low` where the range is empty."""
        return low if high <= low else int(self.rng.integers(low, high + 1))

    def uniform(self, low: float, high: float) -> float:
        """Return a number of [low, high)."""
        return low + (high - low) * float(self.rng.random())

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options, all alike likely."""
        return options[int(self.rng.integers(len(options)))]

    def colour(
        self,
        *,
        saturation: tuple[float, float] = (0.3, 1.0),
        value: tuple[float, float] = (0.3, 1.0),
    ) -> Colour:
        """Return a colour of any hue, saturation and value (both 0..1) in the given ranges."""
        return hsv(self.uniform(0, 1), self.uniform(*saturation), self.uniform(*value))


@dataclass(frozen=True)
class Theme:
    """The colours of one application or page."""

    back: Colour
    panel: Colour
    line: Colour
    ink: Colour
    faint: Colour
    accents: tuple[Colour, ...]

    @property
    def dark(self) -> bool:
        """Whether light letters stand on a dark ground."""
        return sum(self.back) < sum(self.ink)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return the 8-bit RGB colour of hue, saturation and value, each 0..1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour that is `share` (0..1) of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def draw_theme(studio: Studio, *, dark: float = 0.3) -> Theme:
    """Return a theme; `dark` is how likely (0..1) light letters on a dark ground are."""
    hue, tint = studio.uniform(0, 1), studio.uniform(0, 0.06)
    accents = tuple(studio.colour(saturation=(0.45, 1), value=(0.5, 0.95)) for _ in range(5))
    if studio.chance(dark):
        back = hsv(hue, tint * 6, studio.uniform(0.0, 0.22))
        ink = hsv(hue, tint, studio.uniform(0.75, 1.0))
    else:
        back = WHITE if studio.chance(0.5) else hsv(hue, tint, studio.uniform(0.88, 1.0))
        ink = hsv(hue, tint * 4, studio.uniform(0.0, 0.25))
    return Theme(
        back=back,
        panel=mix(back, ink, studio.uniform(0.03, 0.1)),
        line=mix(back, ink, studio.uniform(0.12, 0.3)),
        ink=ink,
        faint=mix(ink, back, studio.uniform(0.3, 0.55)),
        accents=accents,
    )


def blend(view: Image, mask: Mask, colour: Colour | Image) -> None:
    """Lay a colour, or a picture of the view's size, over the view by an 8-bit coverage mask.

    The mask, (H, W), may be larger or smaller than the view: both are cut to what they share.
    """
    height, width = min(view.shape[0], mask.shape[0]), min(view.shape[1], mask.shape[1])
    if not height or not width:
        return
    target = view[:height, :width]
    cover = cv2.cvtColor(np.ascontiguousarray(mask[:height, :width]), cv2.COLOR_GRAY2RGB)
    if isinstance(colour, tuple):
        paint: Image = np.empty((height, width, 3), np.uint8)
        fill(paint, colour)
    else:
        paint = colour[:height, :width]
    # Exact division by 255 in 16 bits: (v + 128 + (v + 128 >> 8)) >> 8.
    total = np.multiply(paint, cover, dtype=np.uint16)
    total += np.multiply(target, cv2.bitwise_not(cover), dtype=np.uint16)
    total += 128
    total += total >> 8
    total >>= 8
    target[:] = total


def fill(view: Image, colour: Colour) -> None:
    """Fill the whole view, (H, W, 3), with one colour."""
    if not view.size:
        return
    # Whole rows are copied: NumPy repeats three bytes at a time ten times slower.
    row: Image = np.empty((view.shape[1], 3), np.uint8)
    row[:] = colour
    view[:] = row


def gradient(view: Image, first: Colour, second: Colour, *, angle: float = 0.0) -> None:
    """Fill with a linear gradient; `angle` in radians, 0 runs left to right."""
    height, width = view.shape[:2]
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32) * np.float32(np.cos(angle))
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32) * np.float32(np.sin(angle))
    reach = abs(float(np.cos(angle))) + abs(float(np.sin(angle)))
    ramp = (across[None, :] + down[:, None]) / reach + 0.5
    lookup = np.linspace(first, second, 256).round().astype(np.uint8)
    colourize(view, np.clip(ramp * 255, 0, 255).astype(np.uint8), lookup)


def colourize(view: Image, grey: Mask, lookup: NDArray[np.uint8]) -> None:
    """Fill the view with `lookup[grey]`; grey is (H, W) of the view, lookup is (256, 3)."""
    if view.size:
        view[:] = cv2.LUT(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), lookup[:, None, :])


def box(view: Image, colour: Colour, *, radius: int = 0, border: Colour | None = None) -> None:
    """Fill the whole view with a box, its corners rounded by `radius` pixels."""
    height, width = view.shape[:2]
    if min(height, width) < 2:
        return
    radius = min(radius, height // 2, width // 2)
    if radius < 2:
        fill(view, colour)
        if border is not None:
            cv2.rectangle(view, (0, 0), (width - 1, height - 1), border, 1)
        return
    if border is not None:
        _fill_rounded(view, border, radius)
        view = view[1:-1, 1:-1]
    _fill_rounded(view, colour, min(radius, *(side // 2 for side in view.shape[:2])))


def _fill_rounded(view: Image, colour: Colour, radius: int) -> None:
    if radius < 1:
        fill(view, colour)
        return
    corners = _corners(radius)
    for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
        rows = slice(-radius, None) if down else slice(0, radius)
        columns = slice(-radius, None) if across else slice(0, radius)
        cover = corners[
            down * radius : (down + 1) * radius, across * radius : (across + 1) * radius
        ]
        blend(view[rows, columns], cover, colour)
    fill(view[:radius, radius:-radius], colour)
    fill(view[-radius:, radius:-radius], colour)
    fill(view[radius:-radius], colour)


@lru_cache(maxsize=128)
def _corners(radius: int) -> Mask:
    """Return the coverage of a disc of this radius, (2 * radius, 2 * radius)."""
    fine = np.zeros((4 * radius, 4 * radius), np.uint8)
    cv2.circle(fine, (2 * radius, 2 * radius), 2 * radius - 1, 255, -1, cv2.LINE_AA)
    return np.asarray(cv2.resize(fine, (2 * radius, 2 * radius), interpolation=cv2.INTER_AREA))


def shadow(canvas: Image, top: int, left: int, height: int, width: int) -> None:
    """Darken softly around a box, as under a window; the box itself is to be painted later."""
    spread, coarse = 16, 4
    # Blurred at a quarter of the size: a shadow holds no detail.
    small = np.zeros(((height + 2 * spread) // coarse, (width + 2 * spread) // coarse), np.uint8)
    edge = spread // coarse
    small[edge:-edge, edge:-edge] = 90
    soft = cv2.resize(cv2.blur(small, (edge + 1, edge + 1)), None, fx=coarse, fy=coarse)
    y, x = top - spread // 2, left - spread
    view = canvas[max(y, 0) : y + soft.shape[0], max(x, 0) : x + soft.shape[1]]
    blend(view, np.asarray(soft, np.uint8)[max(-y, 0) :, max(-x, 0) :], BLACK)


def icon(studio: Studio, view: Image, colour: Colour) -> None:
    """Draw a small symbol that fills the view."""
    height, width = view.shape[:2]
    size = min(height, width)
    if size < 6:
        return
    centre, half = (width // 2, height // 2), max(size // 2 - 2, 2)
    stroke = max(1, size // 12)
    kind = studio.integer(0, 6)
    if kind == 0:
        cv2.circle(view, centre, half, colour, stroke, cv2.LINE_AA)
        cv2.line(view, centre, (centre[0], centre[1] - half // 2), colour, stroke, cv2.LINE_AA)
    elif kind == 1:
        box(view[1 : size - 1, 1 : size - 1], colour, radius=size // 4)
    elif kind == 2:
        for row in (-1, 0, 1):
            y = centre[1] + row * half // 2
            cv2.line(view, (centre[0] - half, y), (centre[0] + half, y), colour, stroke)
    else:
        sides = studio.integer(3, 8)
        turn = studio.uniform(0, 6.28)
        angles = turn + np.arange(sides) * 2 * np.pi / sides
        reach = half * np.where(np.arange(sides) % 2, studio.uniform(0.4, 1), 1.0)
        points = np.stack([centre[0] + reach * np.cos(angles), centre[1] + reach * np.sin(angles)])
        corners = points.T.round().astype(np.int32)[None]
        if kind == 3:
            cv2.polylines(view, list(corners), True, colour, stroke, cv2.LINE_AA)
        else:
            cv2.fillPoly(view, list(corners), colour, cv2.LINE_AA)


def pointer(canvas: Image, x: int, y: int, *, size: int = 18) -> None:
    """Draw the arrow of a mouse with its tip at (x, y)."""
    shape = np.array([(0, 0), (0, 16), (4, 12.5), (6.5, 18), (9, 17), (6.5, 11.5), (11.5, 11.5)])
    corners = np.round(shape * (size / 18) * 8 + (8 * x, 8 * y)).astype(np.int32)
    cv2.fillPoly(canvas, [corners], WHITE, cv2.LINE_AA, 3)
    cv2.polylines(canvas, [corners], True, BLACK, 1, cv2.LINE_AA, 3)
