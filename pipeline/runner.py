"""Run a source, stages and a sink to the end, or fail with exactly one error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pipeline.frame import Frame
from pipeline.report import LatencyHistogram, RunReport, StageReport
from pipeline.threads import Channel, ThreadGroup, closing_items

if TYPE_CHECKING:
    import threading

    import av

    from pipeline.media import SourceInfo

Stage = Callable[[Iterator[Frame]], Iterator[Frame]]
"""A generator function from frames to frames: it may batch, delay, drop, add, and flush at the end.

It keeps the order, and makes new frames with `dataclasses.replace`, so that times, colours, packets
and the latency stamp travel on. One that drops a frame hands its packets to the next: `carry_over`.
"""

NamedStages = Sequence[tuple[str, Stage]]


class Source(Protocol):
    """Where frames come from."""

    @property
    def info(self) -> SourceInfo:
        """What the source is; known once it is open."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Yield every frame once, from a thread of its own.

        Every wait in here has an end (a read timeout, the `stop` event), because nothing can
        interrupt it from outside: a container must not be closed while another thread reads it.
        """
        ...

    def tail(self) -> tuple[av.Packet[Any], ...]:
        """Untouched packets after the last frame; asked for once `frames()` is exhausted."""
        ...

    def close(self) -> None:
        """Release the input; called once, after the sink is done and never during a read."""
        ...


class Sink(Protocol):
    """Where frames go; everything here is called in the thread that called `Pipeline.run`."""

    def write(self, frame: Frame) -> None:
        """Take one frame and the packets before it."""
        ...

    def finish(self, tail: tuple[av.Packet[Any], ...]) -> None:
        """Flush, write the last packets, close, and give the output its final name."""
        ...

    def abort(self) -> None:
        """Close and leave what there is under a temporary name.

        Called after any error, at any moment: before the first frame, or in place of a `finish`
        that raised. Changes nothing when the output is finished.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run is, after each frame written."""

    frames: int
    """Frames written so far."""
    dropped: int
    """Frames dropped so far because the pipeline was too slow; always 0 for files."""
    time_s: float
    """Presentation time of the frame just written."""
    elapsed_s: float
    """Seconds since the run began."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A source, stages and a sink: one thread per source and stage, the sink in the caller's."""

    source: Source
    stages: NamedStages
    sink: Sink
    capacity: int = 3
    """Frames waiting between two neighbours, >= 1; more only adds memory and delay."""
    overflow: Literal["block", "drop_oldest"] = "block"
    """What a full channel after the source does: files block, live drops its oldest frame."""
    join_deadline_s: float = 10.0
    """How long a failed run waits for its threads before it logs their stacks and leaves them."""

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError(f"a pipeline needs room for at least one frame, got {self.capacity=}")
        names = ["source", *(name for name, _ in self.stages), "sink"]
        if len(set(names)) < len(names):
            raise ValueError(f"stage names must differ, from each other and the ends, got {names}")

    def run(
        self, stop: threading.Event, *, on_frame: Callable[[Progress], None] | None = None
    ) -> RunReport:
        """Move every frame from the source to the sink and finish the output.

        Args:
            stop: Set it to end early: the source gives no more than the frame it is reading,
                everything drains and the sink finishes a valid output, without packets that
                follow its last frame.
            on_frame: Called in this thread after each write; its errors count as the sink's.

        Raises:
            BaseException: The first error of any stage as it was raised there, with a note that
                names the stage, or the `KeyboardInterrupt` of this thread. The sink is aborted
                and the source closed by then. Errors after the first one are logged.
        """
        return _Run(self, stop).execute(on_frame)


def compose(stages: NamedStages) -> Stage:
    """Chain stages without threads: the frames are the same as on threads.

    Each stage is closed when the chain is; the frames it is given belong to the caller.
    """

    def composed(frames: Iterator[Frame]) -> Iterator[Frame]:
        with ExitStack() as opened:
            for _, stage in stages:
                frames = stage(frames)
                opened.enter_context(closing_items(frames))
            yield from frames

    return composed


def carry_over(dropped: Frame, following: Frame) -> Frame:
    """Return `following` with what must survive a dropped frame: its packets and its gap mark."""
    return replace(
        following,
        packets=dropped.packets + following.packets,
        discontinuity=dropped.discontinuity or following.discontinuity,
    )


