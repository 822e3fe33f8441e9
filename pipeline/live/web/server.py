"""The web page: its files, its WebSocket, and the broadcasts behind it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pipeline.errors import ConfigError
from pipeline.live.access import Outlet, VideoTrack
from pipeline.live.web.camera import CameraView, Which
from pipeline.live.web.listening import (
    Listener,
    LoopRunner,
    is_loopback,
    need_live,
    open_sockets,
    resolve,
)
from pipeline.live.web.packing import Packer, Way, make_packer
from pipeline.live.web.room import Room
from pipeline.live.web.safety import Guard
from pipeline.live.web.viewer import Limits, Viewer

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Handler

logger = logging.getLogger(__name__)

_OPTION = "--web"
_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/decoders.js": ("decoders.js", "text/javascript"),
    "/panel.js": ("panel.js", "text/javascript"),
    "/picture.js": ("picture.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""All there is: no path of a request ever becomes one of the disk."""

_STATUS_EVERY_S = 0.5
_SEND_BUFFER = 1 << 17
"""Pictures in the kernel's buffer are late when they arrive; this is what a key picture takes."""
_GOODBYE_S = 0.4

NO_SUCH_CAMERA, FULL = 4004, 4013
"""Why a WebSocket was closed; `app.js` has the sentences."""


