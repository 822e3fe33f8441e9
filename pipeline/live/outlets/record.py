"""Writes what is sent to files too, without ever holding up the picture."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Literal

from pipeline.errors import ConfigError, SinkError
from pipeline.live.access import AccessUnit, AudioTrack, VideoTrack
from pipeline.live.events import log_event
from pipeline.live.outlets.recording import FORMATS, Interleaver, RecordFile
from pipeline.live.outlets.streams import Sound, check_audio
from pipeline.live.outlets.waiting import UnitQueue

log = logging.getLogger(__name__)

_MOST_UNITS = 1500
_MOST_BYTES = 32 << 20
_RETRY_S = 10.0
_CLOSE_S = 1.8
_QUIET_S = 10.0
"""From one line about a slow disk to the next."""


@dataclass(frozen=True, kw_only=True)
class RecorderState:
    """A recording as it is now."""

    state: Literal["waiting", "recording", "failed"]
    """`waiting`: for the first key picture. `failed`: until the next try."""
    file: Path | None
    """What is being written."""
    files: int
    """Begun so far."""
    dropped: int
    """Pictures lost because the disk was slow, full or gone."""
    error: str
    """Why it failed, last; empty while all is well."""


class Recorder:
    """Records to one file, or to many that follow each other.

    A thread of its own writes. Where the disk is too slow, pictures up to the next key picture are
    lost; where it is full, what was recorded stays, and a new file is tried later. An `.mp4` is
    made of fragments of a second at most, an `.mkv` of clusters: either can be played up to the
    last one after the end of the process, whatever ended it.

    Args:
        path: Of the file, `.mp4` or `.mkv`. With `segment_s` each file is called
            `NAME-YYYYmmdd-HHMMSS` by the local time at which it began.
        video: What will be pushed.
        audio: What will be pushed with it, if anything.
        segment_s: Seconds after which the next key picture begins a new file.
        max_segments: Most files of this name in the folder, those of earlier runs too; the oldest
            are deleted.
        retry_s: Seconds from a failure to the next try.

    Raises:
        ConfigError: The options do not go together.
        SinkError: The file is there, or cannot be created, or its kind cannot hold the sound.
    """

    def __init__(
        self,
        path: Path,
        video: VideoTrack,
        audio: AudioTrack | None = None,
        *,
        segment_s: float | None = None,
        max_segments: int | None = None,
        retry_s: float = _RETRY_S,
    ) -> None:
        _check_options(segment_s, max_segments)
        self._path, self._video, self._audio = path, video, audio
        self._segment_s, self._max_segments, self._retry_s = segment_s, max_segments, retry_s
        self._sound = Sound(audio) if audio else None
        _check_target(path, None if segment_s else path)
        if self._sound is not None:
            way_out = "record to .mkv" if path.suffix.lower() == ".mp4" else "record to .mp4"
            format_name = FORMATS[path.suffix.lower()]
            check_audio(format_name, self._sound.track, f"{way_out}, or leave the sound out")
        self._queue = UnitQueue(
            keep="old", most_units=_MOST_UNITS, most_bytes=_MOST_BYTES, request_key=lambda: None
        )
        self._interleaver = Interleaver()
        self._file: RecordFile | None = None
        self._files = 0
        self._error = ""
        self._retry_at: float | None = None
        self._overflows = 0
        self._quiet_until = 0.0
        self._queue.begin()
        self._thread = threading.Thread(target=self._run, name="demoire-record", daemon=True)
        self._thread.start()

    @property
    def state(self) -> RecorderState:
        """How it stands; from any thread."""
        file = self._file
        failed = self._retry_at is not None
        return RecorderState(
            state="failed" if failed else "recording" if file else "waiting",
            file=file.path if file else None,
            files=self._files,
            dropped=self._queue.dropped,
            error=self._error,
        )

    def push(self, unit: AccessUnit) -> None:
        """Take a unit and return at once."""
        self._queue.put(unit)
        self._note_overflow()

    def close(self) -> None:
        """Write what is waiting and end the file, within two seconds; twice is once."""
        self._queue.close()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            self._log("stuck", f"the disk did not take the end within {_CLOSE_S:g} s")

    def _run(self) -> None:
        """Body of the thread."""
        while True:
            unit = self._queue.get(self._until_retry_s())
            if unit is not None:
                for one in self._interleaver.take(unit):
                    self._attempt(one)
            elif self._queue.closed:
                break
            elif self._retry_at is not None and monotonic() >= self._retry_at:
                self._retry_at = None
                self._queue.begin()
        for one in self._interleaver.rest():
            self._attempt(one)
        self._end_file()

    def _attempt(self, unit: AccessUnit) -> None:
        """Write a unit; after an error, give up the file and wait for the next try."""
        if self._retry_at is not None:
            return
        try:
            self._write(unit)
        except Exception as error:  # noqa: BLE001 - this thread must not end without a word
            self._fail(error)

    def _write(self, unit: AccessUnit) -> None:
        if unit.medium == "video" and self._is_new(unit):
            self._end_file()
            if self._retry_at is not None:
                return
            self._file = self._begin(unit)
            self._files += 1
            self._error = ""
            self._log("started", f"{self._file.path} is being recorded", level=logging.INFO)
            try:
                self._delete_old(self._file.path)
            except OSError as error:
                self._log("not_deleted", f"old files stay: {error}", level=logging.WARNING)
        if self._file is not None:
            self._file.write(unit)
        elif self._sound is not None and unit.medium == "audio":
            self._sound.raw(unit.data)  # it may tell what the file's head must say

    def _is_new(self, unit: AccessUnit) -> bool:
        if self._file is None:
            return unit.is_key
        if self._segment_s is None or not unit.is_key:
            return False
        # Half a picture less: pts are rounded, and a key picture later would be a whole interval.
        slack = float(1 / self._video.frame_rate) / 2
        return self._file.seconds_at(unit) >= self._segment_s - slack

    def _begin(self, key: AccessUnit) -> RecordFile:
        """Create the next file; a plain path is taken once, and never over another file."""
        for path in self._names():
            with suppress(FileExistsError):
                return RecordFile(path, self._video, self._sound, key)
        raise AssertionError("names do not end")

    def _names(self) -> Iterator[Path]:
        if self._segment_s is None and self._files == 0 and not self._error:
            yield self._path
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        yield self._path.with_stem(f"{self._path.stem}-{stamp}")
        number = 2
        while True:
            yield self._path.with_stem(f"{self._path.stem}-{stamp}-{number}")
            number += 1

    def _delete_old(self, current: Path) -> None:
        """Delete the oldest files of this recording beyond the most there may be."""
        if self._max_segments is None:
            return
        stem, suffix = re.escape(self._path.stem), re.escape(self._path.suffix)
        ours = re.compile(rf"{stem}-\d{{8}}-\d{{6}}(-\d+)?{suffix}")
        # By age, not by name: names go back by an hour each autumn.
        found = sorted(
            (entry.stat().st_mtime_ns, entry)
            for entry in current.parent.iterdir()
            if ours.fullmatch(entry.name) and entry != current
        )
        for _, entry in found[: max(0, len(found) + 1 - self._max_segments)]:
            entry.unlink(missing_ok=True)

    def _end_file(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except Exception as error:  # noqa: BLE001 - this thread must not end without a word
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.abandon()
        self._retry_at = monotonic() + self._retry_s
        self._queue.hold()
        self._interleaver.rest()
        self._error = getattr(error, "strerror", None) or str(error)
        where = file.path if file else self._path
        self._log(
            "failed",
            f"recording to {where} ended: {self._error}; what was written stays, a new file is "
            f"tried in {self._retry_s:g} s",
        )

    def _until_retry_s(self) -> float | None:
        return None if self._retry_at is None else max(0.0, self._retry_at - monotonic())

    def _note_overflow(self) -> None:
        overflows = self._queue.overflows
        if overflows != self._overflows and monotonic() >= self._quiet_until:
            self._overflows, self._quiet_until = overflows, monotonic() + _QUIET_S
            self._log(
                "dropped",
                f"the disk is too slow for {self._path}: {self._queue.dropped} pictures are lost",
                level=logging.WARNING,
            )

    def _log(self, what: str, message: str, level: int = logging.ERROR) -> None:
        fields = {"path": str(self._path)}
        log_event(log, f"record.{what}", message, level=level, fields=fields)


def _check_options(segment_s: float | None, max_segments: int | None) -> None:
    if segment_s is not None and segment_s <= 0:
        raise ConfigError(f"a segment must last more than 0 s, got {segment_s}; leave it out for "
                          "one file")  # fmt: skip
    if max_segments is not None and (segment_s is None or max_segments < 1):
        raise ConfigError(
            f"max_segments limits the files of a recording in segments, got {max_segments} with "
            f"segments of {segment_s} s; give a length, and 1 file or more"
        )


def _check_target(path: Path, single: Path | None) -> None:
    """Raise `SinkError` where a recording could not begin.

    Args:
        path: As given.
        single: The file itself, where it is one.
    """
    if path.suffix.lower() not in FORMATS:
        raise SinkError(f"{path}: a recording ends in {' or '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise SinkError(f"{path}: there is no folder {path.parent}; create it first")
    if single is not None and (single.exists() or single.is_symlink()):
        raise SinkError(
            f"{path}: it exists, and recordings never overwrite; choose another name, or record "
            "in segments, which carry the time in their names"
        )
