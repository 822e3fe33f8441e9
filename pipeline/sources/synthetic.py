"""Pictures that a program makes, as if a camera had recorded them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from pipeline.errors import SourceError
from pipeline.frame import ColourTags, Frame
from pipeline.media import BT709, LIMITED_RANGE, SourceInfo, as_fraction
from pipeline.sources.picture import Unpacker

if TYPE_CHECKING:
    Packet = av.Packet[Any]

_TIME_BASE = Fraction(1, 90_000)


class SyntheticSource:
    """RGB pictures at a constant rate, as 8-bit 4:2:0 in BT.709 and limited range, tagged so.

    Args:
        pictures: (H, W, 3) uint8 RGB each, H and W even and the same for all; taken one at a time,
            from the source's thread.
        width: Of every picture.
        height: Of every picture.
        frame_rate: Pictures per second.
        frame_count: How many there will be, for an estimate of the time left.
        sound: A file whose first sound stream goes along, from the same moment on.

    Raises:
        SourceError: `sound` cannot be read or holds no sound.
    """

    info: SourceInfo

    def __init__(
        self,
        pictures: Iterable[NDArray[np.uint8]],
        *,
        width: int,
        height: int,
        frame_rate: Fraction,
        frame_count: int | None = None,
        sound: Path | None = None,
    ) -> None:
        self._pictures = pictures
        self._step = round(1 / (frame_rate * _TIME_BASE))
        self._reformatter = VideoReformatter()
        self._unpacker = Unpacker()
        self._sound = None if sound is None else _open_sound(sound)
        self._packets: deque[Packet] = deque(() if self._sound is None else _packets(self._sound))
        self.info = SourceInfo(
            url="synthetic",
            width=width,
            height=height,
            pixel_format="yuv420p",
            time_base=_TIME_BASE,
            frame_rate=frame_rate,
            frame_count=frame_count,
            duration_s=None if frame_count is None else float(frame_count / frame_rate),
            colour=ColourTags(space=BT709, primaries=BT709, transfer=BT709, range=LIMITED_RANGE),
            codec="rawvideo",
            streams=() if self._sound is None else (self._sound.streams.audio[0],),
        )

    def frames(self) -> Iterator[Frame]:
        """Yield each picture as a frame.

        Raises:
            SourceError: A picture has another size or type than was announced.
        """
        for number, picture in enumerate(self._pictures):
            yield self._frame(number, picture)

    def tail(self) -> tuple[Packet, ...]:
        """Return the sound after the last frame."""
        rest, self._packets = tuple(self._packets), deque()
        return rest

    def close(self) -> None:
        """Close the sound file."""
        if self._sound is not None:
            self._sound.close()

    def _frame(self, number: int, picture: NDArray[np.uint8]) -> Frame:
        wanted = (self.info.height, self.info.width, 3)
        if picture.shape != wanted or picture.dtype != np.uint8:
            raise SourceError(
                f"synthetic picture {number} must be {wanted} uint8,"
                f" got {picture.shape} {picture.dtype}"
            )
        converted = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        pts = number * self._step
        frame = self._unpacker.frame(
            converted,
            pts=pts,
            time_base=_TIME_BASE,
            duration=self._step,
            discontinuity=number == 0,
            packets=tuple(self._packets_until(pts * _TIME_BASE)),
        )
        # Reformatting converts, but leaves the tags as they were: none.
        return replace(frame, colour=self.info.colour)

    def _packets_until(self, time_s: Fraction) -> Iterator[Packet]:
        while self._packets and _time(self._packets[0]) <= time_s:
            yield self._packets.popleft()


def _open_sound(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path), "r")
    except FFmpegError as error:
        raise SourceError(f"{path}: cannot be read as sound: {error.strerror}") from error
    if not container.streams.audio:
        container.close()
        raise SourceError(f"{path}: holds no sound")
    return container


def _packets(sound: av.container.InputContainer) -> Iterator[Packet]:
    for packet in sound.demux(audio=0):
        if packet.size:
            yield packet


def _time(packet: Packet) -> Fraction:
    return (packet.pts or 0) * (as_fraction(packet.time_base) or Fraction(0))
