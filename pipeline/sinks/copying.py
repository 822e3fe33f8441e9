"""Copying the packets of sound, subtitles and data as they are."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pipeline.media import as_fraction

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.stream import Stream

    from pipeline.sinks.verify import StreamLog


class Copier:
    """Muxes packets of the input's other streams; leaves the packets themselves untouched.

    Args:
        container: Where to.
        streams: The copy of each of the input's streams that is kept, by the input's index.
        logs: Takes note of what is written, by the output's index.
    """

    shift_s: Fraction
    """What is added to every timestamp, in seconds."""
    moved: int
    """Packets whose decoding time did not follow the one before and was moved behind it."""

    def __init__(
        self, container: OutputContainer, streams: dict[int, Stream], logs: list[StreamLog]
    ) -> None:
        self.shift_s = Fraction(0)
        self.moved = 0
        self._container = container
        self._streams = streams
        self._logs = logs
        self._last: dict[int, int] = {}

    def copy(self, packets: Iterable[av.Packet[Any]]) -> None:
        """Write packets in their order; those of streams that are left out are skipped."""
        for packet in packets:
            copy = self._streams.get(packet.stream_index)
            if copy is not None and copy.type != "attachment":
                self._mux(packet, copy)

    def _mux(self, packet: av.Packet[Any], copy: Stream) -> None:
        """Mux one packet and put back what muxing changes in it: another sink may come next."""
        unit = as_fraction(packet.time_base) or Fraction(1)
        before = (packet.stream, packet.pts, packet.dts, packet.duration)
        shift = round(self.shift_s / unit)
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is None:  # a cover picture, or what follows a damaged place
            dts = self._last.get(copy.index, -1) + 1 - shift
        packet.dts = self._following(copy.index, dts + shift)
        packet.pts = packet.dts if packet.pts is None else max(packet.pts + shift, packet.dts)
        self._logs[copy.index].note_ends(float(packet.pts * unit))
        packet.stream = copy
        try:
            self._container.mux(packet)
        finally:
            packet.stream, packet.pts, packet.dts, packet.duration = before
            packet.time_base = unit

    def _following(self, index: int, dts: int) -> int:
        """Return a decoding time after the stream's last one, which muxers insist on."""
        last = self._last.get(index)
        if last is not None and dts <= last:
            self.moved += 1
            dts = last + 1
        self._last[index] = dts
        return dts