class _Run:
    """The moving parts of one `Pipeline.run`."""

    def __init__(self, pipeline: Pipeline, stop: threading.Event) -> None:
        self._pipeline = pipeline
        self._stop = stop
        self._began = perf_counter()
        self._channels: list[Channel[Frame]] = []
        self._latency = LatencyHistogram()
        self._source_thread: threading.Thread | None = None
        self._stopped_early = False
        self._tail: tuple[av.Packet[Any], ...] = ()
        self._written = 0
        self._first_frame_s: float | None = None

    def execute(self, on_frame: Callable[[Progress], None] | None) -> RunReport:
        sink = self._pipeline.sink
        with ThreadGroup(body="sink", join_deadline_s=self._pipeline.join_deadline_s) as group:
            group.at_end("source", lambda: self._close_source(group))
            group.at_end("sink", lambda: sink.abort() if group.failed else None)
            for frame in self._start(group):
                sink.write(frame)
                progress = self._count(frame)
                if on_frame is not None:
                    on_frame(progress)
            # A thread may still fail after its last frame; the output must not be finished then.
            group.join()
            sink.finish(self._tail)
        return self._report()

    def _start(self, group: ThreadGroup) -> Channel[Frame]:
        """Start the threads and return the channel that feeds the sink."""
        capacity = self._pipeline.capacity
        drop = carry_over if self._pipeline.overflow == "drop_oldest" else None
        frames = group.channel(capacity, drop)
        self._channels.append(frames)
        self._source_thread = group.start("source", self._read, into=frames)
        for name, stage in self._pipeline.stages:
            before, frames = frames, group.channel(capacity)
            self._channels.append(frames)
            group.start(name, partial(stage, before), into=frames, after=before)
        return frames

    def _read(self) -> Iterator[Frame]:
        """The source's frames, stamped, until it ends or `stop` is set."""
        frames = self._pipeline.source.frames()
        with closing_items(frames):
            for frame in frames:
                yield replace(frame, left_source_s=perf_counter())
                # Asked after the frame, so that even an early stop has a picture to finish with.
                if self._stop.is_set():
                    break
        # A source that waits watches the event itself; then its end is an early one too.
        self._stopped_early = self._stop.is_set()
        if not self._stopped_early:
            self._tail = self._pipeline.source.tail()

    def _count(self, frame: Frame) -> Progress:
        now = perf_counter()
        self._written += 1
        if self._first_frame_s is None:
            self._first_frame_s = now - self._began
        if frame.left_source_s is not None:
            self._latency.add(now - frame.left_source_s)
        return Progress(
            frames=self._written,
            dropped=self._channels[0].statistics().dropped,
            time_s=frame.time_s,
            elapsed_s=now - self._began,
        )

    def _close_source(self, group: ThreadGroup) -> None:
        # Only a thread past the join deadline is at work here, and to close what it reads would
        # crash the process; its stack is in the log.
        if self._source_thread is None or not group.is_running(self._source_thread):
            self._pipeline.source.close()

    def _report(self) -> RunReport:
        statistics = [channel.statistics() for channel in self._channels]
        names = ["source", *(name for name, _ in self._pipeline.stages), "sink"]
        wall_s = perf_counter() - self._began
        return RunReport(
            frames_in=statistics[0].items,
            frames_out=self._written,
            dropped=statistics[0].dropped,
            stopped_early=self._stopped_early,
            wall_s=wall_s,
            fps=self._written / wall_s,
            first_frame_s=self._first_frame_s,
            latency=self._latency.summary(),
            stages=tuple(
                StageReport(
                    name=name,
                    frames_in=inlet.items - inlet.dropped if inlet else None,
                    frames_out=outlet.items if outlet else None,
                    get_blocked_s=inlet.get_blocked_s if inlet else 0.0,
                    put_blocked_s=outlet.put_blocked_s if outlet else 0.0,
                    peak_waiting=inlet.peak if inlet else 0,
                )
                for name, inlet, outlet in zip(
                    names, [None, *statistics], [*statistics, None], strict=True
                )
            ),
        )
