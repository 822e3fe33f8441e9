"""One file of a recording: what is in it stays whole, whatever happens afterwards."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from io import SEEK_CUR, SEEK_SET
from pathlib import Path
from typing import TYPE_CHECKING

import av

from pipeline.live.access import CLOCK, AccessUnit, AudioTrack, VideoTrack
from pipeline.live.outlets.streams import Sound, add_audio, add_video, packet_of

if TYPE_CHECKING:
    from av.container import OutputContainer

FORMATS = {".mp4": "mp4", ".mkv": "matroska"}
"""Containers by the suffix of the file."""

_FRAGMENT_S = 1.0
_NEEDS_PACKETS_FIRST = frozenset({"ac3", "eac3"})
_MOST_HELD = 1000
"""Packets of sound that wait for their picture."""


class _WholeFile:
    """A new file that FFmpeg writes to. After an error it takes nothing more.

    FFmpeg's own files would do, but PyAV 18 closes them with the interpreter stopped, and a full
    disk shows late. Not buffered: what is written survives the end of the process.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.error is not None:
            return len(data)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self.error = error
            raise
        return len(data)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        return os.lseek(self._descriptor, 0, SEEK_CUR)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def release(self) -> None:
        """Close it; not called `close`, which PyAV would call too early."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class RecordFile:
    """A file that begins with a key picture, at time 0.

    Args:
        path: Must not exist; its suffix is one of `FORMATS`.
        video: The picture.
        sound: The sound, or None.
        key: The key picture it begins with; it is not written here.

    Raises:
        OSError: The file cannot be created or written.
        SinkError: The picture does not begin a stream.
    """

    def __init__(self, path: Path, video: VideoTrack, sound: Sound | None, key: AccessUnit) -> None:
        self.path = path
        self._start = key.pts
        self._sound = sound
        self._picture_duration = round(1 / video.frame_rate / CLOCK)
        self._whole_bytes = self._head_bytes = 0
        self._file = _WholeFile(path)
        try:
            self._container: OutputContainer = av.open(
                self._file,
                "w",
                format=FORMATS[path.suffix.lower()],
                options=_options(path, sound.track if sound else None),
            )
            self._video = add_video(self._container, video, key.data)
            self._audio = add_audio(self._container, sound.track) if sound else None
            self._container.start_encoding()
            self._check()
            self._whole_bytes = self._head_bytes = self._file.size()
        except BaseException:
            self.abandon()
            raise

    def write(self, unit: AccessUnit) -> None:
        """Write a unit; sound from before the first picture is left out.

        Raises:
            OSError: The disk is full, or worse.
            av.error.FFmpegError: The unit cannot be written.
        """
        if unit.medium == "video":
            packet = packet_of(
                unit,
                self._video,
                data=unit.data,
                start=self._start,
                duration=self._picture_duration,
            )
        elif self._sound is None or self._audio is None or unit.pts < self._start:
            return
        else:
            data = self._sound.raw(unit.data)
            packet = packet_of(unit, self._audio, data=data, start=self._start, duration=0)
        self._container.mux_one(packet)
        self._check()
        # All that was handed to the muxer so far and is out belongs to whole fragments.
        self._whole_bytes = self._file.size()

    def seconds_at(self, unit: AccessUnit) -> float:
        """Return a unit's time in this file."""
        return float((unit.pts - self._start) * CLOCK)

    def close(self) -> None:
        """End the file.

        Raises:
            OSError: Its end could not be written; what came before is whole.
            av.error.FFmpegError: The same.
        """
        try:
            self._container.close()
            self._check()
        except BaseException:
            self.abandon()
            raise
        self._file.release()

    def abandon(self) -> None:
        """Leave what is whole of it behind, or no file where that is nothing; for after errors."""
        if self._file.error is None:
            self._file.error = OSError("the file is being given up")
        # There may be no container yet, and PyAV closes a broken one with errors of all kinds.
        with suppress(Exception):
            self._container.close()
        with suppress(OSError):
            self._file.truncate(self._whole_bytes)
        self._file.release()
        if self._whole_bytes == self._head_bytes:
            self.path.unlink(missing_ok=True)

    def _check(self) -> None:
        """Raise what FFmpeg did not pass on."""
        if self._file.error is not None:
            raise self._file.error


class Interleaver:
    """Brings sound in order with pictures: it leaves before the first picture that is not earlier.

    Sound is not processed and overtakes the pictures it belongs to; files are cut at pictures.
    """

    def __init__(self) -> None:
        self._held: deque[AccessUnit] = deque(maxlen=_MOST_HELD)

    def take(self, unit: AccessUnit) -> list[AccessUnit]:
        """Return what can be written now."""
        if unit.medium == "audio":
            self._held.append(unit)
            return []
        ready = []
        while self._held and self._held[0].pts < unit.pts:
            ready.append(self._held.popleft())
        return [*ready, unit]

    def rest(self) -> list[AccessUnit]:
        """Return what is left."""
        held = list(self._held)
        self._held.clear()
        return held


def _options(path: Path, sound: AudioTrack | None) -> dict[str, str]:
    # Sound that fails to come must not hold up pictures for FFmpeg's ten seconds.
    options = {"flush_packets": "1", "max_interleave_delta": "500000"}
    if path.suffix.lower() == ".mkv":
        return options | {"cluster_time_limit": str(round(_FRAGMENT_S * 1000))}
    # The last two: a track that begins later than the other keeps its time.
    flags = "frag_keyframe+empty_moov+default_base_moof+frag_discont+negative_cts_offsets"
    if sound is not None and sound.codec in _NEEDS_PACKETS_FIRST:
        flags += "+delay_moov"
    return options | {"movflags": flags, "frag_duration": str(round(_FRAGMENT_S * 1_000_000))}
