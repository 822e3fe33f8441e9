"""Packets of sound, moved along with a picture whose time was healed."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pipeline.live.access import AudioTrack
from pipeline.media import SourceInfo, as_fraction
from pipeline.sources.reader import packet_time

if TYPE_CHECKING:
    import av

    Packet = av.Packet[Any]


def track_of(info: SourceInfo) -> AudioTrack | None:
    """Return what is known of a source's sound, while the source is open."""
    for stream in info.streams:
        if stream.type == "audio":
            # The stubs of a stream in general know nothing of what only sound has.
            context: Any = stream.codec_context
            return AudioTrack(
                codec=context.name,
                sample_rate=context.sample_rate,
                channels=context.channels,
                extradata=bytes(context.extradata or b""),
            )
    return None


class Sound:
    """Moves packets to the output's clock; their times rise strictly, too."""

    def __init__(self) -> None:
        self._last_s: Fraction | None = None

    def moved(self, packets: tuple[Packet, ...], by_s: float) -> tuple[Packet, ...]:
        """Move packets, in place, and return those that have a time.

        Args:
            packets: As the source gave them.
            by_s: What is added to the source's clock, in seconds.
        """
        return tuple(packet for packet in packets if self._move(packet, by_s))

    def _move(self, packet: Packet, by_s: float) -> bool:
        time_s, unit = packet_time(packet), as_fraction(packet.time_base)
        if time_s is None or not unit:
            return False
        ticks = round((time_s + Fraction(by_s)) / unit)
        if self._last_s is not None:
            ticks = max(ticks, int(self._last_s / unit) + 1)
        packet.pts = packet.dts = ticks
        self._last_s = ticks * unit
        return True
