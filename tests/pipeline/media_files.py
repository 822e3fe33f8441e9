"""Makers of tiny real clips in every shape that a user's file can have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame

from pipeline.media import split_name

FORMATS = {".mkv": "matroska", ".mp4": "mp4", ".mov": "mov", ".avi": "avi", ".ts": "mpegts"}
AAC_FRAME = 1024
SAMPLE_RATE = 48_000


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip to make; the defaults give eight frames of 64x48 at 30 fps, without sound."""

    size: tuple[int, int] = (64, 48)
    pixel_format: str = "yuv420p"
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=dict)
    rate: Fraction = Fraction(30)
    time_base: Fraction = Fraction(1, 15_360)
    pts: Sequence[int] | None = None
    """In `time_base` units; None for eight frames at a constant rate."""
    colour: tuple[int, int, int, int] = (2, 2, 2, 0)
    """Space, primaries, transfer, range."""
    aspect: Fraction | None = None
    rotation: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    language: str = ""
    chapters: Sequence[tuple[float, float, str]] = ()
    attachments: Sequence[tuple[str, str, bytes]] = ()
    audio: str = ""
    """Audio codec; empty for silence."""
    audio_start_s: float = 0.0
    audio_s: float | None = None
    """Length of the sound; None for as long as the picture."""
    subtitles: Sequence[tuple[float, float, str]] = ()
    subtitle_codec: str = "subrip"
    interlaced: bool = False


def picture(index: int, size: tuple[int, int], pixel_format: str) -> VideoFrame:
    """Return one frame of a moving gradient; every sample of every plane differs over time."""
    frame = VideoFrame(*size, pixel_format)
    _, bits, _ = split_name(pixel_format)
    dtype: Any = np.uint8 if bits == 8 else np.uint16
    for number, plane in enumerate(frame.planes):
        buffer: Any = plane
        rows = np.frombuffer(buffer, dtype).reshape(plane.height, -1)
        y, x = np.mgrid[: plane.height, : rows.shape[1]]
        low, high = 16 << (bits - 8), 235 << (bits - 8)
        wave = (x * 3 + y * (2 + number) + index * 7 + number * 40) << (bits - 8)
        rows[:] = low + wave % (high - low)
    return frame


def make(path: Path, clip: Clip | None = None, **changes: Any) -> Path:
    """Write a clip and return its path."""
    clip = clip or Clip(**changes)
    with av.open(str(path), "w", format=FORMATS[path.suffix]) as container:
        video = _video(container, clip)
        audio = container.add_stream(clip.audio, SAMPLE_RATE) if clip.audio else None
        subtitles = _subtitle_stream(container, clip)
        for name, kind, data in clip.attachments:
            container.add_attachment(name, kind, data)
        container.metadata.update(clip.metadata)
        container.set_chapters(
            [
                {
                    "id": number,
                    "start": round(begin * 1000),
                    "end": round(end * 1000),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": title},
                }
                for number, (begin, end, title) in enumerate(clip.chapters)
            ]
        )
        packets = list(_encoded_video(video, clip))
        if audio is not None:
            packets += _encoded_audio(audio, clip)
        if subtitles is not None:
            packets += _subtitle_packets(subtitles, clip)
        container.start_encoding()
        for packet in sorted(packets, key=_when):
            container.mux(packet)
    return path


def pts_of(clip: Clip) -> list[int]:
    """Return the clip's timestamps in its time base."""
    if clip.pts is not None:
        return list(clip.pts)
    return [round(index / clip.rate / clip.time_base) for index in range(8)]


def _when(packet: Any) -> float:
    return float((packet.dts if packet.dts is not None else packet.pts) * packet.time_base)


def _video(container: Any, clip: Clip) -> Any:
    video = container.add_stream(clip.codec, clip.rate, options=clip.options)
    context = video.codec_context
    context.width, context.height = clip.size
    context.pix_fmt = clip.pixel_format
    context.time_base = video.time_base = clip.time_base
    context.colorspace, context.color_primaries, context.color_trc, context.color_range = (
        clip.colour
    )
    if clip.aspect is not None:
        context.sample_aspect_ratio = clip.aspect
    if clip.rotation:
        video.set_display_rotation(clip.rotation)
    if clip.language:
        video.metadata["language"] = clip.language
    if clip.interlaced:
        # AV_CODEC_FLAG_INTERLACED_DCT | AV_CODEC_FLAG_INTERLACED_ME
        context.flags |= (1 << 18) | (1 << 29)
    return video


def _encoded_video(video: Any, clip: Clip) -> Iterable[Any]:
    for index, pts in enumerate(pts_of(clip)):
        frame = picture(index, clip.size, clip.pixel_format)
        frame.pts, frame.time_base = pts, clip.time_base
        yield from video.encode(frame)
    yield from video.encode(None)


def _encoded_audio(audio: Any, clip: Clip) -> list[Any]:
    """Return packets of a quiet tone; the first real sample is at `audio_start_s`."""
    last = pts_of(clip)[-1] * clip.time_base + 1 / clip.rate
    length = float(last) if clip.audio_s is None else clip.audio_s
    start = round(clip.audio_start_s * SAMPLE_RATE)
    packets = []
    layout = "stereo"
    for number in range(max(1, round(length * SAMPLE_RATE / AAC_FRAME))):
        time = np.arange(number * AAC_FRAME, (number + 1) * AAC_FRAME) / SAMPLE_RATE
        tone = (np.sin(time * 2 * np.pi * 440) * 3000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], "s16", layout)
        frame.sample_rate = SAMPLE_RATE
        frame.pts, frame.time_base = start + number * AAC_FRAME, Fraction(1, SAMPLE_RATE)
        packets += audio.encode(frame)
    return packets + audio.encode(None)


def _subtitle_stream(container: Any, clip: Clip) -> Any:
    if not clip.subtitles:
        return None
    stream = container.add_mux_stream(clip.subtitle_codec)
    stream.time_base = Fraction(1, 1000)
    stream.metadata["language"] = "deu"
    return stream


def _subtitle_packets(stream: Any, clip: Clip) -> list[Any]:
    packets = []
    for begin, end, text in clip.subtitles:
        packet = av.Packet(text.encode())
        packet.stream = stream
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = round(begin * 1000)
        packet.duration = round((end - begin) * 1000)
        packets.append(packet)
    return packets
