"""MPEG-TS over UDP, unicast or multicast, read by sockets of our own.

FFmpeg's own reader does not come back from an interrupted read: the stream would end whenever the
sender pauses.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from time import perf_counter
from urllib.parse import urlsplit

from pipeline.errors import SourceError
from pipeline.live.redaction import without_secrets
from pipeline.live.sources.container import ContainerSource, Opening
from pipeline.live.sources.contract import POLL_S, Interrupted, LiveOptions

_KERNEL_BYTES = 4 << 20
"""Asked for as receive buffer: a key picture comes in one burst. The system may grant less."""
_LARGEST = 65_536
PROBING = {"probesize": "500000", "analyzeduration": "500000", "fpsprobesize": "2"}
"""Long enough to find every stream of a transport stream, short enough to begin soon."""


def open_udp(
    spec: str, options: LiveOptions, stop: threading.Event, since_s: float
) -> ContainerSource:
    """Listen for a transport stream: `udp://:5000`, `udp://239.1.2.3:5000`."""
    received = Datagrams(
        spec, stop, absent_s=options.open_timeout_s + options.stall_s, silent_s=options.stall_s
    )
    opening = Opening(
        url=spec, target=received, format="mpegts", options={**PROBING, "flags": "low_delay"}
    )
    return ContainerSource(opening, options, stop)


class Datagrams:
    """The payloads of datagrams as a stream of bytes.

    Args:
        spec: `udp://[@][address]:port`: where to listen; a multicast group is joined.
        stop: Ends reading.
        absent_s: Without a first datagram for so long, reading fails.
        silent_s: The same after the first one.

    Raises:
        SourceError: The address is wrong, or taken.
    """

    ended = False

    def __init__(
        self, spec: str, stop: threading.Event, *, absent_s: float, silent_s: float
    ) -> None:
        self._name = without_secrets(spec)
        self._stop, self._silent_s, self._patience_s = stop, silent_s, absent_s
        self._rest = b""
        host, self.port = _endpoint(spec)
        try:
            self._socket = _listen(host, self.port)
        except OSError as error:
            raise SourceError(
                f"{self._name}: cannot listen there: {error.strerror or error};"
                " use an address of this machine, a multicast group or none, and a free port"
            ) from error

    def read(self, size: int) -> bytes:
        """Return the next datagram, or what is left of the last one."""
        data = self._rest or self._receive()
        self._rest = data[size:]
        return data[:size]

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def _receive(self) -> bytes:
        deadline_s = perf_counter() + self._patience_s
        while not self._stop.is_set():
            try:
                data = self._socket.recv(_LARGEST)
            except TimeoutError:
                if perf_counter() > deadline_s:
                    raise SourceError(
                        f"{self._name}: nothing received for {self._patience_s:g} s;"
                        " check the sender's address and the firewall"
                    ) from None
            else:
                self._patience_s = self._silent_s
                if data:
                    return data
        raise Interrupted


def _endpoint(spec: str) -> tuple[str, int]:
    """Return host (empty for all addresses) and port."""
    try:
        parts = urlsplit(spec)
        port = parts.port
    except ValueError:
        port = None
    if port is None:
        raise SourceError(f"{without_secrets(spec)}: has no port; write udp://:5000")
    return parts.hostname or "", port


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host or "0.0.0.0", port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, socket.SOCK_DGRAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BYTES)
        group = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if group.is_multicast:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        if group.is_multicast:
            _join(listening, group)
        listening.settimeout(POLL_S)
    except BaseException:
        listening.close()
        raise
    return listening


def _join(listening: socket.socket, group: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Ask the network for a group's datagrams, on the interface that the system chooses."""
    if group.version == 4:
        request = struct.pack("=4sI", group.packed, socket.INADDR_ANY)
        listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    else:
        request = group.packed + struct.pack("@I", 0)
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
