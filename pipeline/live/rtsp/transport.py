"""How packets reach one player: inside its RTSP connection, or over UDP."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

_FRAME_HEAD = struct.Struct("!cBH")
_SEND_BUFFER_BYTES = 1 << 20
_DATAGRAMS_PER_TURN = 32
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


class Transport(Protocol):
    """Carries one track to one player."""

    @property
    def reply(self) -> str:
        """What the answer to SETUP says in its Transport header."""
        ...

    def send(self, rtp: Sequence[bytes], rtcp: bytes | None) -> bool:
        """Send a report and the packets after it; return whether all were taken."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


@dataclass(frozen=True, kw_only=True)
class TcpRequest:
    """A player wants packets in its RTSP connection."""

    channel: int | None
    """Of RTP; RTCP has the next one. None leaves the choice to us."""


@dataclass(frozen=True, kw_only=True)
class UdpRequest:
    """A player wants packets on two of its ports."""

    rtp_port: int
    rtcp_port: int


def read_transport(header: str) -> TcpRequest | UdpRequest | None:
    """Choose from a SETUP's Transport header the first that can be had; None if none can."""
    for offer in header.split(","):
        profile, *rest = [part.strip() for part in offer.split(";")]
        pairs = (part.partition("=") for part in rest)
        options = {name.strip().lower(): value.strip() for name, _, value in pairs}
        mode = options.get("mode", "play").strip('"').lower()
        if "multicast" in options or mode != "play":
            continue
        found: TcpRequest | UdpRequest | None = None
        if profile.upper() == "RTP/AVP/TCP":
            found = _tcp(options.get("interleaved"))
        elif profile.upper() in ("RTP/AVP", "RTP/AVP/UDP"):
            found = _udp(options.get("client_port", ""))
        if found is not None:
            return found
    return None


def _tcp(text: str | None) -> TcpRequest | None:
    if text is None:
        return TcpRequest(channel=None)
    pair = _pair(text)
    # RTCP goes to the channel after; nobody asks for another.
    if pair is None or pair[1] != pair[0] + 1 or pair[1] > 255:
        return None
    return TcpRequest(channel=pair[0])


def _udp(text: str) -> UdpRequest | None:
    pair = _pair(text)
    # Below 1024 are other people's services, never players.
    if pair is None or not 1024 <= pair[0] <= 65_535 or not 1024 <= pair[1] <= 65_535:
        return None
    return UdpRequest(rtp_port=pair[0], rtcp_port=pair[1])


def _pair(text: str) -> tuple[int, int] | None:
    found = _RANGE.fullmatch(text)
    if found is None:
        return None
    first = int(found[1])
    return first, int(found[2]) if found[2] else first + 1


class TcpTransport:
    """Frames packets with `$` into the RTSP connection.

    Args:
        write: Of the connection.
        channel: For RTP; RTCP has the next one.
    """

    def __init__(self, write: Callable[[bytes], None], channel: int) -> None:
        self._write = write
        self.channel = channel

    @property
    def reply(self) -> str:
        """For the Transport header."""
        return f"RTP/AVP/TCP;unicast;interleaved={self.channel}-{self.channel + 1}"

    def send(self, rtp: Sequence[bytes], rtcp: bytes | None) -> bool:
        """Add to what the connection sends, in one piece; the session watches how much waits."""
        parts = []
        if rtcp is not None:
            parts += [_FRAME_HEAD.pack(b"$", self.channel + 1, len(rtcp)), rtcp]
        for packet in rtp:
            parts += [_FRAME_HEAD.pack(b"$", self.channel, len(packet)), packet]
        self._write(b"".join(parts))
        return True

    def close(self) -> None:
        """Nothing: the connection is not ours."""


class UdpTransport:
    """Two sockets of the server's, for one track of one player.

    Args:
        request: The ports the player asked for.
        peer: The address its connection came from: packets go to no other.
        local: The address its connection came to.
        on_alive: Called when something came from the player.

    Raises:
        OSError: There are no more sockets or ports.
    """

    def __init__(
        self,
        request: UdpRequest,
        *,
        peer: tuple[object, ...],
        local: tuple[object, ...],
        on_alive: Callable[[], None],
    ) -> None:
        self._request = request
        # IPv6 has two parts more, for addresses that one network alone knows.
        self._rtp_to = (peer[0], request.rtp_port, *peer[2:])
        self._rtcp_to = (peer[0], request.rtcp_port, *peer[2:])
        self._on_alive = on_alive
        self._loop = asyncio.get_running_loop()
        self._rtp, self._rtcp = _pair_of_sockets(local)
        for one in (self._rtp, self._rtcp):
            self._loop.add_reader(one, self._receive, one)

    @property
    def reply(self) -> str:
        """For the Transport header."""
        ports = [one.getsockname()[1] for one in (self._rtp, self._rtcp)]
        return (
            f"RTP/AVP;unicast;client_port={self._request.rtp_port}-{self._request.rtcp_port};"
            f"server_port={ports[0]}-{ports[1]}"
        )

    def send(self, rtp: Sequence[bytes], rtcp: bytes | None) -> bool:
        """Send what the system takes at once; the rest of a unit that it refuses is lost."""
        try:
            if rtcp is not None:
                self._rtcp.sendto(rtcp, self._rtcp_to)
            for packet in rtp:
                self._rtp.sendto(packet, self._rtp_to)
        except OSError:  # full, or no way there: the player has to do without
            return False
        return True

    def close(self) -> None:
        """Close both sockets."""
        for one in (self._rtp, self._rtcp):
            # First: the loop would watch a later socket of the same number in its place.
            self._loop.remove_reader(one)
            one.close()

    def _receive(self, one: socket.socket) -> None:
        with suppress(OSError):  # nothing more, or word that an earlier packet was refused
            for _ in range(_DATAGRAMS_PER_TURN):
                _, sender = one.recvfrom(1)
                if sender[0] == self._rtp_to[0]:
                    self._on_alive()


def _pair_of_sockets(local: tuple[object, ...]) -> tuple[socket.socket, socket.socket]:
    """Bind two sockets, if possible to an even port and the one after, as RFC 3550 wishes."""
    first = _bound(local, 0)
    port = first.getsockname()[1]
    try:
        try:
            second = _bound(local, port ^ 1)
        except OSError:  # taken; no player minds
            second = _bound(local, 0)
    except OSError:
        first.close()
        raise
    return (first, second) if port % 2 == 0 else (second, first)


def _bound(local: tuple[object, ...], port: int) -> socket.socket:
    family = socket.AF_INET6 if len(local) > 2 else socket.AF_INET
    one = socket.socket(family, socket.SOCK_DGRAM)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind((local[0], port, *local[2:]))
    except OSError:
        one.close()
        raise
    return one
