"""An input that FFmpeg reads, as a live source: every wait in it has an end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import av
from av.error import ExitError, FFmpegError

from pipeline.errors import SourceError
from pipeline.frame import Frame
from pipeline.live.access import CLOCK
from pipeline.live.redaction import scrubbed, without_secrets
from pipeline.live.sources.contract import MOST_PACKETS, Interrupted, LiveOptions
from pipeline.sources import probe
from pipeline.sources.picture import Unpacker

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    Packet = av.Packet[Any]

READ_S = 0.4
"""FFmpeg's read timeout: that long a network read is deaf to `stop`.

RTSP goes on after a timeout, unless that falls into the middle of a packet: then the connection is
lost, and made again. A shorter timeout would make that more likely."""
_MOST_HASTY = 5
"""Reads that fail at once, in a row, after which a connection is taken for broken."""

# Their packets carry no time; what FFmpeg makes up for them assumes 25 pictures a second.
_TIMELESS = {"mpjpeg", "mjpeg", "jpeg_pipe", "h264", "hevc", "rawvideo"}


class Bytes(Protocol):
    """Where FFmpeg gets its bytes from, if it does not read itself."""

    ended: bool
    """There are no more bytes to come."""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end.

        Raises:
            Interrupted: Reading was stopped.
            SourceError: It failed.
        """
        ...

    def close(self) -> None:
        """Release what is behind it; twice is once."""
        ...


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What FFmpeg is to open, and how."""

    url: str
    """As the user wrote it, secrets included."""
    target: str | Bytes
    """What FFmpeg opens."""
    format: str | None = None
    """FFmpeg's name of the input format; None to find out."""
    options: dict[str, str]
    """Of FFmpeg's protocols, demuxers and decoders."""
    hint: str = "check that it is there and sends"
    """What to look at when it cannot be opened or read."""
    read_s: float = READ_S
    """Read timeout."""
    ready: Callable[[], bool] = lambda: True
    """Waits up to `POLL_S` for input; False where there is none yet."""


