"""The part of a file that is wanted, and time as it counts within it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError
from pipeline.media import SourceInfo, as_fraction
from pipeline.sources.probe import cut_chapters
from pipeline.sources.reader import packet_time

if TYPE_CHECKING:
    import av
    from av.video.frame import VideoFrame


class Span:
    """[start_s, end_s) on a player's clock, which is zero where the container begins.

    Without a start, times stay as they are. With one, the first frame that is kept gets time zero
    and all streams move by the same amount, each rounded to its own time base.

    Raises:
        ConfigError: The range is empty or begins before zero.
    """

    start: Fraction | None
    """First moment wanted, in seconds on the file's clock."""
    end: Fraction | None
    """First moment no longer wanted."""
    origin: Fraction
    """What is subtracted from the file's clock, in seconds."""

    def __init__(self, start_s: float | None, end_s: float | None, *, zero: Fraction) -> None:
        if start_s is not None and start_s < 0:
            raise ConfigError(f"--start: must be at or after 0 seconds, got {start_s:g}")
        if end_s is not None and end_s <= (start_s or 0):
            raise ConfigError(f"--end: must be after --start ({start_s or 0:g} s), got {end_s:g}")
        self.start = zero + _exact(start_s) if start_s else None
        self.end = None if end_s is None else zero + _exact(end_s)
        self.origin = Fraction(0)
        self._zero = zero

    @property
    def whole(self) -> bool:
        """Whether nothing is cut off."""
        return self.start is None and self.end is None

    def begin_at(self, time: Fraction) -> None:
        """Make the first frame that is kept the new zero."""
        if self.start is not None:
            self.origin = time

    def cut(self, packets: Iterable[av.Packet[Any]]) -> tuple[av.Packet[Any], ...]:
        """Return the packets that lie within, moved to the new zero."""
        if self.whole:
            return tuple(packets)
        return tuple(packet for packet in packets if self._keep(packet))

    def describe(self, info: SourceInfo) -> SourceInfo:
        """Return `info` of the part that is left; call after `begin_at`."""
        if self.whole:
            return info
        lasts = info.duration_s
        if lasts is not None:
            finish = self._zero + Fraction(lasts)
            finish = finish if self.end is None else min(finish, self.end)
            lasts = float(finish - (self.start or self._zero))
        count = round(lasts * info.frame_rate) if lasts and info.frame_rate else None
        chapters = cut_chapters(info.chapters, self.origin, self.end)
        return replace(info, duration_s=lasts, frame_count=count, chapters=chapters)

    def _keep(self, packet: av.Packet[Any]) -> bool:
        """Move a packet; return whether it is wanted."""
        time, unit = packet_time(packet), as_fraction(packet.time_base)
        if time is None or unit is None:
            return True
        if time < self.origin or (self.end is not None and time >= self.end):
            return False
        shift = round(self.origin / unit)
        if packet.pts is not None:
            packet.pts -= shift
        if packet.dts is not None:
            packet.dts -= shift
        return True


def _exact(seconds: float) -> Fraction:
    """Return the decimal number that was written: as a float, 0.1 lies behind a frame at 1/10."""
    return Fraction(seconds).limit_denominator(1_000_000)


class Clock:
    """Gives each picture a timestamp later than the one before.

    Encoders refuse a repeated timestamp; webcams write one when the exposure changes, raw streams
    and some AVI files write none at all.
    """

    derived: int
    """Timestamps that had to be made up."""

    def __init__(self, *, step: int) -> None:
        self.derived = 0
        self.last: int | None = None
        self._step = step

    def timestamp(self, picture: VideoFrame) -> int:
        """Return the picture's pts, or what the pictures before and its dts make probable."""
        pts = picture.pts
        if pts is None or (self.last is not None and pts <= self.last):
            self.derived += 1
            following = 0 if self.last is None else self.last + self._step
            pts = max(following, following if picture.dts is None else picture.dts)
        self._step = max(1, picture.duration or self._step)
        self.last = pts
        return pts
