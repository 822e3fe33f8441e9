"""The program's own RTSP server: players connect straight to it (RFC 2326, RTP over TCP or UDP)."""

from __future__ import annotations

from pipeline.live.rtsp.address import Address, Credentials, parse_address
from pipeline.live.rtsp.limits import Limits
from pipeline.live.rtsp.server import RtspServer

__all__ = ["Address", "Credentials", "Limits", "RtspServer", "parse_address"]