class ContainerSource:
    """A live source over a container of PyAV.

    Args:
        opening: What to open.
        options: How to read it.
        stop: Ends reading.

    Raises:
        SourceError: It cannot be opened, holds no video, or no picture came in time.
    """

    final = False

    def __init__(self, opening: Opening, options: LiveOptions, stop: threading.Event) -> None:
        self.damaged = self.derived = 0
        self._name = without_secrets(opening.url)
        self._opening, self._options, self._stop = opening, options, stop
        self._closed = False
        self._unpacker = Unpacker()
        self._aside: deque[Packet] = deque(maxlen=MOST_PACKETS)
        self._arrived_s = self._pictured_s = perf_counter()
        self._size: tuple[int, int] | None = None
        self._anchor: tuple[int, float] | None = None
        self._frames: Iterator[Frame] = iter(())
        self._container = self._open()
        try:
            self._choose_streams()
            self._frames = self._begin()
        except BaseException:
            self.close()
            raise

    def frames(self) -> Iterator[Frame]:
        """Yield frames as they arrive; a source can be read once.

        Raises:
            SourceError: Reading failed, or no picture came for `stall_s`.
        """
        frames, self._frames = self._frames, iter(())
        yield from frames

    def close(self) -> None:
        """Close the input; frames already yielded stay valid."""
        if self._closed:
            return
        self._closed = True
        self._frames = iter(())
        self._container.close()
        _close_bytes(self._opening.target)

    def _open(self) -> InputContainer:
        opening = self._opening
        try:
            container: InputContainer = av.open(
                opening.target,
                "r",
                format=opening.format,
                options=opening.options,
                timeout=(self._options.open_timeout_s, self._opening.read_s),
            )
        except BaseException as error:
            _close_bytes(opening.target)
            if isinstance(error, Interrupted):
                raise self._stopped() from None
            if isinstance(error, FFmpegError | OSError | ValueError):
                raise SourceError(f"{self._name}: {self._reason(error)}") from None
            raise
        return container

    def _choose_streams(self) -> None:
        stream = probe.video_stream(self._container, self._name)
        # AUTO would decode several pictures at once, and deliver each of them later.
        stream.codec_context.thread_type = "SLICE"
        stream.codec_context.thread_count = self._options.threads
        self._video: VideoStream = stream
        self._timeless = self._container.format.name in _TIMELESS
        self._time_base = CLOCK if self._timeless else probe.time_base(stream, self._name)
        sound = self._container.streams.audio if self._options.sound else ()
        self._sound = tuple(sound[:1])

    def _begin(self) -> Iterator[Frame]:
        """Wait for the first picture, describe the source by it and return all frames."""
        pictures = self._pictures()
        picture = next(pictures, None)
        if picture is None:
            if self._stop.is_set():
                raise self._stopped()
            raise SourceError(
                f"{self._name}: closed before its first picture"
                f" ({self.damaged} damaged); see whether another player shows it"
            )
        described = probe.describe(self._container, self._video, picture, url=self._name)
        self.info = replace(
            described,
            time_base=self._time_base,
            streams=self._sound,
            attachments=(),
            chapters=(),
            frame_count=None,
            duration_s=None,
            video_position=sum(one.index < self._video.index for one in self._sound),
        )
        return (self._frame(one) for one in chain([picture], pictures))

    def _pictures(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            self._arrived_s = perf_counter()
            if packet.stream_index != self._video.index:
                self._aside.append(packet)
            else:
                for picture in self._decoded(packet):
                    self._pictured_s = self._arrived_s
                    yield picture
                    self._pictured_s = perf_counter()  # a slow consumer is not a stall
            self._check_stall()

    def _packets(self) -> Iterator[Packet]:
        """Yield packets until the peer closes or reading is stopped; a lull is not an end."""
        streams = [self._video, *self._sound]
        packets = self._container.demux(streams)
        hasty = 0
        while not self._stop.is_set():
            if not self._opening.ready():
                self._check_stall()
                continue
            began_s = perf_counter()
            try:
                packet = next(packets, None)
            except Interrupted:
                return
            except (FFmpegError, OSError) as error:
                hasty = hasty + 1 if perf_counter() - began_s < self._opening.read_s / 2 else 0
                if self._peer_closed():
                    return  # demuxers complain about half a picture
                if not isinstance(error, ExitError) or hasty > _MOST_HASTY:
                    raise SourceError(f"{self._name}: {self._reason(error)}") from None
                self._check_stall()
                packets = self._container.demux(streams)
                continue
            if packet is None:
                return
            hasty = 0
            if packet.size:  # PyAV ends every stream with an empty packet
                yield packet

    def _decoded(self, packet: Packet) -> list[VideoFrame]:
        try:
            pictures = self._video.codec_context.decode(packet)
        except FFmpegError:
            self.damaged += 1
            return []
        self.damaged += sum(picture.is_corrupt for picture in pictures)
        return pictures

    def _frame(self, picture: VideoFrame) -> Frame:
        size = (picture.width, picture.height)
        changed, self._size = size != self._size, size
        packets, self._aside = tuple(self._aside), deque(maxlen=MOST_PACKETS)
        frame = self._unpacker.frame(
            picture,
            pts=self._timestamp(picture),
            time_base=self._time_base,
            duration=picture.duration or 0,
            discontinuity=changed,
            packets=packets,
        )
        return replace(frame, left_source_s=self._arrived_s)

    def _timestamp(self, picture: VideoFrame) -> int:
        """Return the picture's pts, or what the clock of arrivals says where it has none."""
        if picture.pts is not None and not self._timeless:
            self._anchor = (picture.pts, self._arrived_s)
            return picture.pts
        self.derived += not self._timeless
        if self._anchor is None:
            self._anchor = (0, self._arrived_s)
        pts, arrived_s = self._anchor
        return pts + round((self._arrived_s - arrived_s) / self._time_base)

    def _check_stall(self) -> None:
        quiet_s = perf_counter() - self._pictured_s
        if quiet_s > self._options.stall_s and not self._stop.is_set():
            damaged = f"; {self.damaged} could not be decoded" if self.damaged else ""
            raise SourceError(f"{self._name}: no picture for {quiet_s:.1f} s{damaged}")

    def _peer_closed(self) -> bool:
        target = self._opening.target
        return not isinstance(target, str) and target.ended

    def _stopped(self) -> SourceError:
        return SourceError(f"{self._name}: stopped before its first picture")

    def _reason(self, error: Exception) -> str:
        """Put FFmpeg's words into a sentence without secrets."""
        if isinstance(error, ExitError):
            return f"no answer within {self._options.open_timeout_s:g} s; check address and network"
        words = getattr(error, "strerror", None) or str(error)
        log = error.log[1] if isinstance(error, FFmpegError) and error.log else None
        detail = f" ({log[2].strip()})" if log else ""
        return scrubbed(f"{words}{detail}; {self._opening.hint}", self._opening.url)


def _close_bytes(target: str | Bytes) -> None:
    if not isinstance(target, str):
        target.close()
