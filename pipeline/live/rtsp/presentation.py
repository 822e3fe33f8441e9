"""The stream itself: its tracks, its description, and who gets it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import av

from pipeline.live.access import AccessUnit, AudioTrack, VideoTrack
from pipeline.live.rtsp.audio import audio_format
from pipeline.live.rtsp.packets import RtpTrack, SharedClock
from pipeline.live.rtsp.sdp import describe
from pipeline.live.rtsp.session import VIDEO, Session
from pipeline.live.rtsp.video import VideoFormat

log = logging.getLogger(__name__)

_ANSWERED_GAP_S = 0.25
_UNANSWERED_GAP_S = 0.5


class Presentation:
    """Turns access units into packets for the sessions; used in the loop's thread alone.

    Args:
        video: The picture.
        audio: The sound, or None.
        path: Of the stream's URL.
        request_key: Asks the encoder for a key picture.
        on_known: Called when the description can be had first.

    Raises:
        SinkError: The sound's codec cannot be sent.
    """

    def __init__(
        self,
        video: VideoTrack,
        audio: AudioTrack | None,
        *,
        path: str,
        request_key: Callable[[], None],
        on_known: Callable[[], None],
    ) -> None:
        sound = None if audio is None else audio_format(audio)
        clock = SharedClock()
        self.path = path
        self.sessions: set[Session] = set()
        self._video = video
        self._picture = VideoFormat(video)
        self.tracks = [RtpTrack(VIDEO, self._picture, clock)]
        if sound is not None:
            self.tracks.append(RtpTrack(VIDEO + 1, sound, clock))
        self._request_key = request_key
        self._on_known = on_known
        self._number = time.time_ns() // 1_000_000
        self._last_pts = 0
        self._asked_s = -_UNANSWERED_GAP_S
        self._is_answered = True
        self._is_broken = False
        self.is_closed = False

    @property
    def is_known(self) -> bool:
        """Whether there was a key picture, and so a description."""
        return self._picture.is_known

    @property
    def viewers(self) -> int:
        """Sessions that play; from any thread."""
        return sum(session.is_playing for session in tuple(self.sessions))

    def description(self, host: str) -> bytes:
        """Return the SDP, once known.

        Args:
            host: The server's address as the player sees it.
        """
        return describe(self.tracks, self._video, host=host, number=self._number)

    def push(self, unit: AccessUnit) -> None:
        """Send a unit to all that play."""
        number = VIDEO if unit.medium == "video" else VIDEO + 1
        if number >= len(self.tracks) or not unit.data or self.is_closed:
            return
        track = self.tracks[number]
        self._last_pts = unit.pts
        if unit.is_key or number != VIDEO:
            self._learn(track, unit)
        playing = [session for session in self.sessions if session.is_playing]
        if not playing:
            return
        try:
            packets = track.packets(unit)
        except av.FFmpegError as error:
            # Once, not thirty times a second.
            log.log(
                logging.DEBUG if self._is_broken else logging.WARNING,
                "%s that FFmpeg cannot cut into packets is left out: %s",
                unit.medium,
                error,
            )
            self._is_broken = True
            self.lose()
            return
        for session in playing:
            session.deliver(packets, self.tracks)

    def lose(self) -> None:
        """Units are missing: every session waits for a key picture."""
        for session in self.sessions:
            session.lose()

    def want_key(self) -> None:
        """Ask for a key picture, unless that was done a moment ago; `tick` asks again."""
        gap_s = _ANSWERED_GAP_S if self._is_answered else _UNANSWERED_GAP_S
        now_s = time.monotonic()
        if now_s - self._asked_s < gap_s:
            return
        self._asked_s = now_s
        self._is_answered = False
        self._request_key()

    def tick(self) -> None:
        """Ask for what was not asked for, or not given."""
        if any(session.wants_key for session in self.sessions):
            self.want_key()

    def close(self) -> None:
        """Say goodbye to all that play, and end."""
        for session in self.sessions:
            for number, transport in session.transports.items():
                if session.is_playing:
                    transport.send((), self.tracks[number].bye(self._last_pts))
        self._picture.close()
        self.is_closed = True

    def _learn(self, track: RtpTrack, unit: AccessUnit) -> None:
        was_known = self.is_known
        track.form.learn(unit.data)
        if unit.medium == "video":
            self._is_answered = True
        if self.is_known and not was_known:
            self._on_known()
