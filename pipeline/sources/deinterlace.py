"""Deinterlacing by FFmpeg's filters, one picture out for each picture in."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from av.error import BlockingIOError as TryAgain
from av.error import EOFError as EndOfStream
from av.filter import Graph

from pipeline.media import as_fraction

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from pipeline.sources.picture import Unpacker

Filter = Literal["yadif", "bwdif"]


def deinterlaced(
    pictures: Iterator[VideoFrame],
    unpacker: Unpacker,
    *,
    name: Filter,
    time_base: Fraction,
    only_flagged: bool,
) -> Iterator[VideoFrame]:
    """Yield each picture with its two fields made into one whole frame, pts unchanged.

    Args:
        pictures: Decoded pictures of one size and format, pts in `time_base` units.
        unpacker: Makes packed pictures planar first, as the filters want them.
        name: FFmpeg's filter; both keep one frame per frame here.
        time_base: Seconds per unit of pts.
        only_flagged: Leave pictures alone that are marked as progressive.
    """
    graph: Graph | None = None
    for picture in pictures:
        planar = unpacker.planar(picture)
        if graph is None:
            graph = _graph(planar, name, time_base, only_flagged=only_flagged)
        graph.vpush(planar)
        yield from _ready(graph, time_base)
    if graph is not None:
        graph.vpush(None)
        yield from _ready(graph, time_base)


def _graph(picture: VideoFrame, name: Filter, time_base: Fraction, *, only_flagged: bool) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=time_base,
    )
    marked = "interlaced" if only_flagged else "all"
    graph.link_nodes(
        source, graph.add(name, f"mode=send_frame:deint={marked}"), graph.add("buffersink")
    ).configure()
    return graph


def _ready(graph: Graph, time_base: Fraction) -> Iterator[VideoFrame]:
    """Yield what the filter has finished, back in the source's units (the filter halves them)."""
    while True:
        try:
            picture = graph.vpull()
        except (TryAgain, EndOfStream):
            return
        unit = as_fraction(picture.time_base) or time_base
        if picture.pts is not None:
            picture.pts = round(picture.pts * unit / time_base)
        picture.duration = round(picture.duration * unit / time_base)
        picture.time_base = time_base
        yield picture
