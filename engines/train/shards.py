"""Training data: simulated pairs, written once as shards and read again many times.

A sample is one picture and its truth as 4:2:0 planes, (2, 3/2 H, W) uint8: H rows of luma, then the
U and V planes side by side below it. A shard is one `.npy` file of samples, memory-mapped on read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.simulate import codec
from engines.simulate.arrays import Device
from engines.simulate.beat import add_beat, draw_beat, draw_slow_pose
from engines.simulate.conditions import draw_compression, draw_conditions
from engines.simulate.content import Lettering, PhotoLibrary, draw_content
from engines.simulate.film import content_size, film_on, match_colours
from engines.simulate.takes import load_show
from engines.simulate.workers import in_order

SIZE = 384
"""Side of a sample: long fringes need room."""
IDENTITY_SHARE = 0.25
"""Share of samples without moiré, whose truth is the picture itself: do no harm."""

BEAT_SHARE = 0.25
"""Share of samples with fringes and no grid: see `engines.simulate.beat`."""

# Soft lenses, denoising and codecs leave no fringes in most pictures, and little to learn from.
_TRIES = 4
_FAINT = 2.5
_FAINT_KEPT = 0.3

# Fences, cloth and halftone are what a panel's grid looks like; half of what is to be left alone.
_REGULAR = ("textured", "textured", "pattern")
_REGULAR_SHARE = 0.5

_SMOOTH = ("gradient", "plain", "film", "slide")
_SMOOTH_SHARE = 0.4

# Luma weights (red, blue) of BT.601 and BT.709; both occur, tagged and untagged.
LUMA_WEIGHTS = ((0.299, 0.114), (0.2126, 0.0722))
FULL_RANGE_SHARE = 0.4


def to_planes(
    rgb: NDArray[np.uint8], *, weights: tuple[float, float], full_range: bool
) -> NDArray[np.uint8]:
    """Convert RGB to 4:2:0 code values: (H, W, 3) uint8 to (3/2 H, W) uint8 as in a shard.

    Args:
        rgb: Even height and width.
        weights: Luma weights of red and blue.
        full_range: 0..255 codes instead of 16..235 and 16..240.
    """
    red, blue = weights
    luma = np.array([red, 1 - red - blue, blue])
    cb = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    cr = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    y_gain, y_offset, c_gain = (1.0, 0.0, 1.0) if full_range else (219 / 255, 16.0, 224 / 255)
    matrix = np.column_stack(
        [np.stack([luma * y_gain, cb * c_gain, cr * c_gain]), [y_offset, 128.0, 128.0]]
    )
    yuv = cv2.transform(rgb, matrix)  # rounds and saturates to uint8
    height, width = rgb.shape[:2]
    chroma = cv2.resize(yuv[..., 1:], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.concatenate([yuv[..., 0], np.concatenate([chroma[..., 0], chroma[..., 1]], axis=1)])


def simulate_sample(
    seed: int, photos: PhotoLibrary | None, text: Lettering | None, device: Device = "cpu"
) -> NDArray[np.uint8]:
    """Return the sample of a seed, (2, 3/2 SIZE, SIZE) uint8.

    Screens are filmed on `device`; the rest is quick. Noise differs by device, and so does what is
    drawn after it: the samples of `cuda` are no copies of those of `cpu`.
    """
    rng = np.random.default_rng(seed)
    sort = rng.random()
    if sort < IDENTITY_SHARE / 2:  # a screen recording or a picture that never was filmed
        kind = rng.choice(_REGULAR) if rng.random() < _REGULAR_SHARE else None
        picture = truth = draw_content(rng, SIZE, SIZE, photos=photos, text=text, kind=kind)
    elif sort < 1 - BEAT_SHARE:
        picture, truth = _filmed(rng, photos, text, device)
        if sort < IDENTITY_SHARE:  # a camera's picture without a pattern, grain included
            grain = rng.normal(0, rng.uniform(0, 5), truth.shape)
            picture = truth = np.clip(truth + grain, 0, 255).astype(np.uint8)
    else:
        picture, truth = _beat_alone(rng, photos, text)
    if picture is truth and rng.random() < 0.7:
        picture = truth = codec.compress(picture, draw_compression(rng))
    weights = LUMA_WEIGHTS[rng.integers(2)]
    full_range = bool(rng.random() < FULL_RANGE_SHARE)
    return np.stack(
        [to_planes(p, weights=weights, full_range=full_range) for p in (picture, truth)]
    )


def _filmed(
    rng: np.random.Generator, photos: PhotoLibrary | None, text: Lettering | None, device: Device
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a filmed screen and its truth; most that show no fringes are drawn again."""
    for _ in range(_TRIES):
        # Bands of a flickering screen look like shading in one picture: not for a network that sees
        # frames one by one.
        conditions = replace(draw_conditions(rng), flicker=None)
        rows, columns = content_size(conditions, height=SIZE, width=SIZE)
        content = draw_content(rng, rows, columns, photos=photos, text=text)
        filmed = film_on(device, content, conditions, rng, height=SIZE, width=SIZE)
        picture, truth = filmed.picture, match_colours(filmed.truth, filmed.picture)
        if _fringes(picture, truth) > _FAINT or rng.random() < _FAINT_KEPT:
            break
    return picture, truth


