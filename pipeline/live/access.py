"""Encoded pictures and sound on their way to outlets."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

CLOCK = Fraction(1, 90_000)
"""Seconds per unit of every `pts` here, RTP's unit for video."""

VideoCodec = Literal["h264", "hevc"]
Medium = Literal["video", "audio"]


@dataclass(frozen=True, kw_only=True)
class VideoTrack:
    """What is known of the picture before its first access unit; it never changes."""

    codec: VideoCodec
    width: int
    height: int
    frame_rate: Fraction


@dataclass(frozen=True, kw_only=True)
class AudioTrack:
    """The source's sound, passed on as it came."""

    codec: str
    """FFmpeg's name, e.g. `aac`."""
    sample_rate: int
    channels: int
    extradata: bytes = b""
    """The decoder's configuration, as FFmpeg keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessUnit:
    """One encoded picture, or one packet of sound."""

    data: bytes
    """Video: Annex B, parameter sets before every key picture. Audio: the packet as it came."""
    pts: int
    """In units of `CLOCK`; rises from one picture to the next, also where the source jumps, and
    starts anywhere. There are no B pictures: it is the decoding time, too."""
    is_key: bool = False
    """Decoding can start here; every unit of sound is one."""
    medium: Medium = "video"


class Outlet(Protocol):
    """Where access units go. One that is slow or broken loses its own units and holds up nobody."""

    def push(self, unit: AccessUnit) -> None:
        """Take a unit, from any thread, and return at once."""
        ...

    def close(self) -> None:
        """End, within a second or two whatever the other side does; twice is once."""
        ...
