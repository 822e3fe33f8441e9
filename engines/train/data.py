"""What training learns from: batches of crops, and samples that are kept for validation.

A sample is one picture and its truth as 4:2:0 planes, (2, 3/2 H, W) uint8, as
`engines.train.shards` describes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.errors import DemoireError

Planes = tuple[Tensor, ...]
"""Y (N, 1, H, W), U and V (N, 1, H/2, W/2), float32 in 0..1."""


class DataError(DemoireError):
    """There is nothing to learn from, or what there is cannot be used."""


class Samples(Protocol):
    """Where batches come from."""

    @property
    def validation(self) -> Sequence[NDArray[np.uint8]]:
        """The held-out samples, (N, 2, 3/2 S, S), one array for each size."""
        ...

    def batch(self, rng: random.Random, count: int) -> Tensor:
        """Return random crops, turned and mirrored: (count, 2, 3/2 crop, crop) uint8, anywhere."""
        ...

    def refresh(self) -> None:
        """Take up what has been added since."""
        ...


class Shards:
    """Samples of a folder that may still be growing; the first shard is kept for validation.

    Raises:
        DataError: There are fewer than two shards, or their pictures are smaller than a crop.
    """

    def __init__(self, folder: Path, crop: int) -> None:
        self._folder, self._crop = folder, crop
        self._open: dict[Path, NDArray[np.uint8]] = {}
        self.refresh()
        if len(self._open) < 2:
            raise DataError(
                f"{folder}: needs two shards or more (shard-00000.npy, ...), found"
                f" {len(self._open)}; make them with `demoire simulate`"
            )

    def refresh(self) -> None:
        """Take up shards written since."""
        for path in sorted(self._folder.glob("shard-*.npy")):
            if path not in self._open:
                self._open[path] = _open_shard(path, self._crop)

    @property
    def validation(self) -> Sequence[NDArray[np.uint8]]:
        """The first shard's samples, whole."""
        return [next(iter(self._open.values()))]

    @property
    def training(self) -> Sequence[NDArray[np.uint8]]:
        """All other shards, those found last at the end."""
        return list(self._open.values())[1:]

    def batch(self, rng: random.Random, count: int) -> Tensor:
        """Return random crops, turned and mirrored: (count, 2, 3/2 crop, crop) uint8."""
        shards = self.training
        return torch.from_numpy(
            np.stack([cut_sample(_pick(shards, rng), rng, crop=self._crop) for _ in range(count)])
        )


def _open_shard(path: Path, crop: int) -> NDArray[np.uint8]:
    try:
        shard: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    except ValueError as error:
        raise DataError(f"{path}: is no shard ({error}); delete it") from error
    if shard.shape[-1] < crop:
        raise DataError(f"{path}: its samples are {shard.shape[-1]} wide, set crop to no more")
    return shard


def _pick(shards: Sequence[NDArray[np.uint8]], rng: random.Random) -> NDArray[np.uint8]:
    shard = rng.choice(shards)
    return cast(NDArray[np.uint8], shard[rng.randrange(len(shard))])


def cut_sample(sample: NDArray[np.uint8], rng: random.Random, *, crop: int) -> NDArray[np.uint8]:
    """Cut a crop at even coordinates, turn and mirror it: (2, 3/2 crop, crop)."""
    size = sample.shape[-1]
    x, y = (2 * rng.randrange((size - crop) // 2 + 1) for _ in range(2))
    turns, mirror = rng.randrange(4), rng.random() < 0.5

    def cut(plane: NDArray[np.uint8], *, left: int, top: int, side: int) -> NDArray[np.uint8]:
        part = np.rot90(plane[:, top : top + side, left : left + side], turns, axes=(1, 2))
        return part[..., ::-1] if mirror else part

    half, c = size // 2, crop // 2
    luma, chroma = sample[:, :size], sample[:, size:]
    parts = [
        cut(chroma[..., i * half : (i + 1) * half], left=x // 2, top=y // 2, side=c) for i in (0, 1)
    ]
    return np.concatenate(
        [cut(luma, left=x, top=y, side=crop), np.concatenate(parts, axis=2)], axis=1
    )


def split_planes(batch: Tensor) -> Planes:
    """Return the planes of (N, 3/2 H, W) uint8."""
    size = batch.shape[-1]
    unit = batch[:, None].float() / 255
    chroma = unit[:, :, size:]
    return unit[:, :, :size], chroma[..., : size // 2], chroma[..., size // 2 :]


def both_planes(batch: Tensor | NDArray[np.uint8], device: str) -> tuple[Planes, Planes]:
    """Return the planes of pictures and of truths, (N, 2, 3/2 H, W) uint8, on a device."""
    # A copy: a memory-mapped shard cannot be written, and torch warns of that.
    tensor = (batch if isinstance(batch, Tensor) else torch.from_numpy(np.array(batch))).to(device)
    return split_planes(tensor[:, 0]), split_planes(tensor[:, 1])