def _fringes(picture: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Return the RMS difference, in 8-bit levels, of what is coarser than noise."""
    soft = [cv2.GaussianBlur(p, (0, 0), 1.5).astype(np.float32) for p in (picture, truth)]
    return float(np.sqrt(np.mean((soft[0] - soft[1]) ** 2)))


def _beat_alone(
    rng: np.random.Generator, photos: PhotoLibrary | None, text: Lettering | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a picture with fringes but without the panel's grid, and its truth."""
    # Faint fringes are seen, and can be learned, on smooth ground: skies, walls, empty pages.
    kind = rng.choice(_SMOOTH) if rng.random() < _SMOOTH_SHARE else None
    content = draw_content(rng, SIZE, SIZE, photos=photos, text=text, kind=kind)
    soft = cv2.GaussianBlur(content, (0, 0), rng.uniform(0.4, 1.6))
    black, white = rng.uniform(0, 50), rng.uniform(140, 255)
    levels = black + (white - black) / 255 * np.arange(256) * rng.uniform(0.9, 1, (3, 1))
    truth = cast(NDArray[np.uint8], cv2.LUT(soft, levels.T[None].astype(np.uint8)))
    conditions = replace(draw_conditions(rng), pose=draw_slow_pose(rng))
    picture = add_beat(truth, conditions, draw_beat(rng))
    if rng.random() < 0.7:
        factor = rng.uniform(1.2, 3)
        picture, truth = codec.rescale(picture, factor), codec.rescale(truth, factor)
    compression = draw_compression(rng)
    picture = codec.compress(picture, compression)
    return picture, match_colours(codec.compress(truth, compression), picture)


def shard_path(folder: Path, number: int) -> Path:
    """Return the file of a shard."""
    return folder / f"shard-{number:05d}.npy"


def write_shards(
    folder: Path,
    *,
    first: int,
    count: int,
    samples: int,
    photo_folders: list[Path],
    workers: int,
    seed: int = 0,
) -> None:
    """Write shards `first` to `first + count - 1`, skipping those that exist.

    The first error of a worker is raised; the shards that are not complete by then are left out.
    """
    numbers = range(first, first + count)
    missing = [number for number in numbers if not shard_path(folder, number).exists()]
    steps = writing_shards(
        folder,
        missing,
        samples=samples,
        photo_folders=photo_folders,
        workers=workers,
        seed=seed,
    )
    for _ in steps:
        pass


def writing_shards(
    folder: Path,
    numbers: Iterable[int],
    *,
    samples: int,
    photo_folders: Sequence[Path],
    workers: int,
    seed: int = 0,
    device: Device = "cpu",
) -> Generator[int, None, None]:
    """Write shards, yielding the shard's number after each of its samples.

    Closing the iterator leaves complete shards only.

    Args:
        folder: Made if it is missing.
        numbers: Of the shards; those that exist are replaced.
        samples: In each shard.
        photo_folders: Photographs for the screen.
        workers: Processes.
        seed: Below 2^32; sample `s` of shard `n` is `simulate_sample` of
            `seed * 2^32 + n * samples + s`.
        device: What films the screens, for every process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = [(number, index) for number in numbers for index in range(samples)]
    seeds = ((seed << 32) + number * samples + index for number, index in places)
    work = partial(_sample, tuple(photo_folders), device)
    done: list[NDArray[np.uint8]] = []
    with closing(in_order(work, seeds, workers=workers)) as results:
        for (number, index), sample in zip(places, results, strict=True):
            done.append(sample)
            if index == samples - 1:
                _write(shard_path(folder, number), np.stack(done))
                done.clear()
            yield number


def _sample(photo_folders: tuple[Path, ...], device: Device, seed: int) -> NDArray[np.uint8]:
    show = load_show(photo_folders)
    return simulate_sample(seed, show.photos, show.lettering, device)


def _write(path: Path, samples: NDArray[np.uint8]) -> None:
    """Write a shard, complete or not at all."""
    partial_file = path.with_suffix(".part")
    try:
        with partial_file.open("wb") as file:
            np.save(file, samples)
        partial_file.replace(path)
    except BaseException:
        partial_file.unlink(missing_ok=True)
        raise
