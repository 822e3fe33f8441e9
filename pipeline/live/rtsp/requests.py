"""What each RTSP method does (RFC 2326)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, unquote

from pipeline.live.rtsp.digest import Admission
from pipeline.live.rtsp.limits import Limits
from pipeline.live.rtsp.message import Request, Response
from pipeline.live.rtsp.presentation import Presentation
from pipeline.live.rtsp.sdp import CONTROL
from pipeline.live.rtsp.session import Session
from pipeline.live.rtsp.transport import (
    TcpRequest,
    TcpTransport,
    Transport,
    UdpRequest,
    UdpTransport,
    read_transport,
)

log = logging.getLogger(__name__)

_OFFERED = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN"
_NOT_OFFERED = ("ANNOUNCE", "RECORD", "REDIRECT")
_NEED_SESSION = ("PLAY", "PAUSE", "TEARDOWN")
_URL = re.compile(r"rtsps?://(?:[^/?#@]*@)?([^/?#@]+)([^?#]*)(?:\?[^#]*)?", re.IGNORECASE)
_ALL = -1
"""The whole stream, where a track could be named."""


class Client(Protocol):
    """What a connection does for its requests."""

    peer: tuple[object, ...]
    """Its address and port."""
    local: tuple[object, ...]
    """Ours, as it sees them."""

    def write(self, data: bytes) -> None:
        """Send bytes after those before."""
        ...

    def buffered(self) -> int:
        """Bytes that wait to be sent."""
        ...

    def heard(self) -> None:
        """Something came from the player on another way."""
        ...

    def reply(self, response: Response) -> None:
        """Answer the request that `Later` was returned for."""
        ...


@dataclass(frozen=True, kw_only=True)
class Later:
    """The answer comes by `Client.reply`."""

    within_s: float
    late: Callable[[], None]
    """Called when that time is over; it replies."""


class Requests:
    """Answers the requests of one connection, which has one session at most.

    Args:
        client: The connection.
        presentation: The stream.
        admission: Who may watch, or None for everybody.
        limits: See `Limits`.
    """

    def __init__(
        self,
        client: Client,
        presentation: Presentation,
        *,
        admission: Admission | None,
        limits: Limits,
    ) -> None:
        self._client = client
        self._presentation = presentation
        self._admission = admission
        self._limits = limits
        self._describing = ""
        self.session: Session | None = None
        self._methods: dict[str, Callable[[Request, int], Response | Later]] = {
            "DESCRIBE": self._describe,
            "SETUP": self._setup,
            "PLAY": self._play,
            "PAUSE": self._pause,
            "GET_PARAMETER": self._keep_alive,
            "SET_PARAMETER": self._keep_alive,
            "TEARDOWN": self._teardown,
        }

    def answer(self, request: Request) -> Response | Later:
        """Do what is asked."""
        if request.method == "OPTIONS":
            return Response(headers=(("Public", _OFFERED),))
        if request.method in _NOT_OFFERED:
            return Response(405, (("Allow", _OFFERED),))
        method = self._methods.get(request.method)
        if method is None:
            return Response(501)
        track = self._track(request.url)
        refusal = self._refusal(request, track)
        if refusal is not None:
            return refusal
        assert track is not None, "no track is a refusal"
        return method(request, track)

    def known(self) -> None:
        """The description can be had from now on: answer a DESCRIBE that waits."""
        if self._describing:
            self._client.reply(self._description())

    def close(self) -> None:
        """End the session."""
        self._describing = ""
        session, self.session = self.session, None
        if session is None:
            return
        self._presentation.sessions.discard(session)
        if session.is_playing:
            self._log_change("left")
        session.close()

    def _refusal(self, request: Request, track: int | None) -> Response | None:
        if self._admission is not None:
            unsigned = self._admission.refusal(request, lambda url: self._track(url) is not None)
            if unsigned is not None:
                return unsigned
        if "require" in request.headers:
            return Response(551, (("Unsupported", request.headers["require"]),))
        if request.url != "*" and _URL.fullmatch(request.url) is None:
            return Response(400)
        if track is None:
            return Response(404)
        return self._wrong_session(request)

    def _track(self, url: str) -> int | None:
        """Return the track that a URL names, `_ALL`, or None if it is none of ours."""
        if url == "*":
            return _ALL
        found = _URL.fullmatch(url)
        if found is None:
            return None
        path = unquote(found[2]).rstrip("/")
        if path == self._presentation.path:
            return _ALL
        before, _, number = path.rpartition(f"/{CONTROL}")
        numbers = [str(track.number) for track in self._presentation.tracks]
        return int(number) if before == self._presentation.path and number in numbers else None

    def _wrong_session(self, request: Request) -> Response | None:
        named = request.headers.get("session", "").partition(";")[0].strip()
        if named:
            is_ours = self.session is not None and named == self.session.identity
            return None if is_ours else Response(454)
        if self.session is not None and request.method in ("SETUP", *_NEED_SESSION):
            return Response(454)
        if self.session is None and request.method in _NEED_SESSION:
            return Response(455)
        return None

    def _describe(self, request: Request, track: int) -> Response | Later:
        accepted = request.headers.get("accept", "*/*").lower()
        if not any(kind in accepted for kind in ("application/sdp", "application/*", "*/*")):
            return Response(406)
        if track != _ALL or request.url == "*":
            return Response(404)
        self._describing = self._base(request.url)
        if self._presentation.is_known:
            return self._description()
        self._presentation.want_key()
        return Later(within_s=self._limits.describe_s, late=self._describe_late)

    def _describe_late(self) -> None:
        self._describing = ""
        self._client.reply(Response(503, (("Retry-After", "5"),)))

    def _description(self) -> Response:
        base, self._describing = self._describing, ""
        sdp = self._presentation.description(str(self._client.local[0]))
        headers = (("Content-Base", base + "/"), ("Content-Type", "application/sdp"))
        return Response(headers=headers, body=sdp)

    def _base(self, url: str) -> str:
        """The stream's URL as this player writes it, without user, password and query."""
        found = _URL.fullmatch(url)
        authority = found[1] if found is not None else "localhost"
        return f"rtsp://{authority}{quote(self._presentation.path)}"

    def _setup(self, request: Request, track: int) -> Response:
        if track == _ALL:
            if len(self._presentation.tracks) > 1:
                return Response(459)
            track = 0
        if self.session is not None and self.session.is_playing:
            return Response(455)
        if self.session is None and len(self._presentation.sessions) >= self._limits.clients:
            log.info("%s: refused, %d players watch", self._client.peer[0], self._limits.clients)
            return Response(453, closes=True)
        wanted = read_transport(request.headers.get("transport", ""))
        if wanted is None:
            return Response(461)
        try:
            transport = self._transport(wanted, track)
        except OSError as error:  # no more sockets
            log.warning("%s: no ports for a player: %s", self._client.peer[0], error)
            return Response(503)
        session = self._session()
        if (before := session.transports.pop(track, None)) is not None:
            before.close()
        session.transports[track] = transport
        timeout = f"{session.identity};timeout={self._limits.session_s:.0f}"
        return Response(headers=(("Session", timeout), ("Transport", transport.reply)))

    def _transport(self, wanted: TcpRequest | UdpRequest, track: int) -> Transport:
        client = self._client
        if isinstance(wanted, UdpRequest):
            return UdpTransport(wanted, peer=client.peer, local=client.local, on_alive=client.heard)
        others = {} if self.session is None else self.session.transports
        taken = {
            channel
            for number, other in others.items()
            if number != track and isinstance(other, TcpTransport)
            for channel in (other.channel - 1, other.channel, other.channel + 1)
        }
        channel = wanted.channel
        if channel is None or channel in taken:
            channel = next(one for one in range(0, 255, 2) if one not in taken)
        return TcpTransport(client.write, channel)

    def _session(self) -> Session:
        if self.session is None:
            self.session = Session(self._client.buffered, self._limits.buffer_bytes)
            self._presentation.sessions.add(self.session)
        return self.session

    def _play(self, request: Request, track: int) -> Response | Later:
        session = self._session()
        if self._is_part(track, session):
            return Response(460)
        if session.is_playing:
            return self._playing(session, None)
        session.base_url = self._base(request.url)
        session.play(lambda info: self._client.reply(self._playing(session, info)))
        self._presentation.want_key()
        self._log_change("joined")
        return Later(within_s=self._limits.play_s, late=session.start_unannounced)

    def _log_change(self, what: str) -> None:
        viewers = self._presentation.viewers
        log.info("%s: a player %s; %d watch now", self._client.peer[0], what, viewers)

    def _playing(self, session: Session, info: str | None) -> Response:
        headers = [("Session", session.identity), ("Range", "npt=0.000-")]
        if info is not None:
            headers.append(("RTP-Info", info))
        return Response(headers=tuple(headers))

    def _pause(self, _: Request, track: int) -> Response:
        session = self._session()
        if self._is_part(track, session):
            return Response(460)
        session.pause()
        return Response(headers=(("Session", session.identity),))

    def _is_part(self, track: int, session: Session) -> bool:
        """Whether a URL names one track of several that are set up."""
        return track != _ALL and len(session.transports) > 1

    def _keep_alive(self, request: Request, _: int) -> Response:
        # Empty ones keep a session alive; we have no parameters to tell or set.
        if self.session is None or "session" not in request.headers:
            return Response()
        return Response(headers=(("Session", self.session.identity),))

    def _teardown(self, _: Request, track: int) -> Response:
        session = self._session()
        if self._is_part(track, session):
            return Response(460)
        headers = (("Session", session.identity),)
        self.close()
        return Response(headers=headers)
