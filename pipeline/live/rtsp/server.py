"""The RTSP server: players connect to it and watch."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Self

from pipeline.live.access import AccessUnit, AudioTrack, VideoTrack
from pipeline.live.loop import LoopThread
from pipeline.live.rtsp.address import Address, Credentials, listening_sockets
from pipeline.live.rtsp.connection import Connection, Services
from pipeline.live.rtsp.digest import DigestGuard
from pipeline.live.rtsp.limits import Limits
from pipeline.live.rtsp.presentation import Presentation

log = logging.getLogger(__name__)

_TICK_S = 0.1
_INBOX = 256
"""Units that may wait for a busy loop: a few seconds."""
_CLOSE_S = 0.4
_ACCEPT_TURNS = 4
"""Of the loop, until what was accepted is a connection."""


class RtspServer:
    """Serves one stream to many players, over TCP and UDP; an outlet (`pipeline.live.access`).

    It listens once constructed. Pictures in H.264 and HEVC can be sent, and sound in the codecs
    that `pipeline.live.rtsp.audio.audio_format` names: AAC, Opus, MP2, MP3, A-law, mu-law and
    big-endian 16-bit PCM.

    A player starts on the key picture that is asked for when it joins. One that is too slow loses
    whole groups of pictures, and starts again on a key picture.

    Args:
        address: Where to listen; see `parse_address`.
        video: The picture.
        audio: The sound, or None for none.
        request_key: Asks the encoder for a key picture; called from the loop's thread, and must
            return at once.
        credentials: Who may watch; None are those of the address, and everybody without them.
        limits: What clients may cost; None is `Limits()`.
        loop: A running loop to serve in; None makes one, which ends with the server.

    Raises:
        SinkError: The address cannot be listened at, or the sound's codec cannot be sent.
    """

    def __init__(
        self,
        address: Address,
        video: VideoTrack,
        audio: AudioTrack | None = None,
        *,
        request_key: Callable[[], None],
        credentials: Credentials | None = None,
        limits: Limits | None = None,
        loop: LoopThread | None = None,
    ) -> None:
        credentials = credentials or address.credentials
        self._address = address
        self._lock = threading.Lock()
        self._inbox: deque[AccessUnit] = deque()
        self._has_lost = self._is_closed = False
        self._empty = asyncio.Event()
        self._listeners: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._presentation = Presentation(
            video, audio, path=address.path, request_key=request_key, on_known=self._known
        )
        self._services = Services(
            presentation=self._presentation,
            guard=None if credentials is None else DigestGuard(credentials),
            limits=limits or Limits(),
            connections=set(),
            on_empty=self._empty.set,
        )
        sockets = listening_sockets(address)
        self.port: int = sockets[0].getsockname()[1]
        self._owns_loop = loop is None
        self._thread = loop or LoopThread("rtsp")
        self._start(sockets)

    @property
    def url(self) -> str:
        """Where players find it, without user and password."""
        return self._address.url(self.port)

    @property
    def viewers(self) -> int:
        """Players that watch now."""
        return self._presentation.viewers

    def push(self, unit: AccessUnit) -> None:
        """Take a unit, from any thread, and return at once."""
        with self._lock:
            if self._is_closed:
                return
            if len(self._inbox) >= _INBOX:
                self._has_lost = True
                return
            self._inbox.append(unit)
            if len(self._inbox) == 1:
                with suppress(RuntimeError):  # somebody stopped the loop that was lent
                    self._thread.loop.call_soon_threadsafe(self._take)

    def close(self) -> None:
        """Disconnect everybody and end, within about a second; twice is once.

        Not from the loop's own thread, and before a loop that was lent is stopped.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        try:
            self._thread.call(self._end())
        finally:
            if self._owns_loop:
                self._thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, sockets: Sequence[socket.socket]) -> None:
        with ExitStack() as undo:
            for one in sockets:
                undo.callback(one.close)
            if self._owns_loop:
                self._thread.start()
                undo.callback(self._thread.stop)
            self._thread.call(self._listen(sockets))
            undo.pop_all()

    def _take(self) -> None:
        with self._lock:
            units, self._inbox = self._inbox, deque()
            has_lost, self._has_lost = self._has_lost, False
        for unit in units:
            self._presentation.push(unit)
        if has_lost:  # they came after those
            log.warning("%s: the loop was too busy; pictures were left out", self.url)
            self._presentation.lose()

    def _known(self) -> None:
        for connection in tuple(self._services.connections):
            connection.known()

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        for connection in tuple(self._services.connections):
            connection.tick()
        self._presentation.tick()

    async def _listen(self, sockets: Sequence[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for one in sockets:
            listener = await loop.create_server(lambda: Connection(self._services), sock=one)
            self._listeners.append(listener)
        self._tick()

    async def _end(self) -> None:
        assert self._timer is not None, "listening began"
        await self._stop_listening()
        self._presentation.close()
        for connection in tuple(self._services.connections):
            connection.close()
        await self._until_empty()
        for connection in tuple(self._services.connections):
            connection.abort()
        await self._until_empty()
        self._timer.cancel()

    async def _stop_listening(self) -> None:
        # asyncio forgets, open, a connection that it has accepted but not yet made when its
        # server is closed (CPython 3.11), so that is done after there can be none.
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            for one in listener.sockets:
                loop.remove_reader(one.fileno())
        for _ in range(_ACCEPT_TURNS):
            await asyncio.sleep(0)
        for listener in self._listeners:
            listener.close()

    async def _until_empty(self) -> None:
        self._empty.clear()
        if self._services.connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), _CLOSE_S)
