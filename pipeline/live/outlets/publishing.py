"""The process that publishes: it reads units from its standard input and hands them to FFmpeg.

A peer that does not answer blocks FFmpeg for ever, some calls with the interpreter stopped (PyAV
18). Here that blocks nobody else: an alarm, which is the system's own, ends the process, and the
`Publisher` that started it starts another. It says what happens in lines of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
from contextlib import suppress
from typing import Any

import av
from av.logging import ERROR, set_level

from pipeline.errors import SinkError
from pipeline.live.access import CLOCK, AccessUnit
from pipeline.live.outlets.streams import add_audio, add_video, packet_of
from pipeline.live.outlets.wire import Message, Opening, read_message, read_opening

_FAREWELL_S = 1.0
_SEND_BUFFER_BYTES = 512 << 10
"""Linux would let a few megabytes pile up for a slow peer, which may be ten seconds of video."""
_BROKEN = (OSError, av.error.FFmpegError, SinkError, ValueError)


class Connection:
    """An open stream to a peer.

    Raises:
        OSError: The peer refuses.
        av.error.FFmpegError: The same.
    """

    def __init__(self, opening: Opening) -> None:
        self._stall_s = opening.stall_s
        self._duration = round(1 / opening.video.frame_rate / CLOCK)
        self._start: int | None = None
        self._container = av.open(
            opening.url,
            "w",
            format=opening.format,
            # Sound that fails to come must not hold up pictures for FFmpeg's ten seconds.
            options={**opening.options, "max_interleave_delta": "200000", "flush_packets": "1"},
        )
        self._video = add_video(self._container, opening.video, opening.key)
        self._audio = add_audio(self._container, opening.audio) if opening.audio else None
        alarm(opening.connect_s)
        self._container.start_encoding()
        alarm(0)
        _keep_buffers_small()

    def send(self, message: Message) -> None:
        """Hand a unit to FFmpeg."""
        is_sound = message.kind == "sound"
        stream: Any = self._audio if is_sound else self._video
        if self._start is None:
            self._start = message.pts
        if stream is None or message.pts < self._start:
            return
        unit = AccessUnit(data=b"", pts=message.pts, is_key=message.kind != "picture")
        duration = 0 if is_sound else self._duration
        packet = packet_of(unit, stream, data=message.body, start=self._start, duration=duration)
        alarm(self._stall_s)
        self._container.mux_one(packet)
        alarm(0)

    def close(self) -> None:
        """Say goodbye to the peer."""
        alarm(_FAREWELL_S)
        with suppress(*_BROKEN):
            self._container.close()
        alarm(0)


def alarm(seconds: float) -> None:
    """End this process after so many seconds, whatever it does then; 0 for not at all."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def serve() -> None:
    """Do as told until standard input ends."""
    connection: Connection | None = None
    while (message := read_message(sys.stdin.buffer)) is not None:
        try:
            if message.kind == "open":
                connection = Connection(read_opening(message.body))
                _say("connected")
            elif connection is not None:
                connection.send(message)
        except _BROKEN as error:
            alarm(0)
            if connection is not None:
                connection.close()
            connection = None
            _say("failed", _words(error))
    if connection is not None:
        connection.close()


def _say(event: str, error: str = "") -> None:
    sys.stdout.write(json.dumps({"event": event, "error": error}) + "\n")
    sys.stdout.flush()


def _words(error: BaseException) -> str:
    """Say what FFmpeg means; the number it gives is often only "some error"."""
    text = getattr(error, "strerror", None) or str(error)
    logged = getattr(error, "log", None)
    more = logged[2].strip() if logged else ""
    return f"{text} ({more})" if more and text not in more else str(text)


def _keep_buffers_small() -> None:
    """Limit what the system holds for the peer; FFmpeg has no option for that."""
    with suppress(OSError):  # no such folder beside Linux
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                    with socket.socket(fileno=os.dup(int(name))) as held:
                        held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)


if __name__ == "__main__":
    # Ctrl-C and SIGTERM reach the whole group; the one who started this process ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    set_level(ERROR)
    serve()
