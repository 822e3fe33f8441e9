"""Natural-looking pictures without photographs: clouds, landscapes, spheres, cities, blur."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.simulate.content.draw import (
    BLACK,
    WHITE,
    Colour,
    Image,
    Mask,
    Studio,
    blend,
    colourize,
    fill,
    gradient,
    hsv,
    mix,
)

_TILE = 1024
# Power falls by frequency to minus twice this; photographs lie near 1.
_ROUGHNESS = (0.9, 1.15, 1.4, 1.8)


@lru_cache(maxsize=len(_ROUGHNESS))
def fractal_tile(roughness: float) -> Mask:
    """Return a periodic 1/f^roughness texture, (1024, 1024) uint8, mean about 128."""
    rng = np.random.default_rng(round(1000 * roughness))
    spectrum = np.fft.rfft2(rng.standard_normal((_TILE, _TILE)))
    rows, columns = np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)[None, :]
    radius = np.hypot(rows, columns)
    radius[0, 0] = 1.0
    # Waves longer than a quarter of the tile would leave a cut nearly flat.
    spectrum *= 1 / np.maximum(radius, 4 / _TILE) ** roughness
    spectrum[0, 0] = 0
    texture = np.fft.irfft2(spectrum, s=(_TILE, _TILE))
    scaled: Mask = np.clip(128 + 52 * texture / texture.std(), 0, 255).astype(np.uint8)
    scaled.setflags(write=False)
    return scaled


def texture(studio: Studio, height: int, width: int, roughness: float | None = None) -> Mask:
    """Return a random cut of a fractal texture, (height, width) uint8."""
    tile = fractal_tile(studio.choice(_ROUGHNESS) if roughness is None else roughness)
    if studio.chance(0.5):
        tile = tile.T
    if height > _TILE or width > _TILE:
        tile = np.tile(tile, (-(-height // _TILE), -(-width // _TILE)))
    top = studio.integer(0, tile.shape[0] - height)
    left = studio.integer(0, tile.shape[1] - width)
    return np.ascontiguousarray(tile[top : top + height, left : left + width])


def paint_picture(studio: Studio, view: Image) -> None:
    """Fill the view with a photograph where there are any (mostly), or a made-up picture."""
    height, width = view.shape[:2]
    if min(height, width) < 8:
        fill(view, studio.colour())
        return
    if studio.photos is not None and studio.chance(0.8):
        view[:] = studio.photos.draw(studio.rng, height, width)
        return
    studio.choice(_PICTURES)(studio, view)


def paint_clouds(studio: Studio, view: Image) -> None:
    """Fill with a fractal texture in three colours."""
    stops = [studio.colour(saturation=(0.1, 0.9), value=(low, low + 0.4)) for low in (0.05, 0.6)]
    middle = studio.colour(saturation=(0.2, 0.8), value=(0.3, 0.9))
    lower = np.linspace(stops[0], middle, 128)
    lookup = np.concatenate([lower, np.linspace(middle, stops[1], 128)]).round().astype(np.uint8)
    colourize(view, texture(studio, view.shape[0], view.shape[1]), lookup)


def paint_noise(studio: Studio, view: Image) -> None:
    """Fill with 1/f noise, each channel of its own but mostly alike, as in photographs."""
    height, width = view.shape[:2]
    grey = texture(studio, height, width)
    centre = studio.uniform(70, 190)
    for channel in range(3):
        own = texture(studio, height, width, 1.4)
        share = studio.uniform(0.1, 0.4)
        offset = centre - 128 + studio.uniform(-25, 25)
        view[..., channel] = cv2.addWeighted(grey, 1 - share, own, share, offset)


def paint_bokeh(studio: Studio, view: Image) -> None:
    """Fill with blurred discs of light before a dark or coloured ground."""
    height, width = view.shape[:2]
    small = np.empty((max(height // 3, 4), max(width // 3, 4), 3), np.uint8)
    gradient(
        small,
        studio.colour(value=(0.05, 0.5)),
        studio.colour(value=(0.1, 0.8)),
        angle=studio.uniform(0, 6.28),
    )
    for _ in range(studio.integer(6, 40)):
        centre = (studio.integer(0, small.shape[1]), studio.integer(0, small.shape[0]))
        radius = studio.integer(2, max(3, min(small.shape[:2]) // 7))
        cv2.circle(small, centre, radius, studio.colour(value=(0.5, 1)), -1, cv2.LINE_AA)
    softened = cv2.GaussianBlur(small, (0, 0), studio.uniform(0.8, 5))
    view[:] = cv2.resize(softened, (width, height), interpolation=cv2.INTER_CUBIC)


def paint_landscape(studio: Studio, view: Image) -> None:
    """Fill with a sky, perhaps a sun, and ridges that grow darker towards the viewer."""
    height, width = view.shape[:2]
    hue = studio.choice((0.58, 0.6, 0.62, 0.05, 0.08, 0.9))
    low = hsv(hue + 0.03, studio.uniform(0.05, 0.5), studio.uniform(0.7, 1))
    gradient(view, hsv(hue, studio.uniform(0.3, 0.9), studio.uniform(0.3, 0.95)), low, angle=1.57)
    if studio.chance(0.7):
        haze = texture(studio, height, width, 1.8)
        blend(view, np.maximum(haze, 110) - 110, WHITE)
    if studio.chance(0.4):
        centre = (studio.integer(0, width), studio.integer(0, height // 2))
        sun = np.zeros((height, width), np.uint8)
        cv2.circle(sun, centre, max(3, min(height, width) // 12), 255, -1, cv2.LINE_AA)
        blend(view, sun, (255, 246, 214))
    near = hsv(studio.uniform(0.05, 0.45), studio.uniform(0.3, 0.8), studio.uniform(0.1, 0.45))
    ridges = studio.integer(2, 4)
    for index in range(ridges):
        depth = (index + 1) / ridges
        level = height * (0.35 + 0.5 * index / ridges + studio.uniform(-0.05, 0.05))
        profile = _ridge(studio, width) * height * 0.22 * (1.2 - 0.5 * depth)
        rows = np.arange(height, dtype=np.float32)[:, None]
        edge = np.clip((rows - (level + profile)[None, :]) * 255, 0, 255).astype(np.uint8)
        ground = np.empty_like(view)
        colour = mix(low, near, depth)
        lookup = np.linspace(mix(colour, BLACK, 0.45), mix(colour, WHITE, 0.18), 256)
        colourize(ground, texture(studio, height, width, 1.15), lookup.round().astype(np.uint8))
        blend(view, edge, ground)


def _ridge(studio: Studio, width: int) -> NDArray[np.float32]:
    """Return a mountain profile, (width,), about -1..1."""
    tile = fractal_tile(studio.choice((1.4, 1.8, 1.8)))
    row = tile[studio.integer(0, _TILE - 1)].astype(np.float32)
    span = studio.integer(60, 300)
    start = studio.integer(0, _TILE - span)
    cut = row[None, start : start + span] / 64 - 2
    profile = cv2.resize(cut, (width, 1), interpolation=cv2.INTER_CUBIC)
    return np.asarray(profile, np.float32).reshape(width)


@lru_cache(maxsize=1)
def _sphere() -> tuple[Mask, Mask]:
    """Return shading and coverage of a ball lit from the upper left, (256, 256) each."""
    axis = (np.arange(256, dtype=np.float32) - 127.5) / 126
    x, y = axis[None, :], axis[:, None]
    z = np.sqrt(np.maximum(0, 1 - x * x - y * y))
    facing = np.maximum(0, 0.9 * z / 1.5 - (x + y) / 1.9)
    shade = np.clip(25 + 170 * facing + 200 * facing**24, 0, 255).astype(np.uint8)
    cover = np.clip((1 - np.hypot(x, y)) * 126 + 0.5, 0, 1)
    return shade, (255 * cover).astype(np.uint8)


def paint_spheres(studio: Studio, view: Image) -> None:
    """Fill with shaded balls before a soft ground."""
    height, width = view.shape[:2]
    gradient(
        view,
        studio.colour(saturation=(0, 0.5)),
        studio.colour(saturation=(0, 0.5)),
        angle=studio.uniform(0, 6.28),
    )
    for _ in range(studio.integer(2, 9)):
        size = studio.integer(8, max(9, min(height, width) * 2 // 3))
        top, left = studio.integer(0, height - size), studio.integer(0, width - size)
        paint_sphere(view[top : top + size, left : left + size], studio.colour())


def paint_sphere(view: Image, colour: Colour) -> None:
    """Lay a shaded ball over the view."""
    height, width = view.shape[:2]
    shade, cover = (
        np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        for part in _sphere()
    )
    ramp = np.concatenate([np.linspace(BLACK, colour, 200), np.linspace(colour, WHITE, 56)])
    ball = np.empty_like(view)
    colourize(ball, shade, ramp.round().astype(np.uint8))
    blend(view, cover, ball)


def paint_city(studio: Studio, view: Image) -> None:
    """Fill with house fronts and their windows, by day or by night."""
    height, width = view.shape[:2]
    night = studio.chance(0.5)
    sky = studio.colour(saturation=(0.2, 0.7), value=(0.05, 0.3) if night else (0.7, 1))
    gradient(view, sky, mix(sky, WHITE, 0.25), angle=1.57)
    x = 0
    while x < width:
        wide = studio.integer(max(6, width // 12), max(8, width // 4))
        top = studio.integer(height // 8, height * 3 // 4)
        value = (0.05, 0.25) if night else (0.3, 0.85)
        wall = studio.colour(saturation=(0.05, 0.5), value=value)
        front = view[top:, x : x + wide]
        fill(front, wall)
        pitch = studio.integer(5, 18)
        lit = (
            studio.colour(saturation=(0.1, 0.5), value=(0.8, 1)) if night else mix(wall, BLACK, 0.4)
        )
        for row in range(3, front.shape[0] - pitch, pitch):
            for column in range(3, front.shape[1] - pitch // 2, pitch):
                if not night or studio.chance(0.5):
                    fill(front[row : row + pitch // 2, column : column + pitch // 2], lit)
        x += wide
    grain = texture(studio, height, width, 1.15)
    view[:] = cv2.addWeighted(view, 0.85, cv2.cvtColor(grain, cv2.COLOR_GRAY2RGB), 0.15, 0)


def paint_still_life(studio: Studio, view: Image) -> None:
    """Fill with textured things that overlap, sharp or out of focus."""
    height, width = view.shape[:2]
    base = studio.uniform(0, 1)
    _surface(studio, view, hsv(base, studio.uniform(0.05, 0.5), studio.uniform(0.3, 0.95)))
    things = studio.integer(3, 9)
    for index in range(things):
        tall = studio.integer(height // 8 + 4, height // 2 + 5)
        wide = studio.integer(width // 8 + 4, width // 2 + 5)
        top = studio.integer(0, max(0, height - tall // 2))
        left = studio.integer(0, max(0, width - wide // 2))
        part = view[top : top + tall, left : left + wide]
        if min(part.shape[:2]) < 4:
            continue
        thing = np.empty_like(part)
        hue = base + studio.uniform(-0.15, 0.15) + studio.choice((0, 0, 0.5))
        _surface(studio, thing, hsv(hue, studio.uniform(0.1, 0.9), studio.uniform(0.15, 1)))
        cover = np.zeros(part.shape[:2], np.uint8)
        centre, axes = (part.shape[1] // 2, part.shape[0] // 2), (wide * 3 // 8, tall * 3 // 8)
        if studio.chance(0.6):
            cv2.ellipse(cover, centre, axes, studio.uniform(-25, 25), 0, 360, 255, -1, cv2.LINE_AA)
        else:
            cover[tall // 8 : -tall // 8, wide // 8 : -wide // 8] = 255
        focus = (things - index) * studio.uniform(0.1, 0.8)
        blend(part, np.asarray(cv2.GaussianBlur(cover, (0, 0), 0.4 + focus), np.uint8), thing)


def _surface(studio: Studio, view: Image, colour: Colour) -> None:
    """Fill with a lit, textured surface of one colour."""
    dark, light = mix(colour, BLACK, studio.uniform(0.2, 0.7)), mix(colour, WHITE, 0.35)
    gradient(view, dark, light, angle=studio.uniform(0, 6.28))
    grain = cv2.cvtColor(texture(studio, view.shape[0], view.shape[1]), cv2.COLOR_GRAY2RGB)
    amount = studio.uniform(0.02, 0.3)
    view[:] = cv2.addWeighted(
        np.ascontiguousarray(view), 1 - amount / 2, grain, amount, -64 * amount
    )


_PICTURES: tuple[Callable[[Studio, Image], None], ...] = (
    paint_clouds,
    paint_noise,
    paint_bokeh,
    paint_landscape,
    paint_landscape,
    paint_landscape,
    paint_spheres,
    paint_city,
    paint_city,
    paint_still_life,
    paint_still_life,
)
