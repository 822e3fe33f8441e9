"""Live inputs of `demoire live`. A new kind is one file here and one line in `LIVE_SOURCES`."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from importlib import import_module
from time import perf_counter
from typing import cast

from pipeline.errors import SourceError
from pipeline.live.redaction import without_secrets
from pipeline.live.sources.contract import LiveOptions, LiveSource

LIVE_SOURCES: dict[str, str] = {
    "rtsp": "pipeline.live.sources.network:open_rtsp",
    "rtsps": "pipeline.live.sources.network:open_rtsp",
    "rtmp": "pipeline.live.sources.network:open_rtmp",
    "rtmps": "pipeline.live.sources.network:open_rtmp",
    "rtp": "pipeline.live.sources.network:open_rtp",
    "udp": "pipeline.live.sources.datagrams:open_udp",
    "http": "pipeline.live.sources.web:open_web",
    "https": "pipeline.live.sources.web:open_web",
    "usb": "pipeline.live.sources.devices:open_camera",
    "screen": "pipeline.live.sources.devices:open_screen",
    "file": "pipeline.live.sources.playback:open_playback",
    "test": "pipeline.live.sources.pattern:open_pattern",
    "chaos": "pipeline.live.sources.chaos:open_chaos",
}
"""Functions that open a live source, by scheme. Each takes the spec, the options, the event that
stops it and since when the source has been wanted."""

_Opener = Callable[[str, LiveOptions, threading.Event, float], LiveSource]

# At least two letters, so that a drive or a file `a:b` is a path.
_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+):(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_WITHOUT_SLASHES = ("usb", "screen")


def scheme_of(spec: str) -> str:
    """Return the key in `LIVE_SOURCES` that a spec is opened by; a path is a `file`.

    Raises:
        SourceError: There is no such kind of source.
    """
    if re.fullmatch(r"/dev/(video\d+|v4l/.+)", spec):
        return "usb"
    found = _SCHEME.fullmatch(spec)
    if found is None:
        return "file"
    scheme = found["scheme"].lower()
    if scheme not in LIVE_SOURCES:
        if not found["rest"].startswith("//"):
            return "file"
        raise SourceError(
            f"{without_secrets(spec)}: no live source is called {scheme!r}; there are"
            f" {', '.join(LIVE_SOURCES)}, /dev/videoN and paths of files"
        )
    if scheme not in _WITHOUT_SLASHES and not found["rest"].startswith("//"):
        raise SourceError(
            f"{without_secrets(spec)}: an address begins with {scheme}://;"
            f" write ./{scheme}:... for a file of that name"
        )
    return scheme


def open_live(
    spec: str,
    options: LiveOptions | None = None,
    *,
    stop: threading.Event,
    since_s: float | None = None,
) -> LiveSource:
    """Open a live source once, and wait for its first picture.

    Args:
        spec: An address, `/dev/videoN`, `usb:N`, `screen:DISPLAY`, `test://?...`, `chaos://?...`
            or the path of a file, which is played at its own pace.
        options: How.
        stop: Once set, reading ends within half a second (RTMP: two); so does opening, except that
            a host that does not answer is waited for up to `options.open_timeout_s`.
        since_s: When this source was first wanted, on `time.perf_counter`: what a simulated
            camera counts from through all its connections. Now, by default.

    Raises:
        SourceError: It cannot be opened, or no picture came.
        ConfigError: Its parameters are wrong.
    """
    module, _, attribute = LIVE_SOURCES[scheme_of(spec)].partition(":")
    opener = cast("_Opener", getattr(import_module(module), attribute))
    wanted = perf_counter() if since_s is None else since_s
    return opener(spec, options or LiveOptions(), stop, wanted)
