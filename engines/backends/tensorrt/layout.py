"""Where a request's planes lie in memory, and the memory that results are handed out in."""

from __future__ import annotations

import weakref
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.backends.tensorrt.device import Device, HostMemory, Memory, size_of
from engines.backends.tensorrt.network import STRENGTH, plane_names

if TYPE_CHECKING:
    from engines.backends.tensorrt.blender import DevicePlanes
    from engines.engine import PictureFormat


@dataclass(frozen=True)
class SessionLayout:
    """Where the planes of a request lie: one after the other, all pictures of each together."""

    picture_format: PictureFormat
    shapes: tuple[tuple[int, int], ...]
    """(H, W) of each plane, padded."""
    batch: int

    @property
    def sizes(self) -> list[int]:
        """Bytes of each plane of one picture."""
        return [size_of(shape, self.picture_format.dtype) for shape in self.shapes]

    @property
    def size(self) -> int:
        """Bytes of a whole request."""
        return self.batch * sum(self.sizes)

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the size of each input of the network's graph."""
        last = () if self.picture_format.bits == 8 else (2,)
        names = plane_names(self.picture_format)
        planes = {
            name: (self.batch, 1, *shape, *last)
            for name, shape in zip(names, self.shapes, strict=True)
        }
        return planes | {STRENGTH: (1,)}

    def parts(self, memory: Memory) -> list[Memory]:
        """Return each plane of a request, all its pictures."""
        sizes = [self.batch * size for size in self.sizes]
        begins = [sum(sizes[:index]) for index in range(len(sizes))]
        return [memory.part(begin, size) for begin, size in zip(begins, sizes, strict=True)]

    def picture(self, memory: Memory, number: int) -> DevicePlanes:
        """Return the planes of one picture of a request."""
        parts = zip(self.parts(memory), self.sizes, strict=True)
        return tuple(part.part(number * size, size) for part, size in parts)

    def planes(self, array: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """Return a request's bytes as planes, (N, H, W) each, without copying."""
        views, begin = [], 0
        for shape, size in zip(self.shapes, self.sizes, strict=True):
            end = begin + self.batch * size
            samples = array[begin:end].view(self.picture_format.dtype)
            views.append(samples.reshape(self.batch, *shape))
            begin = end
        return views


class PinnedPool:
    """Pinned memory for results; it comes back when the last array over it is gone.

    Args:
        device: Where it is copied from.
        size: Bytes of each.
        count: How many to have ready.
    """

    def __init__(self, device: Device, size: int, *, count: int) -> None:
        self._device = device
        self._size = size
        # Arrays end in whatever thread; a deque's ends are safe.
        self._free = deque(device.pin(size) for _ in range(count))

    def take(self) -> tuple[HostMemory, NDArray[np.uint8]]:
        """Return memory and all of it as an array, which is the caller's."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = self._device.pin(self._size)
        array = memory.bytes
        weakref.finalize(array, self._free.append, memory).atexit = False
        return memory, array
