"""A port and the HTTP server behind it, for the page and for the metrics."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Coroutine
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pipeline.errors import EngineError, SinkError

if TYPE_CHECKING:
    from aiohttp import web

T = TypeVar("T")

_FIRST_REQUEST_S = 10.0
_SHUTDOWN_S = 0.4


class LoopRunner(Protocol):
    """The thread that runs the event loop of all servers (`pipeline.live.loop.LoopThread`)."""

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop, from another thread, and return what it returned."""
        ...


def need_live(option: str, *names: str) -> None:
    """Raise unless the modules that an option needs can be found; none is imported.

    Raises:
        EngineError: Some are missing; the message says how to install them.
    """
    missing = [name.replace("_", "-") for name in names if find_spec(name) is None]
    if missing:
        raise EngineError(
            f"{option} needs {' and '.join(missing)}; install with: pip install 'demoire[live]'"
        )


def resolve(option: str, host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    """Return (family, address) of everything a host stands for.

    Raises:
        SinkError: Nobody knows that host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SinkError(
            f"{_option(option, host, port)}: {host!r} is not an address of this machine ({error});"
            " 127.0.0.1 listens for this machine alone, 0.0.0.0 for everybody"
        ) from error
    return list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))


def is_loopback(addresses: list[tuple[int, tuple[Any, ...]]]) -> bool:
    """Whether all of them can only be reached from this machine."""
    return all(ip_address(str(address[0]).split("%")[0]).is_loopback for _, address in addresses)


def open_sockets(option: str, host: str, port: int) -> list[socket.socket]:
    """Listen on everything a host stands for; with port 0 on the same free port everywhere.

    Raises:
        SinkError: The address cannot be had.
    """
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for family, address in resolve(option, host, port):
        taken = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_bound(family, (address[0], taken, *address[2:])))
        except OSError as error:
            failure = error
            # `localhost` also means ::1, which a machine without IPv6 does not have.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                break
    else:
        if sockets:
            return sockets
    for opened in sockets:
        opened.close()
    assert failure is not None, "getaddrinfo returns at least one address or raises"
    raise SinkError(
        f"{_option(option, host, port)}: cannot listen:"
        f" {os.strerror(failure.errno or 0).lower()}; {_way_out(failure)}"
    ) from failure


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.listen(64)  # here, not later: only this tells that the port is taken
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


def _option(option: str, host: str, port: int) -> str:
    return f"{option} [{host}]:{port}" if ":" in host else f"{option} {host}:{port}"


def _way_out(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "stop the program that listens there, or choose another port (0 takes a free one)"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "ports below 1024 need special rights; choose one from 1024 on"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have that address; 0.0.0.0 listens on all it has"
    return "choose another address"


class _NoStrangers(logging.Filter):
    """Leaves out what only says that somebody sent no HTTP, or hung up."""

    def filter(self, record: logging.LogRecord) -> bool:
        from aiohttp.http_exceptions import HttpProcessingError

        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger(f"{__name__}.http")
    if not logger.filters:
        logger.addFilter(_NoStrangers())
    return logger


class Listener:
    """An aiohttp application on sockets that already listen; both methods run in the loop.

    Args:
        application: What answers.
        sockets: Closed with the listener.
        connections: More than that at a time are closed at once.
    """

    def __init__(
        self, application: web.Application, sockets: list[socket.socket], *, connections: int
    ) -> None:
        self._application = application
        self._sockets = sockets
        self._connections = connections
        self._silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        self._servers: list[asyncio.Server] = []
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Answer requests."""
        from aiohttp import web

        @web.middleware
        async def hear(request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401
            if timer := self._silent.pop(request.protocol, None):
                timer.cancel()
            response: web.StreamResponse = await handler(request)
            return response

        self._application.middlewares.insert(0, hear)
        self._runner = web.AppRunner(
            self._application,
            access_log=None,
            logger=_quiet_logger(),
            shutdown_timeout=_SHUTDOWN_S,
            keepalive_timeout=15.0,
            lingering_time=0,
        )
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        for opened in self._sockets:
            self._servers.append(await loop.create_server(self._connect, sock=opened))

    async def close(self) -> None:
        """Stop, within a second."""
        for server in self._servers:
            server.close()
        for timer in self._silent.values():
            timer.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def _connect(self) -> asyncio.BaseProtocol:
        assert self._runner is not None
        assert self._runner.server is not None
        if len(self._runner.server.connections) >= self._connections:
            return _Refusal()
        protocol = self._runner.server()
        # aiohttp waits for the first request for ever.
        self._silent[protocol] = asyncio.get_running_loop().call_later(
            _FIRST_REQUEST_S, self._drop_silent, protocol
        )
        return protocol

    def _drop_silent(self, protocol: web.RequestHandler) -> None:
        del self._silent[protocol]
        if protocol.transport is not None:
            protocol.transport.abort()


class _Refusal(asyncio.Protocol):
    """Hangs up on whoever comes while all connections are taken."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        with suppress(AttributeError):
            transport.abort()  # type: ignore[attr-defined]
