"""What an opened container and its first picture say, as a `SourceInfo`."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av.sidedata.sidedata import SideDataContainer, Type
from av.stream import Disposition

from pipeline.errors import SourceError
from pipeline.media import SourceInfo, as_fraction, planar_sibling
from pipeline.sources.picture import colour_tags, stored_format, without_alpha

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.container.core import Chapter
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# AVFieldOrder: top or bottom field first, as coded and as shown.
_INTERLACED_ORDERS = (2, 3, 4, 5)
_MICROSECOND = Fraction(1, 1_000_000)


def video_stream(container: InputContainer, url: str) -> VideoStream:
    """Return the first video stream that is not a cover picture.

    Raises:
        SourceError: There is none, or nothing here decodes it.
    """
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        # The stubs call it always there; PyAV leaves it None where FFmpeg has no decoder.
        context: Any = stream.codec_context
        if context is None:
            raise SourceError(
                f"{url}: no decoder for its video stream; convert it first, to H.264 for example"
            )
        return stream
    kinds = [stream.type for stream in container.streams]
    found = f"among {len(kinds)} stream(s): {', '.join(kinds)}" if kinds else "in it"
    raise SourceError(f"{url}: no video stream {found}; give a video file or a photo")


def time_base(stream: VideoStream, url: str) -> Fraction:
    """Return the stream's seconds per tick as a `Fraction`.

    Raises:
        SourceError: The container has none.
    """
    found = as_fraction(stream.time_base)
    if not found:
        raise SourceError(f"{url}: its video stream has no time base; remux the file first")
    return found


def frame_rate(stream: VideoStream) -> Fraction | None:
    """Return the average rate in frames per second, or None where nobody knows."""
    return as_fraction(stream.average_rate) or as_fraction(stream.guessed_rate) or None


def duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    """Return how long the video lasts, by its stream or else by its container."""
    unit = as_fraction(stream.time_base)
    if stream.duration and unit:
        return float(stream.duration * unit)
    return float(container.duration * _MICROSECOND) if container.duration else None


def is_interlaced(stream: VideoStream, picture: VideoFrame) -> bool:
    """Return whether the first picture or its stream is marked as interlaced."""
    return picture.interlaced_frame or stream.codec_context.field_order in _INTERLACED_ORDERS


def display_matrix(picture: VideoFrame) -> tuple[int, ...] | None:
    """Return the nine numbers by which a player turns and mirrors the picture, or None."""
    data = _side_data(picture, Type.DISPLAYMATRIX)
    return struct.unpack("9i", data[:36]) if data else None


def mastering_display(picture: VideoFrame) -> tuple[Fraction, ...] | None:
    """Return HDR mastering data in the order of `SourceInfo.mastering_display`, or None."""
    data = _side_data(picture, Type.MASTERING_DISPLAY_METADATA)
    if not data:
        return None
    # AVMasteringDisplayMetadata: ten rationals, then whether primaries and luminance are set.
    *numbers, has_primaries, has_luminance = struct.unpack("22i", data[:88])
    if not (has_primaries and has_luminance):
        return None
    return tuple(Fraction(*numbers[index : index + 2]) for index in range(0, 20, 2))


def content_light(picture: VideoFrame) -> tuple[int, int] | None:
    """Return HDR MaxCLL and MaxFALL in cd/m2, or None."""
    data = _side_data(picture, Type.CONTENT_LIGHT_LEVEL)
    if not data:
        return None
    brightest, average = struct.unpack("2I", data[:8])
    return brightest, average


def _is_chapter_track(stream: Stream) -> bool:
    """Whether this is how mp4 stores chapters, which muxers write anew from the chapters."""
    return stream.type == "data" and getattr(stream, "name", None) == "bin_data"


def _side_data(picture: VideoFrame, kind: Type) -> bytes:
    # Not `picture.side_data`: it would keep the picture, and the picture it, until Python's
    # collector comes by, which counts objects, not megabytes.
    held: Any = SideDataContainer(picture)  # type: ignore[call-arg]  # not in its stubs
    data = held.get(kind)
    return bytes(data) if data is not None else b""


def cut_chapters(
    chapters: Iterable[Chapter], start: Fraction, end: Fraction | None
) -> tuple[Chapter, ...]:
    """Return chapters that overlap [start, end) seconds, cut to it and counted from its start."""
    kept: list[Chapter] = []
    for chapter in chapters:
        unit = as_fraction(chapter["time_base"]) or _MICROSECOND
        first = max(chapter["start"] * unit, start) - start
        last = chapter["end"] * unit if end is None else min(chapter["end"] * unit, end)
        if last - start <= first:
            continue
        begins, ends = round(first / unit), round((last - start) / unit)
        # The stubs of PyAV 19 want its own rational here; all setters take a Fraction.
        cut: Any = {**chapter, "start": begins, "end": ends, "time_base": unit}
        kept.append(cut)
    return tuple(kept)


def describe(
    container: InputContainer, stream: VideoStream, picture: VideoFrame, *, url: str
) -> SourceInfo:
    """Return what the whole input holds, from its headers and its first decoded picture.

    Raises:
        SourceError: The pixel format or the time base cannot be used.
    """
    rate, lasts = frame_rate(stream), duration_s(container, stream)
    estimate = round(lasts * rate) if lasts and rate else None
    name = planar_sibling(stored_format(picture))
    chapters = cut_chapters(container.chapters(), Fraction(0), None)
    others = [
        one
        for one in container.streams
        if one.index != stream.index and not (chapters and _is_chapter_track(one))
    ]
    copied = tuple(one for one in others if one.type != "attachment")
    return SourceInfo(
        url=url,
        width=picture.width,
        height=picture.height,
        pixel_format=without_alpha(name),
        time_base=time_base(stream, url),
        frame_rate=rate,
        frame_count=stream.frames or estimate,
        duration_s=lasts,
        colour=colour_tags(picture),
        sample_aspect_ratio=as_fraction(stream.sample_aspect_ratio) or None,
        rotation=picture.rotation,
        display_matrix=display_matrix(picture),
        interlaced=is_interlaced(stream, picture),
        alpha=name != without_alpha(name) or stored_format(picture).startswith("ya"),
        container=container.format.name,
        codec=stream.codec_context.name,
        streams=copied,
        attachments=tuple(one for one in others if one.type == "attachment"),
        metadata=dict(container.metadata),
        video_metadata=dict(stream.metadata),
        video_disposition=int(stream.disposition),
        video_position=sum(one.index < stream.index for one in copied),
        chapters=chapters,
        mastering_display=mastering_display(picture),
        content_light=content_light(picture),
    )
