"""Digest authentication (RFC 7616 and its ancestor RFC 2617) for one user."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import Literal

from pipeline.live.rtsp.address import Credentials
from pipeline.live.rtsp.message import Request, Response

log = logging.getLogger(__name__)

Verdict = Literal["right", "stale", "wrong"]

REALM = "demoire"
# The order of preference by RFC 7616, and FFmpeg, GStreamer and live555 take the last they know.
_ALGORITHMS = {"SHA-256": "sha256", "MD5": "md5"}
_PARAMETER = re.compile(r'([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


class DigestGuard:
    """Makes challenges and judges answers; holds a hash in place of the password.

    A nonce is the time it was made and a seal over it and the client's address: none is stored.

    Args:
        credentials: Who may watch.
        lifetime_s: How long a nonce can be used first; see `judge`.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        lifetime_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._user = credentials.user.encode()
        secret = f"{credentials.user}:{REALM}:{credentials.password}".encode()
        self._secrets = {name: _hash(name, secret) for name in _ALGORITHMS}
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def challenges(self, peer: str, *, stale: bool = False) -> tuple[tuple[str, str], ...]:
        """Headers of a 401.

        Args:
            peer: The client's address, for which alone the nonce counts.
            stale: The password was right, only the nonce was too old.
        """
        nonce = self._nonce(int(self._clock() * 1000), peer)
        return tuple(
            (
                "WWW-Authenticate",
                f'Digest realm="{REALM}", nonce="{nonce}", algorithm={name}, qop="auth"'
                + (", stale=true" if stale else ""),
            )
            for name in _ALGORITHMS
        )

    def judge(
        self, header: str, method: str, *, is_ours: Callable[[str], bool], peer: str, trusted: str
    ) -> tuple[Verdict, str]:
        """Judge an Authorization header.

        Args:
            header: Its value.
            method: Of the request.
            is_ours: Whether a URI that the client signed is one of ours.
            peer: The client's address.
            trusted: The nonce this connection was let in with, or "". It never grows old: players
                keep using it, and their keep-alives cannot be asked to sign in again.

        Returns:
            The verdict and the nonce it is about.
        """
        kind, _, rest = header.partition(" ")
        fields = {found[1].lower(): _value(found) for found in _PARAMETER.finditer(rest)}
        nonce = fields.get("nonce", "")
        if kind.lower() != "digest" or not self._is_signed(fields, method):
            return "wrong", ""
        if not is_ours(fields.get("uri", "")):
            return "wrong", ""
        return ("right" if self._is_fresh(nonce, peer, trusted) else "stale"), nonce

    def _is_signed(self, fields: dict[str, str], method: str) -> bool:
        algorithm = fields.get("algorithm", "MD5").upper()
        secret = self._secrets.get(algorithm)
        if secret is None or not {"username", "nonce", "uri", "response"} <= fields.keys():
            return False
        signed = [secret, fields["nonce"]]
        if "qop" in fields:
            if fields["qop"] != "auth" or not {"nc", "cnonce"} <= fields.keys():
                return False
            signed += [fields["nc"], fields["cnonce"], "auth"]
        signed.append(_hash(algorithm, f"{method}:{fields['uri']}".encode("latin-1")))
        expected = _hash(algorithm, ":".join(signed).encode("latin-1")).encode()
        right_user = hmac.compare_digest(fields["username"].encode("latin-1"), self._user)
        given = fields["response"].lower().encode("latin-1")
        return hmac.compare_digest(given, expected) and right_user

    def _is_fresh(self, nonce: str, peer: str, trusted: str) -> bool:
        if trusted and hmac.compare_digest(nonce.encode("latin-1"), trusted.encode("latin-1")):
            return True
        made, _, _ = nonce.partition("-")
        if not re.fullmatch(r"[0-9a-f]{1,15}", made):
            return False
        made_ms = int(made, 16)
        sealed = self._nonce(made_ms, peer)
        if not hmac.compare_digest(nonce.encode("latin-1"), sealed.encode()):
            return False
        return 0 <= self._clock() * 1000 - made_ms <= self._lifetime_s * 1000

    def _nonce(self, made_ms: int, peer: str) -> str:
        seal = hmac.new(self._key, f"{made_ms:x} {peer}".encode(), "sha256").hexdigest()
        return f"{made_ms:x}-{seal[:32]}"


class Admission:
    """Lets one connection in.

    Args:
        guard: Who knows the password.
        peer: The client's address.
        tries: Wrong passwords before the connection is closed.
    """

    def __init__(self, guard: DigestGuard, peer: str, *, tries: int) -> None:
        self._guard = guard
        self._peer = peer
        self._tries = tries
        self._trusted = ""

    def refusal(self, request: Request, is_ours: Callable[[str], bool]) -> Response | None:
        """Return the answer to a request that is not signed well, None to one that is.

        Args:
            request: Any but OPTIONS, which players send before they know that they must sign.
            is_ours: Whether a URI that the client signed is one of ours.
        """
        header = request.headers.get("authorization")
        if header is None:
            return Response(401, self._guard.challenges(self._peer))
        verdict, nonce = self._guard.judge(
            header,
            request.method,
            is_ours=lambda uri: uri == request.url or is_ours(uri),
            peer=self._peer,
            trusted=self._trusted,
        )
        if verdict == "right":
            self._trusted = nonce
            return None
        if verdict == "wrong":
            self._tries -= 1
            log.info("%s: wrong user or password", self._peer)
        headers = self._guard.challenges(self._peer, stale=verdict == "stale")
        return Response(401, headers, closes=self._tries <= 0)


def _hash(algorithm: str, data: bytes) -> str:
    # MD5 is what players speak; Digest uses it with a secret, where collisions are of no use.
    return hashlib.new(_ALGORITHMS[algorithm], data, usedforsecurity=False).hexdigest()


def _value(found: re.Match[str]) -> str:
    quoted: str | None = found[2]
    return found[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
