"""Before and after in one picture, by copying: no sample is computed, so none can be wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engines.engine import CHROMA_SHIFT, PictureFormat, Plane, Planes
from pipeline.frame import Frame
from pipeline.media import FULL_RANGE, SourceInfo

if TYPE_CHECKING:
    import av

    from pipeline.runner import Sink, Stage

CompareLayout = Literal["split", "side", "wipe"]
"""`split`: left half before, right half after; `side`: both whole, side by side; `wipe`: as
`split`, with the divider swinging across the picture."""

WIPE_PERIOD_S = 4.0
"""Seconds in which the divider goes right, left and back to the middle."""


def compare(layout: CompareLayout, *, rotation: int = 0) -> Stage:
    """Return a stage that shows `frame.before` beside `frame.planes`.

    Args:
        layout: How the two share the picture.
        rotation: Degrees counter-clockwise by which a player turns the picture, a multiple of
            90; left and right are the viewer's.
    """

    def stage(frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            yield compared(frame, layout, rotation=rotation)

    return stage


def compared(frame: Frame, layout: CompareLayout, *, rotation: int = 0) -> Frame:
    """Return one frame with before and after; see `compare`.

    The result of `side` is twice as large along the viewer's horizontal axis.

    Raises:
        ValueError: The frame does not carry the planes from before.
    """
    if not frame.before:
        raise ValueError(f"{frame!r} does not carry its planes from before")
    turned = rotation % 360
    # Whole pictures are put together along one stored axis; for a viewer whose player turns them,
    # the left end may be the top of the stored picture, or its far end.
    axis = 1 if turned in (0, 180) else 0
    first, second = frame.before, frame.planes
    if turned in (180, 270):
        first, second = second, first
    if layout == "side":
        return _side(frame, first, second, axis)
    share = 0.5 if layout == "split" else _wipe_position(frame.time_s)
    return _split(frame, first, second, axis, 1 - share if turned in (180, 270) else share)


def compared_info(info: SourceInfo, layout: CompareLayout) -> SourceInfo:
    """Return what a sink for compared frames must know: `side` doubles the size."""
    if layout != "side":
        return info
    if info.rotation % 180:
        return replace(info, height=2 * info.height)
    return replace(info, width=2 * info.width)


def _wipe_position(time_s: float) -> float:
    return 0.5 + 0.5 * math.sin(2 * math.pi * time_s / WIPE_PERIOD_S)


def _side(frame: Frame, first: Planes, second: Planes, axis: int) -> Frame:
    old = frame.format
    width, height = (2 * old.width, old.height) if axis else (old.width, 2 * old.height)
    wide = replace(old, width=width, height=height)
    seam = old.width if axis else old.height
    planes = _joined(wide.plane_shapes, first, second, axis)
    _divide(planes, wide, frame.colour.range, (seam, axis))
    alpha = _joined(wide.plane_shapes[:1], frame.alpha, frame.alpha, axis) if frame.alpha else ()
    return replace(frame, planes=planes, format=wide, alpha=alpha, before=())


def _joined(
    shapes: tuple[tuple[int, int], ...], first: Planes, second: Planes, axis: int
) -> Planes:
    """Return planes of `shapes` with `first` at their start and `second` at their end.

    Chroma of two odd widths is one sample wider than the chroma of their sum; the second gives
    way.
    """
    result = []
    for shape, one, two in zip(shapes, first, second, strict=True):
        plane = np.empty(shape, one.dtype)
        seam = one.shape[axis]
        _range(plane, axis, 0, seam)[...] = one
        _range(plane, axis, seam, shape[axis])[...] = _range(two, axis, 0, shape[axis] - seam)
        result.append(plane)
    return tuple(result)


def _split(frame: Frame, first: Planes, second: Planes, axis: int, share: float) -> Frame:
    """Return a frame with `first` up to `share` of the length of `axis` and `second` after it."""
    length = frame.format.width if axis else frame.format.height
    seam = round(share * length) & ~1  # even, so that chroma is cut at the same place
    planes = []
    for one, two in zip(first, second, strict=True):
        plane = np.empty_like(one, order="C")
        cut = _scaled(seam, frame.format, plane, axis)
        _range(plane, axis, 0, cut)[...] = _range(one, axis, 0, cut)
        _range(plane, axis, cut, plane.shape[axis])[...] = _range(two, axis, cut, two.shape[axis])
        planes.append(plane)
    _divide(tuple(planes), frame.format, frame.colour.range, (seam, axis))
    return replace(frame, planes=tuple(planes), before=())


def _divide(
    planes: Planes, picture: PictureFormat, colour_range: int, seam: tuple[int, int]
) -> None:
    """Draw a thin white line at `seam`, a (position, axis)."""
    position, axis = seam
    length, breadth = (picture.width, picture.height) if axis else (picture.height, picture.width)
    if min(length, breadth) < 16:
        return  # Of a picture this small, a line would leave nothing to compare.
    half = 2 * max(1, round(min(length, breadth) / 1080))
    white = picture.peak
    if picture.layout != "gbr" and colour_range != FULL_RANGE:
        white = 235 << (picture.bits - 8)
    for index, plane in enumerate(planes):
        chroma = index > 0 and picture.layout != "gbr"
        start = _scaled(max(0, position - half), picture, plane, axis)
        end = _scaled(min(length, position + half), picture, plane, axis)
        _range(plane, axis, start, end)[...] = 1 << (picture.bits - 1) if chroma else white


def _scaled(position: int, picture: PictureFormat, plane: Plane, axis: int) -> int:
    """Return a luma position in the samples of `plane`, which may be subsampled."""
    luma = (picture.height, picture.width)
    subsampled = plane.shape[axis] != luma[axis]
    shift = CHROMA_SHIFT[picture.layout][1 - axis] if subsampled else 0
    extent: int = plane.shape[axis]
    return min(-(-position >> shift), extent)


def _range(plane: Plane, axis: int, start: int, end: int) -> Plane:
    return plane[:, start:end] if axis else plane[start:end]


class ComparedSink:
    """Writes the before/after picture of every frame to another sink.

    Args:
        sink: Opened for `compared_info`.
        layout: As for `compare`.
        rotation: As for `compare`.
    """

    sink: Sink
    """The other one."""

    def __init__(self, sink: Sink, layout: CompareLayout, *, rotation: int = 0) -> None:
        self.sink = sink
        self._layout: CompareLayout = layout
        self._rotation = rotation

    def write(self, frame: Frame) -> None:
        """Compose one picture and pass it on."""
        self.sink.write(compared(frame, self._layout, rotation=self._rotation))

    def finish(self, tail: tuple[av.Packet[Any], ...]) -> None:
        """Finish the other sink."""
        self.sink.finish(tail)

    def abort(self) -> None:
        """Abort the other sink."""
        self.sink.abort()
