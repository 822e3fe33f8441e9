"""One page that is open: what it gets, and what it asks for."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import av

from pipeline.live.access import AccessUnit
from pipeline.live.web.camera import WHICH, Which
from pipeline.live.web.packing import Packer
from pipeline.live.web.room import Room

if TYPE_CHECKING:
    from aiohttp import WSMessage, web

logger = logging.getLogger(__name__)

_ASK_AGAIN_S = 0.5
"""A page that is always too slow must not turn every picture into a key picture."""
_REPLIES = 32


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What strangers and slow browsers can cost."""

    viewers: int = 16
    """Pages that are open at a time, of all cameras."""
    connections: int = 64
    message_bytes: int = 2048
    """Of what a page sends."""
    queue_units: int = 60
    """Units of both pictures that wait for one page; with one more it goes on at the next key
    picture."""
    queue_bytes: int = 4 << 20
    stall_s: float = 15.0
    """A page that takes nothing for so long is disconnected."""


class Viewer:
    """A `Visitor` behind a WebSocket; all of it runs in the loop.

    Args:
        socket: Open.
        transport: What carries it.
        room: The camera that it looks at.
        packer: Closed at the end.
        limits: Of what waits for it.
        on_change: Called when the page changed something, so that all pages show it.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        room: Room,
        *,
        transport: asyncio.Transport,
        packer: Packer,
        limits: Limits,
        on_change: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._room = room
        self._packer = packer
        self._limits = limits
        self._on_change = on_change
        self._units: deque[tuple[Which, AccessUnit]] = deque()
        self._bytes = 0
        self._needs_key = set(WHICH)
        self._may_ask_at = 0.0
        self._status: str | None = None
        self._replies: deque[str] = deque(maxlen=_REPLIES)
        self._wake = asyncio.Event()

    def offer(self, which: Which, unit: AccessUnit) -> None:
        """Take a unit; where too much waits already, leave out all until the next key picture."""
        if which in self._needs_key and not unit.is_key:
            return
        full = len(self._units) >= self._limits.queue_units
        if full or self._bytes + len(unit.data) > self._limits.queue_bytes:
            self._skip()
            return
        self._needs_key.discard(which)
        self._units.append((which, unit))
        self._bytes += len(unit.data)
        self._wake.set()

    def missed(self, which: Which) -> None:
        """Wait for that picture's next key picture, and ask for it."""
        self._needs_key.add(which)
        self._wake.set()

    def tell(self, status: str) -> None:
        """Send a status instead of the one that still waits."""
        self._status = status
        self._wake.set()

    def reply(self, message: dict[str, object]) -> None:
        """Send an answer; of those that wait, only the last few are kept."""
        self._replies.append(json.dumps(message))
        self._wake.set()

    async def run(self) -> None:
        """Serve the page until it goes."""
        sender = asyncio.create_task(self._send())
        self._room.enter(self)
        try:
            async for message in self._socket:
                self._take(message)
        finally:
            self._room.leave(self)
            sender.cancel()
            await asyncio.wait([sender])
            self._packer.close()
        if not sender.cancelled():
            sender.result()  # raises what ended it

    async def close(self) -> None:
        """Tell the page that the server goes."""
        await self._socket.close(code=1001, message=b"the server ends")

    def hang_up(self) -> None:
        """End the connection whatever the other side does."""
        self._transport.abort()

    async def _send(self) -> None:
        try:
            async for message in self._messages():
                async with asyncio.timeout(self._limits.stall_s):
                    if isinstance(message, str):
                        await self._socket.send_str(message)
                    else:
                        await self._socket.send_bytes(message)
        except ConnectionError:
            pass
        except TimeoutError:
            logger.info("%s: a page took nothing for too long", self._room.name)
        except av.FFmpegError as error:
            logger.warning("%s: a picture does not fit into MP4: %s", self._room.name, error)
        finally:
            self.hang_up()

    async def _messages(self) -> AsyncIterator[str | bytes]:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._replies or self._status is not None or self._units:
                if self._replies:
                    yield self._replies.popleft()
                elif self._status is not None:
                    status, self._status = self._status, None
                    yield status
                else:
                    which, unit = self._units.popleft()
                    self._bytes -= len(unit.data)
                    for message in self._packer.pack(which, unit):
                        yield message
            # Only here, with all sent: a page that has stalled gets no key pictures for nothing.
            self._ask()

    def _skip(self) -> None:
        self._units.clear()
        self._bytes = 0
        self._needs_key = set(WHICH)
        self._wake.set()

    def _ask(self) -> None:
        """Ask for the key pictures that are missing, now or as soon as it may."""
        if not self._needs_key or not self._room.is_looking(self):
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._may_ask_at:
            return
        self._may_ask_at = loop.time() + _ASK_AGAIN_S
        loop.call_later(_ASK_AGAIN_S, self._wake.set)
        for which in self._needs_key:
            self._room.view.request_key(which)

    def _take(self, message: WSMessage) -> None:
        """Do what the page asks for; what cannot be understood is answered, never more."""
        try:
            wish = json.loads(message.data, parse_int=float, parse_constant=_no_number)
        except (ValueError, TypeError, RecursionError):
            wish = None
        if not isinstance(wish, dict):
            self.reply({"type": "refused", "message": "that was no JSON object"})
            return
        kind = wish.get("type")
        if kind == "look":
            self._look(wish.get("on"))
        elif kind == "key":
            self._skip()
        elif kind == "set":
            self._set(wish)
        else:
            self.reply({"type": "refused", "message": "there is no such type of message"})

    def _look(self, on: object) -> None:
        (self._room.look if on is True else self._room.look_away)(self)
        self._skip()

    def _set(self, wish: dict[str, object]) -> None:
        number = wish.get("id")
        answer: dict[str, object] = {"id": number if isinstance(number, float) else None}
        try:
            self._room.change(wish.get("name"), wish.get("value"))
        except ValueError as error:
            self.reply({"type": "refused", "message": str(error)} | answer)
        else:
            self.reply({"type": "done"} | answer)
        self._on_change()


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON")
