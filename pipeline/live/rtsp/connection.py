"""One client's connection: bytes in, answers and packets out, and how long it may take.

Nothing here waits. An answer that must wait for a picture is written when the picture comes, or
when `tick` finds that the time is over; requests that follow stay in the parser meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import cast

from pipeline.live.rtsp.digest import Admission, DigestGuard
from pipeline.live.rtsp.limits import Limits
from pipeline.live.rtsp.message import Interleaved, MalformedError, MessageParser, Request, Response
from pipeline.live.rtsp.presentation import Presentation
from pipeline.live.rtsp.requests import Later, Requests
from pipeline.live.rtsp.transport import TcpTransport

log = logging.getLogger(__name__)

_SEND_BUFFER_BYTES = 1 << 17
"""Of the system, for each connection: what waits there can no longer be left out."""
_UNREAD_BYTES = 1 << 16
_CLOSING_S = 1.0
_RESET = struct.pack("ii", 1, 0)
"""`struct linger`: close with a reset; a client that reads nothing would not see another end."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """What all connections share."""

    presentation: Presentation
    guard: DigestGuard | None
    limits: Limits
    connections: set[Connection]
    on_empty: Callable[[], None]
    """Called when the last connection is gone."""


@dataclass(frozen=True, kw_only=True)
class _Pending:
    sequence: int
    until_s: float
    late: Callable[[], None]


class Connection(asyncio.Protocol):
    """The protocol of one connection; see `asyncio.Protocol` for who calls what.

    Args:
        services: Shared by all.
    """

    peer: tuple[object, ...] = ("",)
    local: tuple[object, ...] = ("",)
    _transport: asyncio.Transport

    def __init__(self, services: Services) -> None:
        limits = services.limits
        self._services = services
        self._limits = limits
        self._parser = MessageParser(head_bytes=limits.head_bytes, body_bytes=limits.body_bytes)
        self._pending: _Pending | None = None
        self._is_full = False
        self._has_played = False
        self._written = self._taken = 0
        self._began_s = self._heard_s = self._progress_s = monotonic()
        self._incomplete_s: float | None = self._began_s
        self._closing_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_UNREAD_BYTES)
        self.peer = transport.get_extra_info("peername") or self.peer
        self.local = transport.get_extra_info("sockname") or self.local
        with suppress(OSError):  # it has left already
            one = transport.get_extra_info("socket")
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        services = self._services
        admission = None
        if services.guard is not None:
            tries = self._limits.wrong_passwords
            admission = Admission(services.guard, str(self.peer[0]), tries=tries)
        self._requests = Requests(
            self, services.presentation, admission=admission, limits=self._limits
        )
        services.connections.add(self)
        if len(services.connections) > self._limits.connections:
            log.debug("%s: refused, %d connections", self.peer[0], self._limits.connections)
            self._answer(None, Response(503, closes=True))
        if not self.peer[0]:  # it has left already, and where its packets would go is unknown
            self.abort()

    def connection_lost(self, _: Exception | None) -> None:
        """The connection is gone, whoever ended it."""
        self._pending = None
        self._requests.close()
        services = self._services
        services.connections.discard(self)
        if not services.connections:
            services.on_empty()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._transport.is_closing():
            return
        self._parser.feed(data)
        self._process()

    def pause_writing(self) -> None:
        """The client does not take what is sent: no more requests until it does."""
        self._is_full = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._is_full = False
        self._process()

    def write(self, data: bytes) -> None:
        """Send bytes after those before."""
        if not self._transport.is_closing():
            self._written += len(data)
            self._transport.write(data)

    def buffered(self) -> int:
        """Bytes that wait to be sent."""
        return self._transport.get_write_buffer_size()

    def heard(self) -> None:
        """Something came from the player."""
        self._heard_s = monotonic()

    def known(self) -> None:
        """There is a description now."""
        self._requests.known()

    def reply(self, response: Response) -> None:
        """Answer the request that waits."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._answer(pending.sequence, response)
            asyncio.get_running_loop().call_soon(self._process)

    def close(self) -> None:
        """Send what waits, then close; `tick` sees to it that this ends."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once, and let the system forget what the client did not take."""
        one = self._transport.get_extra_info("socket")
        if one.fileno() >= 0:
            with suppress(OSError):  # it has left already
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def tick(self) -> None:
        """Look at the clock."""
        now_s = monotonic()
        if self._transport.is_closing():
            self._closing_s = self._closing_s or now_s
            if now_s - self._closing_s > _CLOSING_S:
                self.abort()
            return
        if self._pending is not None and now_s > self._pending.until_s:
            self._pending.late()
        if self._is_stalled(now_s):
            log.info("%s: took nothing for %g s", self.peer[0], self._limits.stall_s)
            self.abort()
        elif self._is_slow(now_s):
            self._answer(None, Response(408, closes=True))
        elif self._is_idle(now_s):
            log.info("%s: not heard of for a while", self.peer[0])
            self.close()

    @property
    def _is_playing(self) -> bool:
        session = self._requests.session
        return session is not None and session.is_playing

    def _process(self) -> None:
        try:
            while self._is_ready():
                message = self._parser.next_message()
                if message is None:
                    break
                self.heard()
                self._incomplete_s = None
                if not isinstance(message, Interleaved):
                    self._request(message)
        except MalformedError as error:
            # Not worth a line each: strangers send rubbish by the thousand.
            log.debug("%s: refused: %s", self.peer[0], error)
            self._answer(None, Response(error.status, closes=True))
            return
        self._note_incomplete()

    def _is_ready(self) -> bool:
        return self._pending is None and not self._is_full and not self._transport.is_closing()

    def _note_incomplete(self) -> None:
        """Start the time for the rest of a request, and read no more than can be kept."""
        if self._transport.is_closing():
            return
        is_incomplete = self._is_ready() and self._parser.buffered > 0
        self._incomplete_s = (self._incomplete_s or monotonic()) if is_incomplete else None
        # Reading goes on while an answer waits, since it is reading that notices the end.
        if self._is_ready() or self._parser.buffered < _UNREAD_BYTES:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _request(self, request: Request) -> None:
        answer = self._requests.answer(request)
        self._has_played = self._has_played or self._is_playing
        if isinstance(answer, Later):
            until_s = monotonic() + answer.within_s
            self._pending = _Pending(sequence=request.sequence, until_s=until_s, late=answer.late)
        else:
            self._answer(request.sequence, answer)

    def _answer(self, sequence: int | None, response: Response) -> None:
        self.write(response.encode(sequence))
        if response.closes:
            self.close()

    def _is_stalled(self, now_s: float) -> bool:
        waiting = self.buffered()
        taken = self._written - waiting
        if waiting == 0 or taken > self._taken:
            self._taken = taken
            self._progress_s = now_s
        return now_s - self._progress_s > self._limits.stall_s

    def _is_slow(self, now_s: float) -> bool:
        began_s = self._incomplete_s
        return began_s is not None and now_s - began_s > self._limits.request_s

    def _is_idle(self, now_s: float) -> bool:
        session = self._requests.session
        if session is not None and session.is_playing:
            transports = session.transports.values()
            if all(isinstance(one, TcpTransport) for one in transports):
                return False  # whether it takes what is sent is the better sign
            return now_s - self._heard_s > self._limits.session_s
        # Asking now and then keeps a paused player, but nobody who never plays.
        since_s = self._heard_s if self._has_played else self._began_s
        return now_s - since_s > self._limits.idle_s
