"""Addresses without what is secret in them: user, password, tokens."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"

_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_IN_TEXT = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)
_SECRET_KEY = re.compile(
    r"(?P<key>[?&;][^=&;?\s]*(?:token|key|pass|pwd|sig|secret|auth|credential)[^=&;?\s]*=)"
    r"(?P<value>[^&\s]*)",
    re.IGNORECASE,
)
# Greedy up to the last @ before white space: a password with an unescaped @ or / makes no address,
# but a user who mistypes one must not find it in the log. Text that is lost with it is no loss.
_USER_INFO = re.compile(r"://(?:[^\s/?#:]*:\S*|[^\s/?#]*)@")
# Some cameras take it as `rtsp://camera/user=admin&password=secret`, some services as `?key=`.
_PASSWORD = re.compile(
    r"((?:password|passwd|pwd|[?&;][^=&;?\s]*(?:token|key|pass|sig|secret|auth)[^=&;?\s]*)=)"
    r"[^\s&#'\"]+",
    re.IGNORECASE,
)

_SHORTEST = 3
"""Secrets of fewer characters are not looked for in a text: it would be full of them."""


def without_secrets(url: str) -> str:
    """Return an address for people: `***` for user and password, and for tokens in its query.

    A password may hold any character, also such as have no business in an address. Where it is
    unclear what belongs to it, all of it is hidden.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return url
    user, rest = _split_user(found["rest"])
    return found["scheme"] + (f"{HIDDEN}@" if user else "") + _masked_query(rest)


def scrubbed(text: str, url: str) -> str:
    """Return a message of a library about `url` without the secrets of it.

    Args:
        text: What the library says; it may repeat the address, or a part of it.
        url: The address that was opened.
    """
    clean = text.replace(url, without_secrets(url))
    clean = _IN_TEXT.sub(lambda found: without_secrets(found[0]), clean)
    for secret in sorted(_secrets(url), key=len, reverse=True):
        clean = clean.replace(secret, HIDDEN)
    return clean


def mask(text: str) -> str:
    """Remove user and password from every URL in a text, whatever URLs they are.

    The last net, under everything that is logged or shown.
    """
    if "://" not in text:
        return text
    return _PASSWORD.sub(r"\1***", _USER_INFO.sub("://", text))


def _split_user(rest: str) -> tuple[str, str]:
    """Split what follows `scheme://` into user information and the remainder."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if ":" not in authority and "@" not in authority:
        return "", rest  # an @ further on is part of the path
    user, at, remainder = rest.rpartition("@")
    return (user, remainder) if at else ("", rest)


def _masked_query(rest: str) -> str:
    return _SECRET_KEY.sub(lambda found: f"{found['key']}{HIDDEN}", rest)


def _secrets(url: str) -> set[str]:
    """Return every secret of an address, as written and as it decodes."""
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return set()
    user, rest = _split_user(found["rest"])
    secrets = {value["value"] for value in _SECRET_KEY.finditer(rest)}
    if user:
        secrets |= {user, user.partition(":")[2]}
    secrets |= {unquote(secret) for secret in secrets}
    return {secret for secret in secrets if len(secret) >= _SHORTEST}
