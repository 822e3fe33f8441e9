"""A picture's number and birth, written into its corner so that a codec does not lose it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.engine import Plane, Planes

BLOCK = 16
"""Rows and columns of a block: a macroblock, so that each can be coded without its neighbours."""
BITS = 32
SIZE = (BITS * BLOCK, 3 * BLOCK)
"""Width and height of a stamp: rows for the number, the moment and their checksum."""
_BLACK, _WHITE = 16, 235
_NEUTRAL = 128
_MASK = (1 << BITS) - 1


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a picture says about itself."""

    index: int
    """Number of the picture, modulo 2**32."""
    arrival_us: int
    """`time.perf_counter` in microseconds when it was made, modulo 2**32 (71 minutes)."""

    def age_s(self, now_s: float) -> float:
        """Return how old the picture is, on the same machine's `time.perf_counter`."""
        return ((round(now_s * 1e6) - self.arrival_us) & _MASK) / 1e6


def write_stamp(planes: Planes, stamp: Stamp) -> None:
    """Write a stamp into the top left corner of 8-bit 4:2:0 planes, in place.

    Args:
        planes: Y, U and V; Y is at least `SIZE`.
        stamp: What to write.
    """
    width, height = SIZE
    words = np.array(_words(stamp), ">u4").reshape(3, 1)
    bits = np.unpackbits(words.view(np.uint8), axis=1)  # (3, 32)
    levels = np.where(bits, _WHITE, _BLACK).astype(np.uint8)
    planes[0][:height, :width] = levels.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    for plane in planes[1:]:
        plane[: height // 2, : width // 2] = _NEUTRAL


def read_stamp(planes: Planes) -> Stamp | None:
    """Return the stamp of a picture, or None where there is none or it is damaged.

    Args:
        planes: The first is Y (or G, or grey), of any depth; the others are not looked at.
    """
    luma: Plane = planes[0]
    width, height = SIZE
    if luma.shape[0] < height or luma.shape[1] < width:
        return None
    corner = luma[:height, :width].reshape(3, BLOCK, BITS, BLOCK)
    inner = corner[:, 4:-4, :, 4:-4].mean(axis=(1, 3))  # (3, 32), without the blocks' edges
    middle = (float(inner.min()) + float(inner.max())) / 2
    words = _as_words(inner > middle)
    stamp = Stamp(words[0], words[1])
    return stamp if _words(stamp) == words else None


def _words(stamp: Stamp) -> tuple[int, int, int]:
    index, arrival = stamp.index & _MASK, stamp.arrival_us & _MASK
    return index, arrival, zlib.crc32(index.to_bytes(4, "big") + arrival.to_bytes(4, "big"))


def _as_words(bits: NDArray[np.bool_]) -> tuple[int, int, int]:
    index, arrival, check = np.packbits(bits, axis=1).view(">u4").ravel().tolist()
    return index, arrival, check
