"""Planes of a batch in one piece of memory, and the pieces that results are handed out in."""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engines.engine import Plane

_SPARE = 8
"""Results that callers hold while the next ones are copied out: what waits for an encoder."""
_MOST_BYTES = 256 << 20
"""Of page-locked memory for results, which no other program can have."""


class PlaneBlock:
    """The planes of up to `batch` pictures in one tensor, so that one copy moves them all.

    Args:
        shapes: (H, W) of each plane.
        batch: Pictures.
        dtype: Of a sample, uint8 or uint16.
        device: Where it lies.
        pinned: Page-locked, so that a device copies from and to it while the host goes on.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int]],
        batch: int,
        *,
        dtype: torch.dtype,
        device: torch.device | None = None,
        pinned: bool = False,
    ) -> None:
        self._shapes = [(batch, 1, *shape) for shape in shapes]
        sizes = [math.prod(shape) for shape in self._shapes]
        self.flat = torch.empty(sum(sizes), dtype=dtype, device=device, pin_memory=pinned)
        parts = torch.split(self.flat, sizes)
        self.planes: tuple[Tensor, ...] = tuple(
            part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)
        )
        """(batch, 1, H, W) each."""

    def arrays(self) -> tuple[Plane, list[Plane]]:
        """Return the whole block in host memory as an array, and the planes, which are parts of it.

        While one of them, or a part of one, is in use, so is the first.
        """
        whole: Plane = self.flat.numpy()
        planes: list[Plane] = []
        start = 0
        for shape in self._shapes:
            end = start + math.prod(shape)
            planes.append(whole[start:end].reshape(shape))
            start = end
        return whole, planes


class ResultPool:
    """Host memory for results: each block is the caller's until its last array is gone.

    As many blocks as usually are in use are made at once. When all are, memory of the ordinary kind
    takes their place: slower to copy to, and never too little.

    Args:
        make: Makes a block that is kept, page-locked where that helps.
        ordinary: Makes one that is not.
        in_flight: Blocks that a session fills at the same time.
    """

    def __init__(
        self,
        make: Callable[[], PlaneBlock],
        ordinary: Callable[[], PlaneBlock],
        *,
        in_flight: int,
    ) -> None:
        self._ordinary = ordinary
        # No lock: a finalizer runs wherever Python collects garbage, in `take` too.
        self._free: deque[PlaneBlock] = deque([make()])
        most = max(in_flight, _MOST_BYTES // self._free[0].flat.nbytes)
        self._free.extend(make() for _ in range(min(in_flight + _SPARE, most) - 1))

    @property
    def free(self) -> int:
        """Blocks that nobody uses."""
        return len(self._free)

    def take(self) -> tuple[PlaneBlock, list[Plane]]:
        """Return a block to fill, and its planes, (batch, 1, H, W) each, to hand out."""
        try:
            block = self._free.pop()  # the last one used: its pages are there already
        except IndexError:
            block = self._ordinary()
            return block, block.arrays()[1]
        whole, planes = block.arrays()
        weakref.finalize(whole, self._free.append, block).atexit = False
        return block, planes
