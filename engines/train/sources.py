"""What a run was told to learn from, as one source of samples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.train.config import TrainConfig
from engines.train.data import DataError, Samples, Shards
from engines.train.paired import PairFolder
from engines.train.resident import ResidentShards


class Mixed:
    """Several sources as one: each sample comes from one of them.

    Args:
        parts: Each source and how often to draw from it.
    """

    def __init__(self, parts: Sequence[tuple[Samples, float]]) -> None:
        self._sources = [source for source, _ in parts]
        self._shares = [share for _, share in parts]

    @property
    def validation(self) -> Sequence[NDArray[np.uint8]]:
        """The held-out samples of all."""
        return [samples for source in self._sources for samples in source.validation]

    def batch(self, rng: random.Random, count: int) -> Tensor:
        """Return random crops: (count, 2, 3/2 crop, crop) uint8."""
        drawn = rng.choices(range(len(self._sources)), self._shares, k=count)
        batches = [
            source.batch(rng, drawn.count(i))
            for i, source in enumerate(self._sources)
            if i in drawn
        ]
        device = batches[0].device
        return torch.cat([batch.to(device) for batch in batches])

    def refresh(self) -> None:
        """Let every source take up what has been added."""
        for source in self._sources:
            source.refresh()


def open_samples(config: TrainConfig, *, device: str = "cpu") -> Samples:
    """Return shards, pairs or both mixed, as configured.

    Args:
        config: What to learn from.
        device: What computes, for torch: a GPU keeps shards in its own memory.

    Raises:
        DemoireError: Neither is given, or one cannot be used.
    """
    parts: list[tuple[Samples, float]] = []
    if config.shards is not None:
        share = 1 - config.pairs_share if config.pairs else 1.0
        parts.append((_open_shards(config.shards, config, device), share))
    if config.pairs:
        folders = len(config.pairs)
        share = (config.pairs_share if parts else 1.0) / folders
        cache_bytes = config.cache_mb * 1_000_000 // folders
        parts += [
            (
                PairFolder(
                    folder, crop=config.crop, held_out=config.held_out, cache_bytes=cache_bytes
                ),
                share,
            )
            for folder in config.pairs
        ]
    if not parts:
        raise DataError("nothing to learn from; give --shards DIR, --pairs DIR or both")
    return parts[0][0] if len(parts) == 1 else Mixed(parts)


def _open_shards(folder: Path, config: TrainConfig, device: str) -> Samples:
    shards = Shards(folder, config.crop)
    if device == "cpu" or not config.device_cache_gb:
        return shards
    room_bytes = round(config.device_cache_gb * 1e9)
    return ResidentShards(shards, crop=config.crop, device=device, room_bytes=room_bytes)
