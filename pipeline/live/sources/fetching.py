"""HTTP requests whose every wait looks whether it should end.

FFmpeg's own HTTP does not come back from an interrupted read: the stream would end whenever the
server pauses for half a second.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit

from pipeline.errors import SourceError
from pipeline.live.redaction import scrubbed, without_secrets
from pipeline.live.sources.contract import POLL_S, Interrupted

_AGENT = "demoire"


class Fetcher:
    """Asks one server, with the user and password of its address where it wants them.

    Proxies are not used: cameras are on this side of them.

    Args:
        spec: The address, secrets included.
        stop: Ends every wait.
        open_s: How long connecting may take.
        silent_s: How long the server may say nothing.
    """

    address: str
    """The address without user and password, which travel in a header."""

    def __init__(self, spec: str, stop: threading.Event, *, open_s: float, silent_s: float) -> None:
        self.spec, self.stop = spec, stop
        self._open_s = open_s
        self.address, user, password = _split(spec)
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        if user:
            passwords.add_password(None, self.address, user, password)
        patience = partial(_patiently, stop, silent_s)
        self._director = urllib.request.OpenerDirector()
        self._director.addheaders = [("User-Agent", _AGENT), ("Accept", "*/*")]
        # Not `build_opener`: a playlist must not make us read files of this machine.
        for handler in (
            _Http(patience),
            _Https(patience),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPRedirectHandler(),
            _Digest(passwords),
            _Basic(passwords),
            urllib.request.UnknownHandler(),
        ):
            self._director.add_handler(handler)

    def fetch(self, url: str) -> Body:
        """Ask for an address and return its answer, still to be read.

        Raises:
            SourceError: It cannot be reached or refuses, or reading was stopped.
        """
        try:
            answer = self._director.open(url, timeout=self._open_s)
        except Interrupted:
            raise SourceError(f"{without_secrets(url)}: stopped before it answered") from None
        except HTTPError as error:
            error.close()
            hint = "check user and password" if error.code in (401, 403) else "check the address"
            what = f"the server answers {error.code} {error.reason}; {hint}"
            raise self._failed(url, what) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._failed(url, _words(error)) from None
        if answer is None:
            raise self._failed(url, "only http and https addresses are read here")
        return Body(answer, partial(self._failed, url))

    def _failed(self, url: str, what: str) -> SourceError:
        return SourceError(f"{without_secrets(url)}: {scrubbed(what, self.spec)}")


class Body:
    """What a server answers, for FFmpeg to read."""

    kind: str
    """Media type, in small letters, without parameters."""
    address: str
    """Where it came from in the end."""
    ended: bool
    """There are no more bytes to come."""

    def __init__(self, answer: Any, failed: Callable[[str], SourceError]) -> None:  # noqa: ANN401 (urllib's answers have no type in common)
        self._answer, self._failed = answer, failed
        self.ended = False
        self.kind = answer.headers.get_content_type().lower()
        self.address = answer.geturl()

    def read(self, size: int) -> bytes:
        """Return what has arrived, up to `size` bytes; none at the end.

        Raises:
            Interrupted: Reading was stopped.
            SourceError: The connection failed, or nothing came for too long.
        """
        try:
            data: bytes = self._answer.read1(size)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._failed(_words(error)) from None
        self.ended = not data
        return data

    def close(self) -> None:
        """End the connection."""
        self._answer.close()


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, TimeoutError):
        return "no answer in time; check address and network"
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return f"{words}; check that it is there and sends"


def _split(spec: str) -> tuple[str, str, str]:
    """Return address, user and password."""
    parts = urlsplit(spec)
    user, at, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    address = urlunsplit(parts._replace(netloc=host)) if at else spec
    return address, unquote(name), unquote(password)


def _patiently(stop: threading.Event, silent_s: float, receive: Callable[[], int]) -> int:
    """Return what a socket with a short timeout receives, in as many turns as it takes.

    Raises:
        Interrupted: Reading was stopped.
        TimeoutError: Nothing came for `silent_s`.
    """
    deadline_s = perf_counter() + silent_s
    while True:
        if stop.is_set():
            raise Interrupted
        try:
            return receive()
        except TimeoutError:
            if perf_counter() > deadline_s:
                raise


_Patiently = Callable[[Callable[[], int]], int]


class _PlainSocket(socket.socket):
    patiently: _Patiently

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:  # noqa: ANN401 (any buffer)
        return self.patiently(partial(super().recv_into, buffer, nbytes, flags))


class _TlsSocket(ssl.SSLSocket):
    patiently: _Patiently

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:  # noqa: ANN401 (any buffer)
        return self.patiently(partial(super().recv_into, buffer, nbytes, flags))


class _PlainConnection(http.client.HTTPConnection):
    def __init__(self, host: str, *, patiently: _Patiently, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._patiently = patiently

    def connect(self) -> None:
        super().connect()
        patient = _PlainSocket(fileno=self.sock.detach())
        patient.settimeout(POLL_S)
        patient.patiently = self._patiently
        self.sock = patient


class _TlsConnection(http.client.HTTPSConnection):
    def __init__(self, host: str, *, patiently: _Patiently, timeout: float) -> None:
        context = ssl.create_default_context()
        context.sslsocket_class = _TlsSocket
        super().__init__(host, timeout=timeout, context=context)
        self._patiently = patiently

    def connect(self) -> None:
        super().connect()
        assert isinstance(self.sock, _TlsSocket)
        self.sock.settimeout(POLL_S)
        self.sock.patiently = self._patiently


class _Http(urllib.request.HTTPHandler):
    def __init__(self, patiently: _Patiently) -> None:
        super().__init__()
        self._patiently = patiently

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        connect: Any = partial(_PlainConnection, patiently=self._patiently)
        return self.do_open(connect, request)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, patiently: _Patiently) -> None:
        super().__init__()
        self._patiently = patiently

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        connect: Any = partial(_TlsConnection, patiently=self._patiently)
        return self.do_open(connect, request)


# Both leave the refusal open when they ask again with a password.
class _Digest(urllib.request.HTTPDigestAuthHandler):
    def http_error_401(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:  # noqa: ANN401 (as urllib has it)
        fp.close()
        return super().http_error_401(req, fp, code, msg, headers)


class _Basic(urllib.request.HTTPBasicAuthHandler):
    def http_error_401(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:  # noqa: ANN401 (as urllib has it)
        fp.close()
        return super().http_error_401(req, fp, code, msg, headers)
