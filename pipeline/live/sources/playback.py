"""A video file as if it were a camera: at its own pace, and over and over if wanted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pipeline.frame import Frame
from pipeline.live.sources.contract import MOST_PACKETS, LiveOptions
from pipeline.live.sources.pacing import Paced
from pipeline.media import as_fraction
from pipeline.sources.file import FileSource

if TYPE_CHECKING:
    import av

    Packet = av.Packet[Any]


def open_playback(spec: str, options: LiveOptions, stop: threading.Event, since_s: float) -> Paced:
    """Open a file (`video.mp4` or `file:///video.mp4`) to be played at its own pace."""
    path = unquote(urlsplit(spec).path) if spec.lower().startswith("file://") else spec
    return Paced(Playback(Path(path), options), stop)


class Playback:
    """A file's frames, once or in a loop whose timestamps go on rising.

    Args:
        path: The file.
        options: `loop`, `sound` and `threads` count.

    Raises:
        SourceError: The file cannot be opened, or holds no video.
    """

    derived = 0

    def __init__(self, path: Path, options: LiveOptions) -> None:
        self._path, self._options = path, options
        self.final = not options.loop
        self._damaged = 0
        self._first = self._current = self._open()
        info = self._first.info
        sound = [one for one in info.streams if one.type == "audio"] if options.sound else []
        self._sound = sound[0].index if sound else None
        self.info = replace(
            info,
            streams=tuple(sound[:1]),
            attachments=(),
            chapters=(),
            frame_count=None if options.loop else info.frame_count,
            duration_s=None if options.loop else info.duration_s,
            video_position=int(bool(sound) and info.video_position > 0),
        )

    @property
    def damaged(self) -> int:
        """Pictures so far that could not be decoded."""
        return self._damaged + self._current.decode_errors

    def frames(self) -> Iterator[Frame]:
        """Yield the file's frames; in a loop, each round begins where the one before ends."""
        origin: int | None = None
        ends, packets = 0, ()  # type: int, tuple[Packet, ...]
        while True:
            for frame in self._current.frames():
                origin = ends - frame.pts if origin is None else origin
                moved = replace(
                    frame,
                    pts=frame.pts + origin,
                    packets=self._kept((*packets, *self._moved(frame.packets, origin))),
                )
                ends, packets = moved.pts + self._lasts(frame), ()
                yield moved
            if self.final or origin is None:
                return
            packets = self._moved(self._current.tail(), origin)
            self._begin_again()
            origin = None

    def close(self) -> None:
        """Close the file."""
        self._first.close()
        self._current.close()

    def _open(self) -> FileSource:
        return FileSource(self._path, deinterlace="bwdif", threads=self._options.threads)

    def _begin_again(self) -> None:
        self._damaged += self._current.decode_errors
        if self._current is not self._first:  # whose streams `info` refers to
            self._current.close()
        self._current = self._open()

    def _lasts(self, frame: Frame) -> int:
        """Return how long a frame is shown, in its time base; by the rate where it is unknown."""
        rate = self.info.frame_rate or 25
        return max(1, frame.duration or round(1 / (rate * frame.time_base)))

    def _kept(self, packets: tuple[Packet, ...]) -> tuple[Packet, ...]:
        return tuple(one for one in packets if one.stream_index == self._sound)[-MOST_PACKETS:]

    def _moved(self, packets: tuple[Packet, ...], ticks: int) -> tuple[Packet, ...]:
        """Move packets by as much as the picture, in its time base."""
        for packet in packets:
            unit = as_fraction(packet.time_base) or self.info.time_base
            shift = round(ticks * self.info.time_base / unit)
            if packet.pts is not None:
                packet.pts += shift
            if packet.dts is not None:
                packet.dts += shift
        return packets
