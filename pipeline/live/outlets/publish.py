"""Publishes to somebody else's server, and stays with it through everything that happens there."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import BinaryIO, Literal, cast

from pipeline.errors import SinkError
from pipeline.live.access import AccessUnit, AudioTrack, VideoTrack
from pipeline.live.events import log_event
from pipeline.live.outlets.destination import Destination, destination
from pipeline.live.outlets.streams import Sound, check_audio
from pipeline.live.outlets.waiting import UnitQueue
from pipeline.live.outlets.wire import Opening, write_opening, write_unit
from pipeline.live.redaction import scrubbed

log = logging.getLogger(__name__)

_JOIN_S = 1.2
_KILLED_S = 0.6
_MODULE = "pipeline.live.outlets.publishing"


@dataclass(frozen=True, kw_only=True)
class PublishOptions:
    """How patient a publisher is."""

    pause_s: float = 0.5
    """Seconds from a failure to the next try; doubled with each further one."""
    longest_pause_s: float = 10.0
    connect_s: float = 8.0
    """Most seconds that connecting may take."""
    stall_s: float = 8.0
    """Seconds after which a peer that takes nothing is given up."""
    most_units: int = 150
    most_bytes: int = 8 << 20
    """Pictures and sound that wait for a slow peer; beyond that they are lost."""


@dataclass(frozen=True, kw_only=True)
class PublisherState:
    """A publication as it is now."""

    address: str
    """Without user and password."""
    state: Literal["connecting", "connected", "failed"]
    """`failed`: until the next try."""
    reconnects: int
    """How often it was connected again."""
    dropped: int
    """Pictures that the peer did not get."""
    error: str
    """Why it failed, last; empty once connected. Without secrets."""


class _LostError(Exception):
    """The peer, or the process that speaks with it, is gone; says why."""


class Publisher:
    """Sends units to an RTSP, RTMP or WHIP server, for ever.

    A child process does the sending: a frozen server can block FFmpeg for ever, in places with the
    interpreter stopped, and a process can be ended whatever it does. Two threads feed it and
    listen to it.

    Args:
        url: See `destination`.
        video: What will be pushed.
        audio: What will be pushed with it, if anything.
        request_key: Asks the encoder for a key picture, from any thread.
        options: How patient to be.

    Raises:
        SinkError: Nothing can be published there, or not this.
    """

    def __init__(
        self,
        url: str,
        video: VideoTrack,
        audio: AudioTrack | None = None,
        *,
        request_key: Callable[[], None],
        options: PublishOptions | None = None,
    ) -> None:
        self._options = options or PublishOptions()
        self._destination = destination(url)
        self._url = url
        self._video = video
        self._sound = Sound(audio) if audio else None
        _check_codecs(self._destination, video, self._sound)
        self._queue = UnitQueue(
            keep="new",
            most_units=self._options.most_units,
            most_bytes=self._options.most_bytes,
            request_key=request_key,
        )
        self._state: Literal["connecting", "connected", "failed"] = "connecting"
        self._connects = 0
        self._error = ""
        self._logged_error = ""
        self._child: _Child | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demoire-publish", daemon=True)
        self._thread.start()

    @property
    def state(self) -> PublisherState:
        """How it stands; from any thread."""
        return PublisherState(
            address=self._destination.shown,
            state=self._state,
            reconnects=max(0, self._connects - 1),
            dropped=self._queue.dropped,
            error=self._error,
        )

    def push(self, unit: AccessUnit) -> None:
        """Take a unit and return at once."""
        self._queue.put(unit)

    def close(self) -> None:
        """End within two seconds, whatever the server does; twice is once."""
        self._closing.set()
        self._queue.close()
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            # It hands over a unit that nobody takes.
            child = self._child
            if child is not None:
                child.kill()
            self._thread.join(_KILLED_S)

    def _run(self) -> None:
        """Body of the thread that feeds the child."""
        pause_s = self._options.pause_s
        while not self._closing.is_set():
            connects = self._connects
            try:
                self._session()
            except Exception as error:  # noqa: BLE001 - this thread must not end without a word
                if not self._closing.is_set():
                    self._fail(str(error))
            if self._connects > connects:
                pause_s = self._options.pause_s
            self._closing.wait(pause_s)
            pause_s = min(pause_s * 2, self._options.longest_pause_s)
        if self._child is not None:
            self._child.finish()

    def _session(self) -> None:
        """Connect and send until that ends.

        Raises:
            _LostError: It ended.
        """
        self._state = "connecting"
        child = self._running_child()
        self._queue.begin()
        key = self._next_key()
        if key is None:
            return
        self._queue.hold()
        child.open(self._opening(key))
        self._await_connection(child)
        # What came meanwhile is old, and a player would stay behind by as much.
        self._queue.begin()
        while (unit := self._queue.get()) is not None or not self._closing.is_set():
            child.check()
            if unit is not None:
                child.send(self._as_sent(unit))

    def _next_key(self) -> AccessUnit | None:
        """Wait for a key picture; None when it is time to end."""
        while not self._closing.is_set():
            unit = self._queue.get()
            if unit is not None and self._sound is not None and unit.medium == "audio":
                self._sound.raw(unit.data)
            if unit is not None and unit.is_key and unit.medium == "video":
                return unit
        return None

    def _await_connection(self, child: _Child) -> None:
        deadline = monotonic() + self._options.connect_s + 2.0
        while not child.connected and not self._closing.is_set():
            child.check()
            if monotonic() > deadline:
                child.kill()
                raise _LostError(f"no answer within {self._options.connect_s:g} s")
            self._queue.get(0.5)  # nothing comes; the child wakes it
        if child.connected:
            self._succeed()

    def _opening(self, key: AccessUnit) -> Opening:
        to = self._destination
        options = dict(to.options)
        if to.format == "rtsp":
            options["timeout"] = str(round(self._options.connect_s * 1_000_000))
        return Opening(
            url=to.url,
            format=to.format,
            options=options,
            video=self._video,
            audio=self._sound.track if self._sound else None,
            connect_s=self._options.connect_s,
            stall_s=self._options.stall_s,
            key=key.data,
        )

    def _as_sent(self, unit: AccessUnit) -> AccessUnit:
        if unit.medium == "video" or self._sound is None:
            return unit
        data = self._sound.raw(unit.data)
        return AccessUnit(data=data, pts=unit.pts, is_key=True, medium="audio")

    def _running_child(self) -> _Child:
        if self._child is not None and self._child.alive:
            self._child.forget()
            return self._child
        if self._child is not None:
            self._child.kill()
            self._child.finish()
            self._child = None
        try:
            self._child = _Child(self._queue.wake)
        except (OSError, RuntimeError) as error:
            raise _LostError(f"no process could be started for it: {error}") from error
        return self._child

    def _succeed(self) -> None:
        self._connects += 1
        self._state, self._error, self._logged_error = "connected", "", ""
        again = f", for the {self._connects}. time" if self._connects > 1 else ""
        self._log("connected", f"publishing to {self._destination.shown}{again}", logging.INFO)

    def _fail(self, why: str) -> None:
        self._queue.hold()
        self._state, self._error = (
            "failed",
            scrubbed(scrubbed(why, self._url), self._destination.url),
        )
        # A server that is away for a day is worth one line, not thousands.
        level = logging.DEBUG if self._error == self._logged_error else logging.WARNING
        self._logged_error = self._error
        self._log("failed", f"publishing to {self._destination.shown} failed: {self._error}", level)

    def _log(self, what: str, message: str, level: int) -> None:
        fields = {"address": self._destination.shown}
        log_event(log, f"publish.{what}", message, level=level, fields=fields)


class _Child:
    """The process that publishes, and a thread that listens to it.

    Args:
        wake: Called when it said something, from that thread.

    Raises:
        OSError: The process could not be started.
        RuntimeError: The thread could not.
    """

    _FINISH_S = 0.8

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.connected = False
        self._failure: str | None = None
        # Addresses hold passwords: they go through the pipe, never to where `ps` shows them.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._pipe = cast(BinaryIO, self._process.stdin)
        self._lines = self._process.stdout
        self._listener = threading.Thread(
            target=self._listen, name="demoire-publish-listen", daemon=True
        )
        try:
            self._listener.start()
        except RuntimeError:
            self.kill()
            self._process.wait()
            raise

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None and self._listener.is_alive()

    def forget(self) -> None:
        """Begin anew after a failure."""
        self.connected, self._failure = False, None

    def check(self) -> None:
        """Raise `_LostError` if it failed."""
        if self._failure is not None:
            raise _LostError(self._failure)

    def open(self, opening: Opening) -> None:
        """Make it connect."""
        try:
            write_opening(self._pipe, opening)
        except OSError as error:
            raise _LostError(self._ending()) from error

    def send(self, unit: AccessUnit) -> None:
        """Make it send a unit; blocks as long as the peer takes none, up to its death."""
        try:
            write_unit(self._pipe, unit)
        except (OSError, ValueError) as error:
            raise _LostError(self._ending()) from error

    def kill(self) -> None:
        """End it; from any thread."""
        self._process.kill()

    def finish(self) -> None:
        """Let it say goodbye, or else end it, and leave nothing behind."""
        with suppress(OSError):
            self._pipe.close()
        try:
            self._process.wait(self._FINISH_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        self._lines.close()

    def _listen(self) -> None:
        for line in self._lines:
            said = json.loads(line)
            if said["event"] == "connected":
                self.connected = True
            else:
                self._failure = said["error"]
            self._wake()
        self._failure = self._ending()
        self._wake()

    def _ending(self) -> str:
        """Say why the process is gone."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "the process that publishes closed its pipe"
        if code == -signal.SIGALRM:
            return "the server takes nothing" if self.connected else "the server does not answer"
        return f"the process that publishes ended with {code}"


def _check_codecs(to: Destination, video: VideoTrack, sound: Sound | None) -> None:
    """Raise `SinkError` where the destination does not take what will be pushed."""
    if to.format == "whip" and video.codec != "h264":
        raise SinkError(f"{to.shown}: WHIP takes h264, not {video.codec}; encode to h264")
    if sound is None:
        return
    if to.format == "whip" and sound.track.codec != "opus":
        raise SinkError(
            f"{to.shown}: WHIP takes sound in opus only, not {sound.track.codec}; leave it out"
        )
    if to.format != "whip":
        check_audio(to.trial_format, sound.track, f"leave it out, or do not publish to {to.shown}")
