"""Where the server listens: reading the address and opening its sockets."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from pipeline.errors import ConfigError, SinkError

_EXAMPLE = "rtsp://127.0.0.1:8554/clean"
_WAYS_OUT = {
    errno.EADDRINUSE: "end the program that has the port, or choose another; 0 is any free one",
    errno.EACCES: "choose a port of 1024 or more",
    errno.EADDRNOTAVAIL: "choose an address of this machine; 127.0.0.1 serves this machine "
    "alone, 0.0.0.0 the whole network",
}
_OTHER_WAY_OUT = "choose another address or port"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The one user that may watch."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a stream is served."""

    host: str
    """A name or a number, IPv6 without brackets."""
    port: int
    """0 is any free one."""
    path: str = ""
    """Decoded, with a leading slash and no trailing one; empty is the root."""
    credentials: Credentials | None = None

    def url(self, port: int | None = None) -> str:
        """The address as players write it, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"rtsp://{host}:{self.port if port is None else port}{quote(self.path) or '/'}"


def parse_address(text: str) -> Address:
    """Read `rtsp://[user:password@]host:port/path`.

    User and password are percent-encoded, as is the path.

    Raises:
        ConfigError: It is none; neither user nor password is in the message.
    """
    shown = text.rpartition("@")[2]
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        # Not chained: urllib quotes what it could not read, and that may be a password.
        cause = "the port is not a number up to 65535" if "ort" in str(error) else "not an address"
        raise ConfigError(f"{shown}: {cause}; write it like {_EXAMPLE}") from None
    if parts.scheme != "rtsp":
        raise ConfigError(f"{shown}: an RTSP address begins with rtsp://, like {_EXAMPLE}")
    if not parts.hostname:
        raise ConfigError(f"{shown}: no host; 0.0.0.0 listens to all, like rtsp://0.0.0.0:8554/")
    if port is None:
        raise ConfigError(f"{shown}: no port; write it like {_EXAMPLE}")
    if parts.query or parts.fragment:
        raise ConfigError(f"{shown}: a path without '?' and '#' is needed, like {_EXAMPLE}")
    return Address(
        host=parts.hostname,
        port=port,
        path=unquote(parts.path).rstrip("/"),
        credentials=_credentials(parts, shown),
    )


def _credentials(parts: SplitResult, shown: str) -> Credentials | None:
    if parts.username is None:
        return None
    if not parts.username or not parts.password:
        raise ConfigError(f"{shown}: user and password are needed both, as in user:password@host")
    user, password = unquote(parts.username), unquote(parts.password)
    if '"' in user or "\\" in user or ":" in user or not user.isprintable():
        raise ConfigError(f"{shown}: quotes, colons and backslashes cannot be in a user's name")
    return Credentials(user=user, password=password)


def listening_sockets(address: Address) -> list[socket.socket]:
    """Open a socket for each number that the host stands for, all on one port.

    Raises:
        SinkError: None could be opened.
    """
    sockets: list[socket.socket] = []
    refused: OSError | None = None
    for family, where in _numbers(address):
        port = sockets[0].getsockname()[1] if sockets else address.port
        try:
            sockets.append(_listen(family, (where[0], port, *where[2:])))
        except OSError as error:
            refused = refused or error
    if not sockets:
        assert refused is not None, "a host that resolves has a number"
        raise _cannot_listen(address, refused) from refused
    return sockets


def _numbers(address: Address) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise SinkError(
            f"{address.url()}: cannot listen there: no address is known for {address.host!r}; "
            "write a number of this machine, such as 127.0.0.1"
        ) from error
    return list(dict.fromkeys((family, where) for family, _, _, _, where in found))


def _listen(family: int, where: tuple[Any, ...]) -> socket.socket:
    # `[::]` means everybody: players that know IPv4 alone, too.
    everybody = family == socket.AF_INET6 and ipaddress.ip_address(str(where[0])).is_unspecified
    return socket.create_server(
        where,
        family=family,
        backlog=64,
        dualstack_ipv6=everybody and socket.has_dualstack_ipv6(),
    )


def _cannot_listen(address: Address, error: OSError) -> SinkError:
    # Not its text, to which the standard library adds the address once more.
    cause = os.strerror(error.errno) if error.errno else str(error)
    way_out = _WAYS_OUT.get(error.errno or 0, _OTHER_WAY_OUT)
    return SinkError(f"{address.url()}: cannot listen there: {cause}; {way_out}")
