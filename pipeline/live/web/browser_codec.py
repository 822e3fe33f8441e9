"""The names by which browsers know what an encoder made."""

from __future__ import annotations

from pipeline.live.access import VideoCodec

_H264_SPS = 7
_HEVC_SPS = 33
_START = b"\x00\x00\x01"
_ENOUGH = 64
"""Bytes of a parameter set that hold its profile and level."""


def codec_string(codec: VideoCodec, data: bytes) -> str | None:
    """Return the RFC 6381 name of what a key picture starts, such as `avc1.42c01e`.

    Args:
        codec: Of the track.
        data: An access unit in Annex B.

    Returns:
        None when it carries no sequence parameter set.
    """
    position = data.find(_START)
    while position >= 0:
        unit = data[position + 3 : position + 3 + _ENOUGH]
        if codec == "h264" and len(unit) >= 4 and unit[0] & 0x1F == _H264_SPS:
            return f"avc1.{unit[1:4].hex()}"
        if codec == "hevc" and len(unit) >= 15 and unit[0] >> 1 & 0x3F == _HEVC_SPS:
            return _hevc(unit)
        position = data.find(_START, position + 3)
    return None


def _hevc(unit: bytes) -> str | None:
    """Return `hev1.` with the general part of profile_tier_level (ISO/IEC 14496-15, annex E)."""
    plain = unit.replace(b"\x00\x00\x03", b"\x00\x00")
    profile, level = plain[3], plain[14]
    space = ("", "A", "B", "C")[profile >> 6]
    compatible = int(f"{int.from_bytes(plain[4:8], 'big'):032b}"[::-1], 2)
    tier = "H" if profile & 0x20 else "L"
    constraints = plain[8:14].rstrip(b"\x00")
    parts = [f"hev1.{space}{profile & 0x1F}", f"{compatible:X}", f"{tier}{level}"]
    return ".".join(parts + [f"{byte:X}" for byte in constraints])
