"""What a run was told to learn from, as one source of samples."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engines.train.config import TrainConfig
from engines.train.data import DataError, Samples, Shards
from engines.train.paired import PairFolder


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

    def batch(self, rng: random.Random, count: int) -> NDArray[np.uint8]:
        """Return random crops: (count, 2, 3/2 crop, crop)."""
        drawn = rng.choices(range(len(self._sources)), self._shares, k=count)
        batches = [
            source.batch(rng, drawn.count(i))
            for i, source in enumerate(self._sources)
            if i in drawn
        ]
        return np.concatenate(batches)

    def refresh(self) -> None:
        """Let every source take up what has been added."""
        for source in self._sources:
            source.refresh()


def open_samples(config: TrainConfig) -> Samples:
    """Return shards, pairs or both mixed, as configured.

    Raises:
        DemoireError: Neither is given, or one cannot be used.
    """
    parts: list[tuple[Samples, float]] = []
    if config.shards is not None:
        share = 1 - config.pairs_share if config.pairs else 1.0
        parts.append((Shards(config.shards, config.crop), share))
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
