"""Samples from folders of real pairs: pictures with moiré and the same without.

The pairs must show the same to the pixel; what makes them so is not done here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from engines.pairs import PairPaths, find_pairs
from engines.train.data import DataError
from engines.train.shards import FULL_RANGE_SHARE, LUMA_WEIGHTS, to_planes

_MOST_HELD_OUT = 64
_CUTS = 8
"""Crops of a picture for each time that it is decoded, where memory does not hold all."""

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""A picture and its truth, each (H, W, 3) RGB."""


class PairFolder:
    """Random crops of a folder's pairs; every so manieth pair is kept for validation.

    Frames of one clip that lie beside each other fall on both sides of that split: then the figures
    tell how well the clip is learned, not how well another one would be cleaned.

    Args:
        folder: See `engines.pairs` for the names.
        crop: Side of a crop.
        held_out: Every so manieth pair, from the first, is kept; fewer where that makes over 64.
        cache_bytes: Memory for decoded pictures.

    Raises:
        PairsError: There are no pairs.
        DataError: A picture is smaller than a crop, differs in size from its truth or cannot be
            read; or there is only one pair.
    """

    def __init__(self, folder: Path, *, crop: int, held_out: int, cache_bytes: int) -> None:
        pairs = find_pairs(folder)
        if len(pairs) < 2:
            raise DataError(f"{folder}: only one pair; one is kept for validation, add others")
        for pair in pairs:
            _check_sizes(pair, crop)
        step = max(held_out, math.ceil(len(pairs) / _MOST_HELD_OUT))
        kept = pairs[::step]
        self._crop = crop
        self._pool = Pool(
            [pair for i, pair in enumerate(pairs) if i % step], read_pair, limit_bytes=cache_bytes
        )
        self._validation = np.stack(
            [_cut(read_pair(pair), random.Random(i), crop=crop) for i, pair in enumerate(kept)]
        )

    @property
    def validation(self) -> Sequence[NDArray[np.uint8]]:
        """A fixed crop of each pair that was kept."""
        return [self._validation]

    def batch(self, rng: random.Random, count: int) -> Tensor:
        """Return random crops, turned and mirrored: (count, 2, 3/2 crop, crop) uint8."""
        crops = [_cut(self._pool.take(rng), rng, crop=self._crop) for _ in range(count)]
        return torch.from_numpy(np.stack(crops))

    def refresh(self) -> None:
        """Do nothing: which pairs are kept would change with their number."""


class Pool:
    """Decoded pairs within a memory bound, where all do not fit in turns.

    Args:
        pairs: What to draw from.
        read: Decodes one.
        limit_bytes: The oldest are dropped beyond it; the newest is held in any case.
    """

    def __init__(
        self, pairs: Sequence[PairPaths], read: Callable[[PairPaths], Pair], *, limit_bytes: int
    ) -> None:
        self._waiting = list(pairs)
        self._read = read
        self._limit_bytes = limit_bytes
        self._held: list[tuple[PairPaths, Pair]] = []  # oldest first
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """Memory of what is decoded."""
        return self._bytes

    def take(self, rng: random.Random) -> Pair:
        """Return one pair; new ones are decoded until the memory is used, then now and then."""
        full = self._bytes >= self._limit_bytes
        if not self._held or (self._waiting and (not full or rng.random() < 1 / _CUTS)):
            return self._decode(rng)
        return rng.choice(self._held)[1]

    def _decode(self, rng: random.Random) -> Pair:
        paths = self._waiting.pop(rng.randrange(len(self._waiting)))
        pair = self._read(paths)
        self._held.append((paths, pair))
        self._bytes += _size(pair)
        while self._bytes > self._limit_bytes and len(self._held) > 1:
            old, dropped = self._held.pop(0)
            self._bytes -= _size(dropped)
            self._waiting.append(old)
        return pair


def read_pair(paths: PairPaths) -> Pair:
    """Decode both pictures, upright.

    Raises:
        DataError: One cannot be decoded, or their sizes differ.
    """
    moire, clean = _read(paths.moire), _read(paths.clean)
    if moire.shape != clean.shape:
        raise _unequal(paths, moire.shape[1::-1], clean.shape[1::-1])
    return moire, clean


def _size(pair: Pair) -> int:
    return sum(picture.nbytes for picture in pair)


def _read(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"{path}: cannot be decoded; mend it or take the pair away")
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)


def _check_sizes(pair: PairPaths, crop: int) -> None:
    """Look at the headers alone: thousands of pictures in seconds, before hours of training."""
    moire, clean = _stored_size(pair.moire), _stored_size(pair.clean)
    # One of them may lie on its side until it is decoded.
    if sorted(moire) != sorted(clean):
        raise _unequal(pair, moire, clean)
    if min(moire) < crop:
        raise DataError(
            f"{pair.moire}: {moire[0]}x{moire[1]} is smaller than a crop of {crop}; set crop to a"
            " smaller multiple of 64, or take the pair away"
        )


def _unequal(pair: PairPaths, moire: Sequence[int], clean: Sequence[int]) -> DataError:
    return DataError(
        f"{pair.moire}: is {moire[0]}x{moire[1]}, but {pair.clean.name} is {clean[0]}x{clean[1]};"
        " align the two, or take the pair away"
    )


def _stored_size(path: Path) -> tuple[int, int]:
    """Return width and height as in the header."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path}: cannot be read ({error}); mend it or take it away") from error


def _cut(pair: Pair, rng: random.Random, *, crop: int) -> NDArray[np.uint8]:
    """Return one crop of both pictures as planes, turned and mirrored: (2, 3/2 crop, crop)."""
    height, width = pair[0].shape[:2]
    top, left = rng.randrange(height - crop + 1), rng.randrange(width - crop + 1)
    turns, mirror = rng.randrange(4), rng.random() < 0.5
    weights, full_range = rng.choice(LUMA_WEIGHTS), rng.random() < FULL_RANGE_SHARE

    def cut(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        part = np.rot90(picture[top : top + crop, left : left + crop], turns)
        part = np.ascontiguousarray(part[:, ::-1] if mirror else part)
        return to_planes(part, weights=weights, full_range=full_range)

    return np.stack([cut(picture) for picture in pair])
