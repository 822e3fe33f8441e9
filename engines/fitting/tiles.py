"""How a picture is cut into tiles that see beyond what they give, so that no seam is seen.

A sample's residual depends on what lies around it: in theory, with four scales up to stride 64, on
some 700 samples each way. What a tile does not see changes its residual the less the farther away
it is. Measured on 48 simulated screens of 1600x1088, in float32: how much any sample of any plane
changed at most, in 8-bit levels before rounding, this far and farther from where a picture was cut:

    samples      32   128   192   256   320   384   448    512
    `nano`     15.1   8.8   6.0   4.7   3.5  0.51  0.08  0.008
    `base`     24.3  21.7  21.7  17.8   6.4  0.73  0.08  0.010

The cliff at 384 is the reach of six convolutions at stride 64. Two values less than one level apart
before rounding are at most one apart after it: 384 is the least that keeps that in float32, and 448
leaves room for what half precision rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from engines.engine import PictureFormat

HALO = 448
"""Luma samples that a tile sees beyond those that it gives, at least; see above."""

_LEAST_HALOS = 3
"""A side of fewer halos sees twice what it gives, or more."""


@dataclass(frozen=True)
class Span:
    """A tile along one axis, half-open, in luma samples of the picture."""

    start: int
    stop: int
    """May lie beyond the picture, where it is mirrored."""
    first: int
    """Of the samples that are taken from this tile; every sample is taken from one."""
    end: int


@dataclass(frozen=True)
class Grid:
    """Tiles of one size that cover a picture, their corners at multiples of the network's."""

    columns: tuple[Span, ...]
    rows: tuple[Span, ...]
    overlap: int
    """Of neighbours, at least, in luma samples: two halos."""

    @property
    def width(self) -> int:
        """Of a tile, in luma samples."""
        return self.columns[0].stop - self.columns[0].start

    @property
    def height(self) -> int:
        """Of a tile, in luma samples."""
        return self.rows[0].stop - self.rows[0].start

    @property
    def tiles(self) -> Iterator[tuple[Span, Span]]:
        """Rows and columns of each tile."""
        return ((rows, columns) for rows in self.rows for columns in self.columns)

    def __str__(self) -> str:
        return f"tiles of {self.width}x{self.height} with {self.overlap} of overlap"


def plan_grids(picture_format: PictureFormat, *, multiple: int, halo: int = HALO) -> Iterator[Grid]:
    """Yield ways to cut a picture, each with tiles of about half the size of those before.

    The longer side of a tile is halved. The last ones are three halos wide and high or a little
    more; there are none for pictures that are no larger themselves.

    Args:
        picture_format: Of the picture.
        multiple: Of luma samples, even; see `Engine.multiple`.
        halo: Luma samples that a tile sees beyond what it gives.
    """
    step = multiple // 2
    overlap = 2 * (-(-halo // step) * step)
    least = _LEAST_HALOS * overlap // 2

    def more(length: int, count: int) -> int:
        """Return a count for shorter spans: half as long, or as short as they may be."""
        counts = range(count, 2 * count + 1)
        sides = {n: _side(length, n, multiple=multiple, overlap=overlap) for n in counts}
        shorter = [n for n in counts if least <= sides[n] < sides[count]]
        return min(shorter, key=lambda n: sides[n], default=count)

    across = down = 1
    while True:
        columns = cut(picture_format.width, across, multiple=multiple, overlap=overlap)
        rows = cut(picture_format.height, down, multiple=multiple, overlap=overlap)
        grid = Grid(columns, rows, overlap)
        if across * down > 1:
            yield grid
        across_next, down_next = (
            more(picture_format.width, across),
            more(picture_format.height, down),
        )
        if across_next > across and (grid.width >= grid.height or down_next == down):
            across = across_next
        elif down_next > down:
            down = down_next
        else:
            return


def cut(length: int, count: int, *, multiple: int, overlap: int) -> tuple[Span, ...]:
    """Return up to `count` spans of one length that cover `length` samples.

    Args:
        length: Of the picture along this axis, in luma samples.
        count: Fewer come back where the last one would add nothing.
        multiple: Of where a span begins, and of its length.
        overlap: Of neighbours, at least; a multiple of it.
    """
    size = _side(length, count, multiple=multiple, overlap=overlap)
    last = _rounded_up(length, multiple) - size
    step = max(multiple, _rounded_up(-(-last // max(1, count - 1)), multiple))
    starts = [*range(0, last, step), last]
    # Samples are taken from the nearer tile: an even number, so that chroma is cut there, too.
    seams = [0, *((left + size + right) // 4 * 2 for left, right in pairwise(starts)), length]
    return tuple(
        Span(start, start + size, first, end)
        for start, (first, end) in zip(starts, pairwise(seams), strict=True)
    )


def _side(length: int, count: int, *, multiple: int, overlap: int) -> int:
    """Return how long each of `count` spans is, see `cut`."""
    whole = _rounded_up(length, multiple)
    return min(whole, _rounded_up(-(-(whole + (count - 1) * overlap) // count), multiple))


def _rounded_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
