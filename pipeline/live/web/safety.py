"""Who may see the page: where requests come from, the token, and what the page itself may do."""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
from collections.abc import Collection
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Handler, Middleware

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_COOKIE_LIFE_S = 30 * 24 * 3600

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self'; media-src blob:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Decides about every request before anything else does.

    Args:
        token: What the first address must carry; None lets everybody in whose request names this
            machine.
        port: Cookies are shared by all ports of a host, so its name carries it.
        names: Host names beside `localhost`, this machine's own and plain addresses.
    """

    def __init__(self, token: str | None, port: int, names: Collection[str]) -> None:
        own = socket.gethostname().lower()
        self._names = {"localhost", own, f"{own}.local", *(name.lower() for name in names)}
        self._token = token
        self._cookie = f"demoire_{port}"
        # Not the token itself: what a browser keeps on disk opens no other address.
        self._ticket = _digest(token) if token is not None else ""

    def middleware(self) -> Middleware:
        """Return what stands before all handlers of an application."""
        from aiohttp import web

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._check(request, handler)

        return check

    async def _check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, or refuse it; every answer carries the headers."""
        from aiohttp import web

        refusal = self._refusal(request)
        if refusal is not None:
            return web.Response(status=403, text=f"{refusal}\n", headers=HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(HEADERS)
            raise
        if not response.prepared:
            response.headers.update(HEADERS)
            if self._has_token(request):
                self._let_in(response)
        return response

    def _refusal(self, request: web.Request) -> str | None:
        """Return why a request is refused, for the person who made it."""
        host = request.headers.get("Host", "")
        if not self._is_ours(host):
            return (
                "This page is not served under that name; use this machine's address"
                " or name it when demoire starts."
            )
        origin = request.headers.get("Origin")
        if origin is not None and not _same_host(origin, host):
            return "Another site's page may not use this one."
        if self._token is None or self._has_token(request) or self._has_ticket(request):
            return None
        return "Open the address that demoire printed when it started: it ends in ?token=..."

    def _is_ours(self, host: str) -> bool:
        """Whether no stranger's name was made to lead here (DNS rebinding needs a name)."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].lower().rstrip(".")
        return name in self._names or _is_address(name)

    def _has_token(self, request: web.Request) -> bool:
        given = request.query.get("token")
        # As digests: comparing would tell the length otherwise.
        return given is not None and hmac.compare_digest(_digest(given), self._ticket)

    def _has_ticket(self, request: web.Request) -> bool:
        given = request.cookies.get(self._cookie, "")
        return hmac.compare_digest(_bytes(given), _bytes(self._ticket))

    def _let_in(self, response: web.StreamResponse) -> None:
        response.set_cookie(
            self._cookie,
            self._ticket,
            max_age=_COOKIE_LIFE_S,
            path="/",
            httponly=True,
            samesite="Strict",
        )


def _digest(text: str) -> str:
    return hmac.digest(_bytes(text), b"demoire page", hashlib.sha256).hex()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _same_host(origin: str, host: str) -> bool:
    scheme, _, rest = origin.partition("://")
    return scheme.lower() in ("http", "https") and rest.lower() == host.lower()
