"""A source that never gives up: absent, frozen or broken, it is tried again until it is back."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import SourceError
from pipeline.frame import Frame
from pipeline.live.access import CLOCK, AudioTrack
from pipeline.live.redaction import without_secrets
from pipeline.live.sources import healing, open_live, scheme_of
from pipeline.live.sources.contract import LiveOptions, LiveSource
from pipeline.live.sources.pauses import Pauses
from pipeline.live.sources.sound import Sound, track_of
from pipeline.live.status import SourceState
from pipeline.threads import closing_items

if TYPE_CHECKING:
    from pipeline.media import SourceInfo

_QUIET_S = 1.0
"""Without a picture for so long, a source that is connected counts as stalled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvent:
    """A change of what a source is doing."""

    kind: SourceState
    message: str
    """In words, without secrets."""
    seconds: float
    """How long the state before lasted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSnapshot:
    """What a source is doing, and what it has done so far."""

    state: SourceState
    state_s: float
    """Seconds since that began."""
    error: str
    """Why it is not online, in words; without secrets; empty where it is."""
    frames: int
    reconnects: int
    """Connections after the first one that brought pictures."""
    damaged: int
    """Pictures that could not be decoded, or only in part."""
    healed: int
    """Timestamps that were not what the source said."""


class Opener(Protocol):
    """Opens a source once; `open_live` is one."""

    def __call__(
        self, spec: str, options: LiveOptions, *, stop: threading.Event, since_s: float
    ) -> LiveSource:
        """Return the source with its first picture there, or raise `SourceError`."""
        ...


class Supervisor:
    """Keeps one live source connected.

    Args:
        spec: See `open_live`.
        options: How the source is read.
        stop: Ends everything within half a second of being set; see `open_live`.
        on_event: Called with each change, from the thread that iterates.
        opener: Opens the source.
        seed: Of the jitter of pauses; None for a random one.

    Raises:
        SourceError: There is no such kind of source.
    """

    def __init__(
        self,
        spec: str,
        options: LiveOptions | None = None,
        *,
        stop: threading.Event,
        on_event: Callable[[SourceEvent], None] = lambda event: None,
        opener: Opener = open_live,
        seed: int | None = None,
    ) -> None:
        scheme_of(spec)
        self._spec, self._options, self._stop = spec, options or LiveOptions(), stop
        self._name = without_secrets(spec)
        self._on_event, self._opener = on_event, opener
        self._pauses = Pauses(random.Random(seed))
        self._since_s = perf_counter()
        self._lock = threading.Lock()
        self._snapshot = SourceSnapshot(
            state="offline", state_s=0, error="", frames=0, reconnects=0, damaged=0, healed=0
        )
        self._changed_s = self._pictured_s = self._since_s
        self._connections = 0
        self._source: LiveSource | None = None
        self._timeline: healing.Timeline | None = None
        self._sound = Sound()
        self._info: SourceInfo | None = None
        self._audio: AudioTrack | None = None

    @property
    def info(self) -> SourceInfo | None:
        """What the source is, by its last connection; None before the first.

        Without templates of streams, which die with their connection.
        """
        return self._info

    @property
    def audio(self) -> AudioTrack | None:
        """The sound of the last connection, which rides along; None where there is none."""
        return self._audio

    @property
    def state(self) -> SourceSnapshot:
        """What the source is doing; from any thread."""
        with self._lock:
            seen, now_s = self._totalled(), perf_counter()
            quiet_s = now_s - self._pictured_s
            if seen.state == "online" and quiet_s > _QUIET_S:
                error = f"no picture for {quiet_s:.1f} s"
                return replace(seen, state="stalled", state_s=quiet_s, error=error)
            return replace(seen, state_s=now_s - self._changed_s)

    def arrivals(self) -> Iterator[Frame]:
        """Yield frames as they arrive, through all connections, until stopped.

        Timestamps are in units of `CLOCK` and rise strictly; the packets of sound that ride along
        are moved by as much as the picture. `discontinuity` is set where a connection, a size or
        time begins anew. A source whose end is an end (a file played once, a test with a
        `count`) ends this, too.
        """
        while not self._stop.is_set():
            self._enter("connecting", f"connecting to {self._name}")
            ended = yield from self._connection()
            if ended or self._stop.wait(self._pauses.following_s()):
                return

    def _connection(self) -> Generator[Frame, None, bool]:
        """Yield the frames of one connection; return whether nothing is to follow it."""
        try:
            source = self._opener(self._spec, self._options, stop=self._stop, since_s=self._since_s)
        except SourceError as error:
            self._lost(str(error))
            return False
        with closing(source):
            self._source = source
            try:
                yield from self._frames_of(source)
            except SourceError as error:
                self._lost(str(error))
                return False
            finally:
                with self._lock:
                    self._snapshot, self._source = self._totalled(), None
        if self._stop.is_set() or source.final:
            return True
        self._lost(f"{self._name}: the other side closed")
        return False

    def _frames_of(self, source: LiveSource) -> Iterator[Frame]:
        """Yield a connection's frames, healed and counted."""
        if self._timeline is not None:
            self._timeline = healing.reconnected(self._timeline)
        frames, begun = source.frames(), False
        with closing_items(frames):
            for frame in frames:
                if not begun:
                    self._connected(source.info)
                healed = self._healed(frame)
                self._count()
                yield healed if begun else replace(healed, discontinuity=True)
                begun = True

    def _connected(self, info: SourceInfo) -> None:
        self._info = replace(info, time_base=CLOCK, streams=())
        self._audio = track_of(info)
        self._pauses.reset()
        with self._lock:
            self._pictured_s = perf_counter()
            again = self._connections > 0
            self._connections += 1
            self._snapshot = replace(
                self._snapshot, reconnects=self._snapshot.reconnects + again, error=""
            )
        codec = f" {info.codec}" if info.codec else ""
        self._enter("online", f"{self._name}: {info.width}x{info.height}{codec}")

    def _healed(self, frame: Frame) -> Frame:
        """Return a frame on the output's clock, its sound with it."""
        arrival_s = perf_counter() if frame.left_source_s is None else frame.left_source_s
        timeline = (
            healing.begin(frame.time_s, arrival_s)
            if self._timeline is None
            else healing.heal(self._timeline, frame.time_s, arrival_s)
        )
        self._timeline = timeline
        return replace(
            frame,
            pts=timeline.pts,
            time_base=CLOCK,
            duration=round(frame.duration * frame.time_base / CLOCK),
            discontinuity=frame.discontinuity or timeline.jumped,
            packets=self._sound.moved(frame.packets, timeline.exact_s - frame.time_s),
            left_source_s=arrival_s,
        )

    def _count(self) -> None:
        assert self._timeline is not None
        with self._lock:
            self._pictured_s = perf_counter()
            self._snapshot = replace(
                self._snapshot,
                frames=self._snapshot.frames + 1,
                healed=self._snapshot.healed + self._timeline.healed,
            )

    def _totalled(self) -> SourceSnapshot:
        """Return the snapshot with what the connection that is open has counted."""
        seen, source = self._snapshot, self._source
        if source is None:
            return seen
        damaged, healed = seen.damaged + source.damaged, seen.healed + source.derived
        return replace(seen, damaged=damaged, healed=healed)

    def _lost(self, error: str) -> None:
        """Note why a connection ended, or was none."""
        if self.state.state == "stalled":
            self._enter("stalled", error)
        self._enter("offline", error)

    def _enter(self, state: SourceState, message: str) -> None:
        now_s = perf_counter()
        with self._lock:
            lasted_s, self._changed_s = now_s - self._changed_s, now_s
            error = self._snapshot.error if state == "connecting" else ""
            if state in ("stalled", "offline"):
                error = message
            self._snapshot = replace(self._snapshot, state=state, error=error)
        self._on_event(SourceEvent(kind=state, message=message, seconds=lasted_s))
