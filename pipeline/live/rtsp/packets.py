"""RTP and RTCP packets of one track, from its access units."""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from pipeline.live.access import CLOCK, AccessUnit
from pipeline.live.rtsp.audio import Payload

_VERSION = 0x80
_MARKER = 0x80
_HEAD = struct.Struct("!BBHII")
_SENDER_REPORT = 200
_DESCRIPTION = 202
_BYE = 203
_CNAME = 1
_NTP_EPOCH_S = 2_208_988_800
"""From 1900, where NTP begins, to 1970."""
_REPORT_EVERY = round(5 / CLOCK)


class Format(Protocol):
    """How a codec travels in RTP."""

    clock_rate: int
    rtpmap: str

    # Positional, so that functions given at construction are such methods, too.
    def learn(self, data: bytes, /) -> object:
        """Take from a unit that decoding can start on what `parameters` says."""
        ...

    def split(self, data: bytes, /) -> Iterator[Payload]:
        """Cut an access unit into what packets carry."""
        ...

    def parameters(self) -> str:
        """For the `fmtp` line of the SDP; empty for none."""
        ...


class SharedClock:
    """The wall clock of all tracks' reports: players align picture and sound by it.

    It is read once, at the first unit, and runs with the units from there on: a report that
    followed the wall clock would carry the jitter of each unit's arrival into the player.
    """

    def __init__(self) -> None:
        self.name = secrets.token_hex(8)
        self._offset: Fraction | None = None

    def ntp(self, pts: int) -> int:
        """Return the moment of a pts, in 2**-32 seconds since 1900."""
        if self._offset is None:
            self._offset = Fraction(time.time()) + _NTP_EPOCH_S - pts * CLOCK
        return int((self._offset + pts * CLOCK) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Packets:
    """One access unit, ready to send, and where it stands."""

    unit: AccessUnit
    track: int
    rtp: list[bytes]
    rtcp: bytes | None
    """A report to send before, now and then."""


class RtpTrack:
    """Numbers a track's packets; every player gets the same ones.

    Args:
        number: Of the track, from 0.
        form: How its codec travels.
        clock: Shared by all tracks of a presentation.
    """

    def __init__(self, number: int, form: Format, clock: SharedClock) -> None:
        self.number = number
        self.form = form
        self.payload_type = 96 + number
        self._clock = clock
        self._ssrc = secrets.randbits(32)
        self._first_timestamp = secrets.randbits(32)
        self._sequence = secrets.randbits(16)
        self._packet_count = 0
        self._octet_count = 0
        self._reported: int | None = None

    @property
    def next_sequence(self) -> int:
        """Sequence number of the next packet."""
        return self._sequence

    def timestamp(self, pts: int) -> int:
        """Return the RTP timestamp of a pts."""
        ticks = round(pts * CLOCK * self.form.clock_rate)
        return (self._first_timestamp + ticks) & 0xFFFF_FFFF

    def packets(self, unit: AccessUnit) -> Packets:
        """Cut and number a unit."""
        report = None
        if self._reported is None or unit.pts - self._reported >= _REPORT_EVERY:
            self._reported = unit.pts
            report = self.report(unit.pts)
        begins = self.timestamp(unit.pts)
        packets = []
        for payload in self.form.split(unit.data):
            mark = _MARKER if payload.marker else 0
            timestamp = (begins + payload.offset) & 0xFFFF_FFFF
            head = _HEAD.pack(
                _VERSION, mark | self.payload_type, self._sequence, timestamp, self._ssrc
            )
            packets.append(head + payload.data)
            self._sequence = (self._sequence + 1) & 0xFFFF
            self._packet_count += 1
            self._octet_count += len(payload.data)
        return Packets(unit=unit, track=self.number, rtp=packets, rtcp=report)

    def report(self, pts: int) -> bytes:
        """Return a sender report that says when, by the shared clock, a pts is."""
        return self._report(pts) + self._description()

    def bye(self, pts: int) -> bytes:
        """Return the packet that ends the track."""
        return (
            self._report(pts)
            + self._description()
            + struct.pack("!BBHI", _VERSION | 1, _BYE, 1, self._ssrc)
        )

    def _report(self, pts: int) -> bytes:
        return struct.pack(
            "!BBHIQIII",
            _VERSION,
            _SENDER_REPORT,
            6,
            self._ssrc,
            self._clock.ntp(pts),
            self.timestamp(pts),
            self._packet_count & 0xFFFF_FFFF,
            self._octet_count & 0xFFFF_FFFF,
        )

    def _description(self) -> bytes:
        name = self._clock.name.encode()
        # At least one zero byte ends the items, and the whole is made of 32-bit words.
        items = bytes((_CNAME, len(name))) + name
        items += bytes(4 - len(items) % 4)
        head = struct.pack("!BBHI", _VERSION | 1, _DESCRIPTION, 1 + len(items) // 4, self._ssrc)
        return head + items
