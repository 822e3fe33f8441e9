"""One player's session: its tracks, and which access units it gets."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.live.rtsp.packets import Packets, RtpTrack
    from pipeline.live.rtsp.transport import Transport

VIDEO = 0
"""Number of the picture's track."""


class Session:
    """Starts a player on a key picture, and again after it fell behind.

    A player that is behind gets nothing, sound included, until its connection has taken what
    waits and a key picture comes.

    Args:
        buffered: Bytes that wait in the player's connection.
        most: So many may wait; see `Limits.buffer_bytes`.
    """

    def __init__(self, buffered: Callable[[], int], most: int) -> None:
        self.identity = secrets.token_hex(8)
        self.transports: dict[int, Transport] = {}
        self.is_playing = False
        self._buffered = buffered
        self._most = most
        self._is_waiting = True
        self._on_start: Callable[[str | None], None] | None = None
        self.base_url = ""

    @property
    def wants_key(self) -> bool:
        """Whether a key picture now would let it start."""
        return self.is_playing and self._is_waiting and self._buffered() <= self._most // 2

    def play(self, on_start: Callable[[str | None], None]) -> None:
        """Begin with the next key picture.

        Args:
            on_start: Called before the first packet, with the RTP-Info header's value, or by
                `start_unannounced` with None.
        """
        self.is_playing = self._is_waiting = True
        self._on_start = on_start

    def start_unannounced(self) -> None:
        """Let the player know that it plays, though no key picture came; again does nothing."""
        self._started(None)

    def pause(self) -> None:
        """Send nothing from now on."""
        self.is_playing = False

    def lose(self) -> None:
        """Leave out what comes until the next key picture."""
        self._is_waiting = True

    def deliver(self, packets: Packets, tracks: Sequence[RtpTrack]) -> None:
        """Send a unit, or leave it out."""
        transport = self.transports.get(packets.track)
        if not self.is_playing or transport is None:
            return
        if self._buffered() > self._most:
            self.lose()
            return
        report = packets.rtcp
        if self._is_waiting:
            if not self._can_start(packets):
                return
            self._start(packets, tracks)
            report = None  # that was among the first things said
        if not transport.send(packets.rtp, report):
            self.lose()

    def close(self) -> None:
        """Give back its transports."""
        self.is_playing = False
        for transport in self.transports.values():
            transport.close()
        self.transports.clear()

    def _can_start(self, packets: Packets) -> bool:
        if packets.track == VIDEO:
            return packets.unit.is_key
        return VIDEO not in self.transports

    def _start(self, packets: Packets, tracks: Sequence[RtpTrack]) -> None:
        self._is_waiting = False
        pts = packets.unit.pts
        own = [track for track in tracks if track.number in self.transports]
        infos = []
        for track in own:
            sequence = track.next_sequence
            if track.number == packets.track:  # its packets are numbered, but not sent yet
                sequence = (sequence - len(packets.rtp)) & 0xFFFF
            infos.append(
                f"url={self.base_url}/trackID={track.number};seq={sequence};"
                f"rtptime={track.timestamp(pts)}"
            )
        self._started(",".join(infos))
        # Before any packet: a player places what came without a report anywhere.
        for track in own:
            self.transports[track.number].send((), track.report(pts))

    def _started(self, info: str | None) -> None:
        on_start, self._on_start = self._on_start, None
        if on_start is not None:
            on_start(info)
