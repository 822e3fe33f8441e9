"""Shards in a GPU's memory: crops are cut where they are needed.

Two cores cut some hundred crops a second from files; a GPU trains on thousands.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.train.data import DataError, Shards

# Where row r and column c of a picture turned by so many right angles (`numpy.rot90`) lie in it:
# (row by r, by c, from the far end), (column by r, by c, from the far end).
_TURNS = (
    ((1, 0, 0), (0, 1, 0)),
    ((0, 1, 0), (-1, 0, 1)),
    ((-1, 0, 1), (0, -1, 1)),
    ((0, -1, 1), (1, 0, 0)),
)


class ResidentShards:
    """The same crops as those of `Shards`, cut by the device.

    Args:
        shards: What to keep there; all of one size.
        crop: Side of a crop.
        device: Where, for torch.
        room_bytes: Memory for samples. When it is full, newer shards take the place of the oldest.

    Raises:
        DataError: Shards differ in size, or not even one sample fits.
    """

    def __init__(self, shards: Shards, *, crop: int, device: str, room_bytes: int) -> None:
        self._shards, self._crop, self._device = shards, crop, device
        self._size = shards.training[0].shape[-1]
        self._room = room_bytes // (3 * self._size * self._size)
        if self._room < 1:
            raise DataError(
                f"device_cache_gb: {room_bytes / 1e9:g} GB hold no sample of side {self._size};"
                " give more, or 0 to cut crops on the host"
            )
        self._samples = torch.empty((0, 2, 3 * self._size * self._size // 2), dtype=torch.uint8)
        self._samples = self._samples.to(device)
        self._taken = self._next = 0
        self._take_up()

    @property
    def validation(self) -> Sequence[NDArray[np.uint8]]:
        """The held-out samples, on the host."""
        return self._shards.validation

    def refresh(self) -> None:
        """Take up shards written since."""
        self._shards.refresh()
        self._take_up()

    def batch(self, rng: random.Random, count: int) -> Tensor:
        """Return random crops, turned and mirrored: (count, 2, 3/2 crop, crop) on the device."""
        places = (self._size - self._crop) // 2 + 1
        draws = [
            (
                rng.randrange(len(self._samples)),
                *(2 * rng.randrange(places) for _ in range(2)),
                rng.randrange(4),
                rng.random() < 0.5,
            )
            for _ in range(count)
        ]
        numbers = torch.tensor([draw[0] for draw in draws]).to(self._device)
        corners = torch.tensor([draw[1:3] for draw in draws]).to(self._device)
        steps = torch.tensor([_turned(turns, mirrored=bool(m)) for *_, turns, m in draws])
        index = self._index(steps.to(self._device), corners)
        samples = self._samples[numbers]
        crops = samples.gather(2, index.flatten(1)[:, None].expand(-1, 2, -1))
        return crops.reshape(count, 2, 3 * self._crop // 2, self._crop)

    def _index(self, steps: Tensor, corners: Tensor) -> Tensor:
        """Return where a crop's code values lie in its sample, (N, 3/2 crop, crop) int64.

        Args:
            steps: (N, 2, 3) of `_turned`.
            corners: Row and column of luma, (N, 2).
        """
        size, crop = self._size, self._crop
        luma = _places(steps, corners, side=crop, stride=size)
        chroma = _places(steps, corners // 2, side=crop // 2, stride=size) + size * size
        return torch.cat([luma, torch.cat([chroma, chroma + size // 2], 2)], 1)

    def _take_up(self) -> None:
        for shard in self._shards.training[self._taken :]:
            if shard.shape[-1] != self._size:
                raise DataError(
                    f"shards of {self._size} and of {shard.shape[-1]} samples a side cannot be kept"
                    " on the device together; give device_cache_gb 0, or one folder for each size"
                )
            self._store(torch.from_numpy(np.array(shard)).flatten(2).to(self._device))
            self._taken += 1

    def _store(self, samples: Tensor) -> None:
        samples = samples[-self._room :]
        fresh = min(len(samples), self._room - len(self._samples))
        self._samples = torch.cat([self._samples, samples[:fresh]])
        for sample in samples[fresh:]:
            self._samples[self._next] = sample
            self._next = (self._next + 1) % self._room


def _turned(turns: int, *, mirrored: bool) -> tuple[tuple[int, ...], ...]:
    """Return how a row and a column come about, as `_TURNS` does, mirrored after the turn."""
    if not mirrored:
        return _TURNS[turns]
    return tuple((by_row, -by_column, end + by_column) for by_row, by_column, end in _TURNS[turns])


def _places(steps: Tensor, corners: Tensor, *, side: int, stride: int) -> Tensor:
    """Return row * stride + column of every sample of a crop, (N, side, side)."""
    along = torch.arange(side, device=steps.device)
    by_row, by_column, end = steps[..., None, None].unbind(2)  # each (N, 2, 1, 1)
    places = by_row * along[:, None] + by_column * along + end * (side - 1)
    places = places + corners[..., None, None]
    return places[:, 0] * stride + places[:, 1]