class WebServer:
    """Shows the cameras to browsers.

    Args:
        loop: Runs the server; every server of the process may share it.
        host: Address or name to listen on.
        port: 0 takes a free one.
        cameras: By the name that the page shows; at least one.
        token: Only browsers that know it are let in; required where others than this machine
            reach the page. 32 random characters or so.
        limits: What strangers and slow browsers can cost.
        names: Host names under which browsers reach the page beside this machine's own, such as
            that of a reverse proxy.

    Raises:
        ConfigError: Others reach the page and there is no token.
        EngineError: aiohttp is not installed.
        SinkError: Nobody knows that host.
    """

    def __init__(
        self,
        loop: LoopRunner,
        host: str,
        port: int,
        *,
        cameras: Mapping[str, CameraView],
        token: str | None = None,
        limits: Limits | None = None,
        names: Collection[str] = (),
    ) -> None:
        need_live(_OPTION, "aiohttp")
        if not cameras:
            raise ValueError("the page needs at least one camera")
        if not token and not is_loopback(resolve(_OPTION, host, port)):
            raise ConfigError(
                f"{_OPTION} {host}:{port}: whoever reaches this machine could watch and change"
                " the picture; give a token, or listen on 127.0.0.1"
            )
        self._loop = loop
        self._host, self._port = host, port
        self._token = token or None
        self._names = names
        self._limits = limits or Limits()
        self._rooms = {name: Room(name, view) for name, view in cameras.items()}
        self._viewers: set[Viewer] = set()
        self._listener: Listener | None = None
        self._ticker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen.

        Raises:
            SinkError: The address cannot be had.
        """
        sockets = open_sockets(_OPTION, self._host, self._port)
        self._port = sockets[0].getsockname()[1]
        self._loop.call(self._begin(sockets))

    @property
    def port(self) -> int:
        """Where it listens; the one that was taken, once started with 0."""
        return self._port

    @property
    def url(self) -> str:
        """What to open in a browser, the token included: to be printed, not logged."""
        host = socket.gethostname() if self._host in ("", "0.0.0.0", "::") else self._host
        query = f"?token={self._token}" if self._token else ""
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}/{query}"

    def outlet(self, camera: str, which: Which) -> Outlet:
        """Return where to push the units of a picture."""
        return self._rooms[camera].broadcasts[which]

    def viewers(self, camera: str) -> int:
        """Return how many pages show a camera, from any thread."""
        return self._rooms[camera].visitors

    def close(self) -> None:
        """Say goodbye and end, within a second whatever the browsers do; twice is once."""
        if self._listener is not None:
            self._loop.call(self._end())

    async def _begin(self, sockets: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        self._listener = Listener(
            self._application(), sockets, connections=self._limits.connections
        )
        await self._listener.open()
        for room in self._rooms.values():
            for broadcast in room.broadcasts.values():
                broadcast.connect(loop)
        self._ticker = asyncio.create_task(self._tick())
        self._ticker.add_done_callback(_log_failure)

    async def _end(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None:
            return
        for room in self._rooms.values():
            for broadcast in room.broadcasts.values():
                broadcast.disconnect()
        if self._ticker is not None:
            self._ticker.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                goodbyes = [viewer.close() for viewer in self._viewers]
                await asyncio.gather(*goodbyes, return_exceptions=True)
        for viewer in tuple(self._viewers):
            viewer.hang_up()
        await listener.close()

    def _application(self) -> web.Application:
        from aiohttp import web

        guard = Guard(self._token, self._port, self._names)
        application = web.Application(
            middlewares=[guard.middleware()], client_max_size=self._limits.message_bytes
        )
        for path, (name, kind) in _FILES.items():
            application.router.add_get(path, _file_handler((_PAGE / name).read_bytes(), kind))
        application.router.add_get("/socket", self._serve, allow_head=False)
        return application

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        from aiohttp import web

        opened = web.WebSocketResponse(
            timeout=_GOODBYE_S,
            heartbeat=20.0,
            compress=False,
            max_msg_size=self._limits.message_bytes,
        )
        if not opened.can_prepare(request):
            raise web.HTTPBadRequest(text="This address is for the page's WebSocket.\n")
        way = next((way for way in get_args(Way) if way == request.query.get("way")), None)
        if way is None:
            raise web.HTTPBadRequest(text="way: must be units or fragments\n")
        await opened.prepare(request)
        room = self._rooms.get(request.query.get("camera") or next(iter(self._rooms)))
        if room is None:
            await opened.close(code=NO_SUCH_CAMERA)
        elif len(self._viewers) >= self._limits.viewers:
            await opened.close(code=FULL, message=str(self._limits.viewers).encode())
        else:
            tracks: dict[Which, VideoTrack] = {
                "clean": room.view.clean,
                "original": room.view.original,
            }
            await self._show(request, opened, room=room, packer=make_packer(way, tracks))
        return opened

    async def _show(
        self,
        request: web.Request,
        opened: web.WebSocketResponse,
        *,
        room: Room,
        packer: Packer,
    ) -> None:
        """Serve one page until it goes."""
        transport = request.transport
        if transport is None:  # it has gone already
            return
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER
        )
        viewer = Viewer(
            opened,
            room,
            transport=transport,
            packer=packer,
            limits=self._limits,
            on_change=self._announce,
        )
        viewer.reply(self._hello(room))
        self._viewers.add(viewer)
        asyncio.get_running_loop().call_soon(self._announce)
        try:
            await viewer.run()
        finally:
            self._viewers.discard(viewer)

    def _hello(self, room: Room) -> dict[str, object]:
        track = room.view.clean
        return {
            "type": "hello",
            "camera": room.name,
            "cameras": list(self._rooms),
            "width": track.width,
            "height": track.height,
        }

    def _announce(self) -> None:
        """Tell every page how its camera is."""
        statuses = {name: room.view.status() for name, room in self._rooms.items()}
        states: dict[str, str] = {name: status.state for name, status in statuses.items()}
        for name, room in self._rooms.items():
            room.announce(statuses[name], states)

    async def _tick(self) -> None:
        while True:
            if self._viewers:
                self._announce()
            await asyncio.sleep(_STATUS_EVERY_S)


def _file_handler(body: bytes, kind: str) -> Handler:
    from aiohttp import web

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return answer


def _log_failure(task: asyncio.Task[None]) -> None:
    """Say why the pages get no figures any more; a task would keep it to itself."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the web page's figures have stopped", exc_info=error)
