"""Everything together: the pipeline of `demoire clean`, to nowhere or to the encoder."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pipeline.bench.computing import engine_card, open_engine
from pipeline.bench.figures import milliseconds
from pipeline.bench.files import open_sink
from pipeline.bench.meter import Meter
from pipeline.frame import Frame
from pipeline.runner import Pipeline
from pipeline.sinks.null import NullSink
from pipeline.sources.hardware import who_decodes
from pipeline.stages.clean import clean

if TYPE_CHECKING:
    import av

    from pipeline.bench.result import Sample
    from pipeline.bench.task import Task
    from pipeline.runner import Sink


@dataclass
class MeteredSink:
    """Hands on to a sink and notes when; ends the run once the window is over."""

    sink: Sink
    meter: Meter
    stop: threading.Event
    latencies_s: list[float] = field(default_factory=list)
    """Of the window's frames, from leaving the source to having been written."""

    def write(self, frame: Frame) -> None:
        """Hand on one frame."""
        self.sink.write(frame)
        if self.meter.done:
            return
        self.meter.lap()
        if self.meter.running and frame.left_source_s is not None:
            self.latencies_s.append(perf_counter() - frame.left_source_s)
        if self.meter.done:
            self.stop.set()

    def finish(self, tail: tuple[av.Packet[Any], ...]) -> None:
        """See `Sink.finish`."""
        self.sink.finish(tail)

    def abort(self) -> None:
        """See `Sink.abort`."""
        self.sink.abort()


def measure_whole(task: Task) -> Sample:
    """Decode, clean and smooth, and encode unless the task's part says otherwise.

    The window is over while there are frames left to read: it never sees a pipeline run dry.
    """
    with closing(open_engine(task.config)) as engine:
        source = task.open_source(*who_decodes(task.config.source.decode, engine))
        try:
            sink: Sink = NullSink()
            if task.part == "whole_encoded":
                sink = open_sink(task, source.info)
            smoothing = task.smoothing(engine.info.backend)
            stage = clean(engine, strength=task.config.clean.strength, smoothing=smoothing)
        except BaseException:
            source.close()
            raise
        stop = threading.Event()
        metered = MeteredSink(sink, Meter(warmup=task.warmup, frames=task.frames), stop)
        Pipeline(source=source, stages=[("clean", stage)], sink=metered).run(stop)
        return metered.meter.sample(
            latency_ms=milliseconds(metered.latencies_s) if metered.latencies_s else None,
            engine=engine_card(engine.info),
        )
