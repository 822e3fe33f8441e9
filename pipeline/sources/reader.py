"""Reading an opened container: packets in, decoded pictures out, everything else kept aside."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av.error import FFmpegError

from pipeline.errors import SourceError
from pipeline.media import as_fraction

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    Packet = av.Packet[Any]

log = logging.getLogger(__name__)

_LOGGED_ERRORS = 3
"""Damage comes in bursts: the first few are logged, all are counted."""
_SEEK_BACK_S = (0, 5, 30)
"""Formats without an index may land behind the keyframe that was asked for: look further back."""
_INTERLEAVE_S = 10
"""How far other streams may lie behind the picture where a file is cut at its end."""


class Reader:
    """Decodes one stream of a container and keeps the packets of all others.

    Args:
        container: Opened for reading; the caller closes it.
        stream: Its video stream to decode.
        url: For messages.
        strict: Raise at the first damage instead of counting it.
    """

    decode_errors: int
    """Packets that failed to decode, pictures that came out damaged, reads that failed."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, *, url: str, strict: bool
    ) -> None:
        self.decode_errors = 0
        self._container = container
        self._stream = stream
        self._context = stream.codec_context
        self._url = url
        self._strict = strict
        self._aside: list[Packet] = []
        self._packets = self._demux(promised=_promised(container, stream))
        if strict:
            # Without it decoders paint over damaged blocks and say nothing.
            self._context.options = {"err_detect": "explode"}

    def take_aside(self) -> tuple[Packet, ...]:
        """Return the packets of other streams met since the last call."""
        packets, self._aside = tuple(self._aside), []
        return packets

    def pictures(self) -> Iterator[VideoFrame]:
        """Yield the rest of the stream's pictures, in presentation order.

        Raises:
            SourceError: With `strict`, something failed to decode.
        """
        for packet in self._packets:
            if packet.stream_index != self._stream.index:
                self._aside.append(packet)
            else:
                yield from self._decode(packet)
        yield from self._decode(None)

    def pictures_from(self, start: Fraction) -> Iterator[VideoFrame]:
        """Seek, then yield pictures from at or before `start` seconds on; call before `pictures`.

        Pictures may begin earlier than asked for, as decoding begins at a keyframe.
        """
        unit = as_fraction(self._stream.time_base) or Fraction(1)
        for back_s in _SEEK_BACK_S:
            self._seek(start - back_s, unit)
            pictures = self.pictures()
            first = next(pictures, None)
            if first is not None and (first.pts is None or first.pts * unit <= start):
                break
        else:
            # Either the file begins later than `start` or it cannot be searched: take all of it.
            self._seek(None, unit)
            pictures = self.pictures()
            first = next(pictures, None)
        if first is not None:
            yield first
            yield from pictures

    def read_aside_until(self, end: Fraction) -> None:
        """Collect packets of other streams that lie before `end` seconds, without decoding."""
        waiting = {
            stream.index for stream in self._container.streams if stream.type in ("audio", "data")
        }
        for packet in self._packets:
            time = packet_time(packet)
            if packet.stream_index != self._stream.index:
                self._aside.append(packet)
            if time is None or time < end:
                continue
            waiting.discard(packet.stream_index)
            if not waiting or time > end + _INTERLEAVE_S:
                return

    def _seek(self, time: Fraction | None, unit: Fraction) -> None:
        first = self._stream.start_time or 0
        target = first if time is None else max(int(time / unit), first)
        try:
            self._container.seek(target, stream=self._stream)
        except FFmpegError as error:
            raise SourceError(
                f"{self._url}: cannot be searched ({error.strerror}); leave out --start"
            ) from error
        self._aside = []
        self.decode_errors = 0
        self._packets = self._demux(promised=0)

    def _demux(self, *, promised: int) -> Iterator[Packet]:
        """Yield real packets; a read that fails and an early end are counted as errors."""
        count = 0
        try:
            for packet in self._container.demux():
                # PyAV ends every stream with an empty packet. Real ones without data exist too
                # (AVI's repeated frames), and sending one to a decoder would end decoding.
                if packet.size:
                    count += packet.stream_index == self._stream.index
                    yield packet
        except FFmpegError as error:
            self._failed(f"reading stopped early: {error.strerror}", error)
        if count < promised:
            self._failed(f"ends after {count} of {promised} frames, it is truncated", None)

    def _decode(self, packet: Packet | None) -> Iterator[VideoFrame]:
        try:
            pictures = self._context.decode(packet)
        except FFmpegError as error:
            where = "at its end" if packet is None else f"at {_seconds(packet)}"
            self._failed(f"a frame {where} failed to decode: {error.strerror}", error)
            return
        for picture in pictures:
            if picture.is_corrupt:
                self._failed(f"the frame with pts {picture.pts} is damaged", None)
            yield picture

    def _failed(self, what: str, error: FFmpegError | None) -> None:
        self.decode_errors += 1
        if self._strict:
            raise SourceError(
                f"{self._url}: {what}; leave out --strict to go on without it"
            ) from error
        if self.decode_errors <= _LOGGED_ERRORS:
            log.warning("%s: %s", self._url, what)


def _promised(container: InputContainer, stream: VideoStream) -> int:
    """Return how many packets the header promises, 0 where that cannot be relied on."""
    # Only mp4 and mov list every one; AVI counts frames that it does not store.
    return stream.frames if container.format.name.startswith("mov") else 0


def packet_time(packet: Packet) -> Fraction | None:
    """Return when a packet is shown, in seconds on the file's clock, or None if it is unknown."""
    ticks = packet.pts if packet.pts is not None else packet.dts
    unit = as_fraction(packet.time_base)
    return None if ticks is None or unit is None else ticks * unit


def _seconds(packet: Packet) -> str:
    time = packet_time(packet)
    return "an unknown time" if time is None else f"{float(time):.3f} s"
