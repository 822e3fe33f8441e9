"""Takes: what is shown, how it is filmed, and the pair that comes of it, all from a seed.

A take's parameters are drawn without filming anything, so they can be listed for a data set.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from engines.simulate.arrays import Device
from engines.simulate.clip import Hand, draw_hand, draw_tripod, simulate_clip
from engines.simulate.clip_codec import ClipCompression, compress_filmed, draw_generations
from engines.simulate.conditions import Conditions, draw_conditions
from engines.simulate.content import (
    SCENES,
    Lettering,
    PhotoLibrary,
    Scene,
    TextRenderer,
    draw_content,
    scene,
)
from engines.simulate.film import (
    Filmed,
    content_size,
    film_on,
    match_clip_colours,
    match_colours,
)
from engines.simulate.metering import Metering, draw_metering

Holding = Literal["any", "tripod", "hand"]

_TRIPOD_SHARE = 0.3
_LEAST_SCENE = 96
_LEAST_CONTENT = 32
_CONDITIONS, _CONTENT, _NOISE = range(3)


@dataclass(frozen=True)
class Show:
    """What there is to show on the screen."""

    photos: PhotoLibrary | None = None
    lettering: Lettering | None = None
    """Letters; OpenCV's own without."""


@lru_cache(maxsize=1)
def load_show(photo_folders: tuple[Path, ...]) -> Show:
    """Return photographs and typefaces, kept for the next call with the same folders.

    Without Pillow, or on a machine without fonts, letters are OpenCV's own.

    Raises:
        FileNotFoundError: A folder is missing, or there is no picture in any of them.
    """
    photos = PhotoLibrary(photo_folders) if photo_folders else None
    try:
        return Show(photos, TextRenderer())
    except (ImportError, FileNotFoundError):
        return Show(photos)


@dataclass(frozen=True)
class PictureTake:
    """One picture of a screen."""

    seed: tuple[int, ...]
    """Of the content and the noise."""
    conditions: Conditions


@dataclass(frozen=True)
class ClipTake:
    """One clip of a screen."""

    seed: tuple[int, ...]
    """Of the content, the movement and the noise."""
    scene: str
    """A key of `content.SCENES`."""
    conditions: Conditions
    """Without compression: that of a clip is in `generations`."""
    hand: Hand
    metering: Metering
    generations: tuple[ClipCompression, ...]


def draw_picture(*seed: int) -> PictureTake:
    """Draw how a picture is filmed."""
    return PictureTake(seed, draw_conditions(np.random.default_rng([*seed, _CONDITIONS])))


def film_picture(
    take: PictureTake, show: Show, *, height: int, width: int, device: Device = "cpu"
) -> Filmed:
    """Film a picture; its truth has the picture's mean colours.

    On another device the same take has other noise.

    Args:
        take: How it is filmed, by `draw_picture`.
        show: What there is to show.
        height: Rows, even.
        width: Columns, even.
        device: What films it.
    """
    rows, columns = content_size(take.conditions, height=height, width=width)
    content = draw_content(
        np.random.default_rng([*take.seed, _CONTENT]),
        max(_LEAST_CONTENT, rows),
        max(_LEAST_CONTENT, columns),
        photos=show.photos,
        text=show.lettering,
    )
    noise = np.random.default_rng([*take.seed, _NOISE])
    filmed = film_on(device, content, take.conditions, noise, height=height, width=width)
    return Filmed(filmed.picture, match_colours(filmed.truth, filmed.picture))


def draw_clip(*seed: int, holding: Holding = "any") -> ClipTake:
    """Draw how a clip is filmed; the last number of the seed goes through the kinds of scenes."""
    rng = np.random.default_rng([*seed, _CONDITIONS])
    drawn = draw_conditions(rng)
    copied = drawn.rescale if drawn.rescale > 1 else None
    on_tripod = rng.random() < _TRIPOD_SHARE if holding == "any" else holding == "tripod"
    return ClipTake(
        seed=seed,
        scene=list(SCENES)[seed[-1] % len(SCENES)],
        conditions=replace(drawn, first_compression=None, rescale=1.0, compression=None),
        hand=draw_tripod(rng) if on_tripod else draw_hand(rng),
        metering=draw_metering(rng),
        generations=draw_generations(rng, copied=copied),
    )


def film_clip(
    take: ClipTake,
    show: Show,
    *,
    height: int,
    width: int,
    frame_rate: Fraction,
    frames: int,
    workers: int = 2,
    device: Device = "cpu",
) -> Generator[Filmed, None, None]:
    """Yield a clip's frames in order, each with its truth; a few tens are held at a time.

    The truth has the picture's colours, slowly following. On another device the same take has other
    noise.

    Args:
        take: How it is filmed, by `draw_clip`.
        show: What there is to show.
        height: Rows, even.
        width: Columns, even.
        frame_rate: Frames per second.
        frames: Length of the clip.
        workers: Frames simulated at a time, on threads.
        device: What films them.
    """
    clip = simulate_clip(
        _scene(take, show, height=height, width=width),
        take.conditions,
        take.hand,
        seed=int(np.random.default_rng([*take.seed, _NOISE]).integers(2**63)),
        height=height,
        width=width,
        frame_rate=float(frame_rate),
        frames=frames,
        workers=workers,
        metering=take.metering,
        device=device,
    )
    matched = match_clip_colours(clip)
    yield from compress_filmed(matched, take.generations, frame_rate=frame_rate)


def _scene(take: ClipTake, show: Show, *, height: int, width: int) -> Scene:
    """Return what plays, large enough for everything in view."""
    rows, columns = content_size(take.conditions, height=height, width=width)
    return scene(
        np.random.default_rng([*take.seed, _CONTENT]),
        max(_LEAST_SCENE, rows),
        max(_LEAST_SCENE, columns),
        kind=take.scene,
        photos=show.photos,
        text=show.lettering,
    )
