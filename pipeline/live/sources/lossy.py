"""A bad network in a box: pictures are encoded as H.264, some of it is lost, the rest decoded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.error import FFmpegError

from pipeline.live.access import CLOCK
from pipeline.sources.picture import plane_views

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

    from engines.engine import Planes

_START_CODE = re.compile(rb"\x00\x00\x00?\x01")
_SLICES = (1, 5)
"""Types of NAL units that hold a part of a picture: these get lost. Parameter sets never do, as an
RTSP server repeats them in its description."""
_PACKET_BYTES = 1200
"""A slice fits into one packet of a network."""


class LossyLink:
    """Encodes, loses, decodes; one for all pictures of a size.

    Args:
        width: Of the pictures.
        height: Of the pictures.
        rate: Pictures a second.
        loss: Share of the packets that are lost, 0..1.
        rng: Says which.
    """

    damaged: int
    """Pictures so far that arrived in part or not at all."""

    def __init__(
        self, *, width: int, height: int, rate: Fraction, loss: float, rng: np.random.Generator
    ) -> None:
        self.damaged = 0
        self._loss, self._rng = loss, rng
        self._encoder = _encoder(width, height, rate)
        self._decoder = av.CodecContext.create("h264", "r")
        self._decoder.thread_type = "SLICE"
        self._decoder.thread_count = 1
        self._number = 0

    def send(self, planes: Planes) -> Iterator[Planes]:
        """Yield what arrives of a picture: one, or none where too much was lost."""
        picture = _picture(planes)
        picture.pts, picture.time_base = self._number, CLOCK
        self._number += 1
        for packet in self._encoder.encode(picture):
            arrived, lost = self._lose(bytes(packet))
            pictures = self._decode(arrived) if arrived else []
            self.damaged += lost > 0
            for decoded in pictures:
                yield plane_views(decoded)[0]

    def _lose(self, data: bytes) -> tuple[bytes, int]:
        """Return what arrives of an access unit, and how many packets did not."""
        marks = list(_START_CODE.finditer(data))
        ends = [mark.start() for mark in marks[1:]] + [len(data)]
        kept = [
            data[mark.start() : end]
            for mark, end in zip(marks, ends, strict=True)
            if data[mark.end()] & 31 not in _SLICES or self._rng.random() >= self._loss
        ]
        # Parameter sets alone are no picture, and a decoder complains.
        whole = any(_START_CODE.sub(b"", unit, count=1)[0] & 31 in _SLICES for unit in kept)
        return b"".join(kept) if whole else b"", len(marks) - len(kept)

    def _decode(self, data: bytes) -> list[VideoFrame]:
        try:
            return self._decoder.decode(av.Packet(data))
        except FFmpegError:
            return []


def _encoder(width: int, height: int, rate: Fraction) -> VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate, encoder.time_base = rate, 1 / rate
    encoder.thread_count = 1
    encoder.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "crf": "23",
        # A picture damaged by a loss is whole again within a second.
        "g": str(max(1, round(rate))),
        "x264-params": f"slice-max-size={_PACKET_BYTES}:repeat-headers=1",
    }
    return encoder


def _picture(planes: Planes) -> VideoFrame:
    """Return a copy for the encoder."""
    height, width = planes[0].shape
    picture = av.VideoFrame(width, height, "yuv420p")
    for plane, values in zip(picture.planes, planes, strict=True):
        buffer: Any = plane
        rows: Any = np.frombuffer(buffer, np.uint8).reshape(plane.height, -1)
        rows[:, : plane.width] = values
    return picture
