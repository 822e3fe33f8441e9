"""Addresses that can be published to, and what FFmpeg is told for each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit, urlunsplit

from pipeline.errors import SinkError
from pipeline.live.redaction import without_secrets


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where to publish."""

    url: str = field(repr=False)
    """As FFmpeg takes it, secrets included."""
    shown: str
    """For people, without secrets."""
    format: str
    """FFmpeg's name of the muxer."""
    options: dict[str, str] = field(default_factory=dict, repr=False)
    """Of the muxer; may hold a token."""

    @property
    def trial_format(self) -> str:
        """A muxer that takes the same codecs and needs no network."""
        return "rtp" if self.format == "rtsp" else self.format


_KINDS = {
    "rtsp": ("rtsp", {"rtsp_transport": "tcp"}),
    "rtsps": ("rtsp", {"rtsp_transport": "tcp"}),
    "rtmp": ("flv", {"flvflags": "no_duration_filesize"}),
    "rtmps": ("flv", {"flvflags": "no_duration_filesize"}),
}
_KNOWN = "rtsp://, rtsps://, rtmp://, rtmps:// or whip+https://"


def destination(url: str) -> Destination:
    """Return what an address stands for.

    WHIP is written `whip:https://host/path` or `whip+https://host/path`; a bearer token goes where
    other addresses have a user: `whip+https://TOKEN@host/path`.

    Raises:
        SinkError: Nothing can be published there.
    """
    shown = without_secrets(url)
    scheme = url.partition(":")[0].lower()
    if scheme in ("whip", "whip+http", "whip+https"):
        return _whip(url, shown)
    if scheme == "srt":
        raise SinkError(f"{shown}: this FFmpeg has no SRT; publish to {_KNOWN}")
    if scheme not in _KINDS or "://" not in url:
        raise SinkError(f"{shown}: nothing can be published there; use {_KNOWN}")
    format_name, options = _KINDS[scheme]
    return Destination(url=url, shown=shown, format=format_name, options=dict(options))


def _whip(url: str, shown: str) -> Destination:
    address = url[len("whip") + 1 :]
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SinkError(
            f"{shown}: WHIP needs an http or https address, e.g. whip+https://host/live/whip"
        )
    token, at, host = parts.netloc.rpartition("@")
    plain = Destination(
        url=urlunsplit(parts._replace(netloc=host)), shown=without_secrets(url), format="whip"
    )
    return replace(plain, options={"authorization": unquote(token)}) if at else plain
