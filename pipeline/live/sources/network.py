"""Cameras and servers whose protocols FFmpeg speaks itself: RTSP, RTMP and bare RTP."""

from __future__ import annotations

import threading

from pipeline.live.sources.container import ContainerSource, Opening
from pipeline.live.sources.contract import LiveOptions

_AT_ONCE = {
    # The SDP says what the streams are: nothing has to be looked at first.
    "probesize": "32",
    "analyzeduration": "0",
    "flags": "low_delay",
    "max_delay": "0",
}
_SOON = {"probesize": "500000", "analyzeduration": "500000", "fpsprobesize": "2"}

_RTMP_READ_S = 2.0
"""FFmpeg's RTMP does not come back from an interrupted read: shorter pauses than this must not
cost the connection, at the price of a stop that may take as long."""


def open_rtsp(
    spec: str, options: LiveOptions, stop: threading.Event, since_s: float
) -> ContainerSource:
    """Open an RTSP address, over TCP or UDP, or inside TLS (`rtsps`)."""
    chosen = {
        **_AT_ONCE,
        "rtsp_transport": options.transport,
        "allowed_media_types": "video+audio" if options.sound else "video",
    }
    return ContainerSource(Opening(url=spec, target=spec, options=chosen), options, stop)


def open_rtmp(
    spec: str, options: LiveOptions, stop: threading.Event, since_s: float
) -> ContainerSource:
    """Open an RTMP address; FFmpeg reads it as FLV."""
    chosen = {**_SOON, "rtmp_live": "live"}
    opening = Opening(url=spec, target=spec, options=chosen, read_s=_RTMP_READ_S)
    return ContainerSource(opening, options, stop)


def open_rtp(
    spec: str, options: LiveOptions, stop: threading.Event, since_s: float
) -> ContainerSource:
    """Listen for RTP without a session: payload types that need no SDP, as MPEG-TS (33)."""
    return ContainerSource(Opening(url=spec, target=spec, options=_SOON), options, stop)
