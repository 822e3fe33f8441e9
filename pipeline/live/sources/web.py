"""HTTP cameras and streams: MJPEG, MPEG-TS, FLV, and HLS playlists."""

from __future__ import annotations

import threading

from pipeline.live.sources.container import ContainerSource, Opening
from pipeline.live.sources.contract import LiveOptions, LiveSource
from pipeline.live.sources.datagrams import PROBING
from pipeline.live.sources.fetching import Body, Fetcher
from pipeline.live.sources.pacing import Paced
from pipeline.live.sources.playlist import Segments

_PLAYLIST_KINDS = {
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
    "audio/mpegurl",
    "audio/x-mpegurl",
}
_HLS_STALL_S = 30.0
"""A playlist's segments last several seconds and may be late by as much."""


def open_web(spec: str, options: LiveOptions, stop: threading.Event, since_s: float) -> LiveSource:
    """Open an HTTP address by the kind of what it answers."""
    fetcher = Fetcher(spec, stop, open_s=options.open_timeout_s, silent_s=options.stall_s)
    body = fetcher.fetch(fetcher.address)
    if body.kind in _PLAYLIST_KINDS or body.address.partition("?")[0].endswith(".m3u8"):
        return _open_playlist(fetcher, body, options)
    opening = Opening(url=spec, target=body, format=_format_of(body.kind), options={**PROBING})
    return ContainerSource(opening, options, stop)


def _open_playlist(fetcher: Fetcher, body: Body, options: LiveOptions) -> LiveSource:
    """Play a playlist at the pace of its timestamps: segments come at once, seconds of them."""
    segments = Segments(fetcher, body)
    patient = options.model_copy(update={"stall_s": max(options.stall_s, _HLS_STALL_S)})
    opening = Opening(url=fetcher.spec, target=segments, options={**PROBING})
    return Paced(ContainerSource(opening, patient, fetcher.stop), fetcher.stop)


def _format_of(kind: str) -> str | None:
    """Return FFmpeg's format where the kind leaves no doubt and the content might."""
    return {"multipart/x-mixed-replace": "mpjpeg", "video/mp2t": "mpegts"}.get(kind)
