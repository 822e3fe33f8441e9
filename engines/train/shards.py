"""Training data: simulated pairs, written once as shards and read again many times.

A sample is one picture and its truth as 4:2:0 planes, (2, 3/2 H, W) uint8: H rows of luma, then the
U and V planes side by side below it. A shard is one `.npy` file of samples, memory-mapped on read.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.simulate import codec
from engines.simulate.beat import add_beat, draw_beat, draw_slow_pose
from engines.simulate.conditions import draw_compression, draw_conditions
from engines.simulate.content import PhotoLibrary, TextRenderer, draw_content
from engines.simulate.film import content_size, film, match_colours

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

_SMOOTH = ("gradient", "plain", "film", "slide")
_SMOOTH_SHARE = 0.4

# Luma weights (red, blue) of BT.601 and BT.709; both occur, tagged and untagged.
_LUMA_WEIGHTS = ((0.299, 0.114), (0.2126, 0.0722))


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
    seed: int, photos: PhotoLibrary | None, text: TextRenderer | None
) -> NDArray[np.uint8]:
    """Return the sample of a seed, (2, 3/2 SIZE, SIZE) uint8."""
    rng = np.random.default_rng(seed)
    kind = rng.random()
    if kind < IDENTITY_SHARE / 2:  # a screen recording or a picture that never was filmed
        picture = truth = draw_content(rng, SIZE, SIZE, photos=photos, text=text)
    elif kind < 1 - BEAT_SHARE:
        picture, truth = _filmed(rng, photos, text)
        if kind < IDENTITY_SHARE:  # a camera's picture without a pattern, grain included
            grain = rng.normal(0, rng.uniform(0, 5), truth.shape)
            picture = truth = np.clip(truth + grain, 0, 255).astype(np.uint8)
    else:
        picture, truth = _beat_alone(rng, photos, text)
    if picture is truth and rng.random() < 0.7:
        picture = truth = codec.compress(picture, draw_compression(rng))
    weights = _LUMA_WEIGHTS[rng.integers(2)]
    full_range = bool(rng.random() < 0.4)
    return np.stack(
        [to_planes(p, weights=weights, full_range=full_range) for p in (picture, truth)]
    )


def _filmed(
    rng: np.random.Generator, photos: PhotoLibrary | None, text: TextRenderer | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a filmed screen and its truth; most that show no fringes are drawn again."""
    for _ in range(_TRIES):
        conditions = draw_conditions(rng)
        rows, columns = content_size(conditions, height=SIZE, width=SIZE)
        content = draw_content(rng, rows, columns, photos=photos, text=text)
        filmed = film(content, conditions, rng, height=SIZE, width=SIZE)
        picture, truth = filmed.picture, match_colours(filmed.truth, filmed.picture)
        if _fringes(picture, truth) > _FAINT or rng.random() < _FAINT_KEPT:
            break
    return picture, truth


def _fringes(picture: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Return the RMS difference, in 8-bit levels, of what is coarser than noise."""
    soft = [cv2.GaussianBlur(p, (0, 0), 1.5).astype(np.float32) for p in (picture, truth)]
    return float(np.sqrt(np.mean((soft[0] - soft[1]) ** 2)))


def _beat_alone(
    rng: np.random.Generator, photos: PhotoLibrary | None, text: TextRenderer | None
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


def write_shard(path: Path, seeds: range, photo_folders: list[Path]) -> Path:
    """Simulate one sample per seed and write them to `path`, complete or not at all."""
    cv2.setNumThreads(1)  # one process per core does better than threads within one picture
    photos = PhotoLibrary(photo_folders) if photo_folders else None
    text = TextRenderer()
    samples = np.stack([simulate_sample(seed, photos, text) for seed in seeds])
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.save(file, samples)
    partial.rename(path)
    return path


def write_shards(
    folder: Path, *, first: int, count: int, samples: int, photo_folders: list[Path], workers: int
) -> None:
    """Write shards `first` to `first + count - 1`, skipping those that exist.

    The first error of a worker is raised; the shards that have not begun by then are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A forked worker would inherit the locks of threads that it does not have.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pending = [
            pool.submit(
                write_shard, path, range(number * samples, (number + 1) * samples), photo_folders
            )
            for number in range(first, first + count)
            if not (path := folder / f"shard-{number:05d}.npy").exists()
        ]
        try:
            for done in as_completed(pending):
                done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def main() -> None:
    """Run as `python -m engines.train.shards FOLDER`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--photos", type=Path, nargs="*", default=[])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    write_shards(
        options.folder,
        first=options.first,
        count=options.count,
        samples=options.samples,
        photo_folders=options.photos,
        workers=options.workers,
    )


if __name__ == "__main__":
    main()
