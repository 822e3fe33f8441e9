"""A decoder on a device that is as late and as quick to take its memory back as a GPU's may be.

Its pictures are NV12 or P010 with rows that lie apart. They are written when the device's default
stream gets there, and overwritten as soon as nobody holds them any more.
"""

import weakref

import numpy as np

from engines.engine import DevicePicture

GARBAGE = 0xA5


class SlowDecoder:
    def __init__(self, default):
        self._default = default
        """The device's default stream; None writes at once."""
        self.left = 0
        """Pictures that somebody holds."""

    def picture(self, planes, bits=8):
        """The device's picture of planes (H, W), (H/2, W/2), (H/2, W/2)."""
        y, u, v = planes
        luma, luma_rows = surface(y.shape, y.dtype)
        chroma, chroma_rows = surface((*u.shape, 2), y.dtype)
        shift = 0 if bits == 8 else 16 - bits

        def write():
            luma_rows[...] = y << shift
            chroma_rows[..., 0] = u << shift
            chroma_rows[..., 1] = v << shift

        def to_host():
            if self._default is not None:
                self._default.record().synchronize()
            codes = luma_rows >> shift, chroma_rows[..., 0] >> shift, chroma_rows[..., 1] >> shift
            return tuple(np.ascontiguousarray(plane) for plane in codes)

        if self._default is None:
            write()
        else:
            self._default.work.append(write)
        found = DevicePicture(luma_rows, chroma_rows, bits, to_host)
        self.left += 1
        weakref.finalize(found, self._taken_back, luma, chroma)
        return found

    def _taken_back(self, *memories):
        self.left -= 1
        for memory in memories:
            memory.fill(GARBAGE)


def surface(shape, dtype):
    """Memory with more in a row than belongs to the picture, and the picture's part of it."""
    apart = (shape[0], shape[1] + 13, *shape[2:])
    memory = np.zeros(int(np.prod(apart)) * dtype.itemsize, np.uint8)
    memory.fill(GARBAGE)
    return memory, memory.view(dtype).reshape(apart)[:, : shape[1]]
