"""One part of the work at a time, each in a process of its own; `speed.py` runs them.

`decode` and `encode` are bare PyAV loops. `engine` goes through the engine's contract. `together`
is the real pipeline with the CPU time of every thread booked to what the thread does. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from engines.backends import create_engine
from pipeline.runner import Pipeline
from pipeline.sinks import open_sink
from pipeline.sources import open_source
from pipeline.stages.clean import clean

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from engines.engine import Planes, Session
    from pipeline.runner import Progress

_HELD_PICTURES = 8
"""Few enough to stay in the processor's cache, where the pipeline's pictures come from, too."""


class Stopwatch:
    """Wall time, CPU time of the process and CPU time of this thread, per frame."""

    def __init__(self) -> None:
        self._began = self._now()

    def per_frame(self, frames: int) -> dict[str, float]:
        """Return milliseconds per frame since the start."""
        spent = (now - then for now, then in zip(self._now(), self._began, strict=True))
        wall, process, thread = (1000 * seconds / frames for seconds in spent)
        return {"wall_ms": wall, "cpu_ms": process, "calling_thread_cpu_ms": thread}

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), time.thread_time()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """CPU seconds of every thread of this process, at one moment."""

    wall_s: float
    process_s: float
    idle_s: float
    """Seconds in which the cores that this process may use did nothing, all together."""
    threads: dict[int, tuple[str, float]]
    """Name and CPU seconds by native id; Python's own threads are called `python NAME`."""

    @classmethod
    def take(cls) -> Snapshot:
        """Read what the kernel has booked so far."""
        names = {thread.native_id: f"python {thread.name}" for thread in threading.enumerate()}
        threads = {}
        for task in Path("/proc/self/task").iterdir():
            nanoseconds = int((task / "schedstat").read_text(encoding="ascii").split()[0])
            comm = (task / "comm").read_text(encoding="utf-8").strip()
            threads[int(task.name)] = (names.get(int(task.name), comm), nanoseconds / 1e9)
        return cls(
            wall_s=time.perf_counter(),
            process_s=time.process_time(),
            idle_s=_idle_s(),
            threads=threads,
        )

    def since(self, earlier: Snapshot) -> dict[str, float]:
        """Return CPU seconds by thread name since an earlier snapshot."""
        spent: dict[str, float] = {}
        for number, (name, seconds) in self.threads.items():
            before = earlier.threads.get(number, (name, 0.0))[1]
            spent[name] = spent.get(name, 0.0) + seconds - before
        return spent


def main() -> None:
    """Run the leg that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("leg", choices=sorted(_LEGS))
    parser.add_argument("clip", type=Path)
    parser.add_argument("--target", type=Path, help="file to write, for encode and together")
    parser.add_argument("--frames", type=int, default=300, help="for engine and encode")
    parser.add_argument("--skip", type=int, default=30, help="frames before measuring begins")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--encoder-preset", default="superfast")
    parser.add_argument("--crf", type=int, default=18)
    options = parser.parse_args()
    print(json.dumps(_LEGS[options.leg](options)))


def run_decode(options: argparse.Namespace) -> dict[str, Any]:
    """Demux and decode the clip, and nothing else."""
    with av.open(str(options.clip)) as container:
        pictures = _decoded(container)
        for _ in islice(pictures, options.skip):
            pass
        watch = Stopwatch()
        frames = sum(1 for _ in pictures)
        return watch.per_frame(frames)


def run_engine(options: argparse.Namespace) -> dict[str, Any]:
    """Clean decoded pictures: one at a time by all threads, then as many as the engine likes."""
    with closing(open_source(options.clip)) as source:
        held = list(islice(source.frames(), _HELD_PICTURES))
    planes = [held[index].planes for index in _there_and_back(len(held), options.frames)]
    found: dict[str, Any] = {}
    for name, requests in (("alone", 1), ("overlapped", None)):
        engine = create_engine(options.engine, model=options.model, requests=requests)
        with closing(engine), closing(engine.open(held[0].format)) as session:
            for picture in planes[: options.skip]:
                session.submit([picture]).result()
            if requests == 1:
                found[name] = _one_at_a_time(session, planes)
                continue
            watch = Stopwatch()
            _in_flight(session, planes)
            found[name] = watch.per_frame(len(planes))
    return {"info": str(engine.info), **found}


def run_encode(options: argparse.Namespace) -> dict[str, Any]:
    """Encode decoded pictures and write them to a file, and nothing else."""
    with av.open(str(options.clip)) as container:
        held = list(islice(_decoded(container), _HELD_PICTURES))
    encoder = {"preset": options.encoder_preset, "crf": str(options.crf)}
    with av.open(str(options.target), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options=encoder)
        stream.width, stream.height = held[0].width, held[0].height
        stream.pix_fmt = held[0].format.name
        stream.codec_context.thread_type, stream.codec_context.thread_count = "AUTO", 0
        watch = Stopwatch()
        for number, index in enumerate(_there_and_back(len(held), options.skip + options.frames)):
            if number == options.skip:
                watch = Stopwatch()
            picture = held[index]
            picture.pts, picture.time_base = number, Fraction(1, 30)
            picture.pict_type = 0  # the decoder's own would be an order to the encoder
            container.mux(stream.encode(picture))
        # Before the flush: opening and draining the encoder are no part of a frame's cost.
        spent = watch.per_frame(options.frames)
        container.mux(stream.encode(None))
        return spent


def run_together(options: argparse.Namespace) -> dict[str, Any]:
    """Run the pipeline and book each thread's CPU time; only the steady state is measured.

    Threads inherit the name of the thread that starts them, so the main thread takes the name of
    what it opens next. The first `skip` frames are left out, and so are the last, because a thread
    that has ended takes its account along.
    """
    _call_threads("decode")  # libavcodec overwrites it with av:h264:df0 and so on
    source = open_source(options.clip)
    _call_threads("engine")
    engine = create_engine(options.engine, model=options.model)
    _call_threads("encode")
    sink = open_sink(
        options.target,
        source.info,
        codec="h264",
        crf=options.crf,
        encoder_preset=options.encoder_preset,
    )
    _call_threads("engine")  # the back end may start threads with its first picture
    times: list[float] = []
    snapshots: list[Snapshot] = []
    last = (source.info.frame_count or 0) - options.skip

    def on_frame(progress: Progress) -> None:
        times.append(time.perf_counter())
        if progress.frames in (options.skip, last):
            snapshots.append(Snapshot.take())

    pipeline = Pipeline(source=source, stages=[("clean", clean(engine, strength=1.0))], sink=sink)
    with closing(engine):
        report = pipeline.run(threading.Event(), on_frame=on_frame)
    first, final = snapshots
    frames = last - options.skip
    steps = [1000 * (b - a) for a, b in pairwise(times[options.skip - 1 : last])]
    return {
        "frames": frames,
        "wall_ms": 1000 * (final.wall_s - first.wall_s) / frames,
        "cpu_ms": 1000 * (final.process_s - first.process_s) / frames,
        "idle_ms": 1000 * (final.idle_s - first.idle_s) / frames,
        "thread_cpu_ms": {
            name: 1000 * seconds / frames for name, seconds in final.since(first).items()
        },
        "frame_interval_ms": _percentiles(steps),
        "info": str(engine.info),
        "pipeline_fps": report.fps,
    }


def _decoded(container: av.container.InputContainer) -> Iterator[VideoFrame]:
    container.streams.video[0].codec_context.thread_type = "AUTO"
    container.streams.video[0].codec_context.thread_count = 0
    return container.decode(video=0)


def _one_at_a_time(session: Session, planes: list[Planes]) -> dict[str, Any]:
    submits, waits = [], []
    for picture in planes:
        began = time.perf_counter()
        request = session.submit([picture])
        submitted = time.perf_counter()
        request.result()
        submits.append(1000 * (submitted - began))
        waits.append(1000 * (time.perf_counter() - submitted))
    return {"submit_ms": _percentiles(submits), "result_ms": _percentiles(waits)}


def _in_flight(session: Session, planes: list[Planes]) -> None:
    flying: deque[Any] = deque()
    for picture in planes:
        flying.append(session.submit([picture]))
        if len(flying) == session.depth:
            flying.popleft().result()
    for request in flying:
        request.result()


def _there_and_back(length: int, count: int) -> Iterator[int]:
    """Yield `count` indices 0, 1, ... length - 1, length - 2, ... 1, 0, 1, ..., without a jump."""
    period = max(2 * length - 2, 1)
    for number in range(count):
        place = number % period
        yield place if place < length else period - place


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    at = {
        f"p{share}": ordered[min(len(ordered) * share // 100, len(ordered) - 1)]
        for share in (95, 99)
    }
    return {"mean": statistics.fmean(values), "p50": statistics.median(values), **at}


def _idle_s() -> float:
    cores = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    lines = (line.split() for line in Path("/proc/stat").read_text(encoding="ascii").splitlines())
    # The fields after the name are user, nice, system, idle, iowait, ...
    ticks = sum(int(words[4]) + int(words[5]) for words in lines if words[0] in cores)
    return ticks / os.sysconf("SC_CLK_TCK")


def _call_threads(name: str) -> None:
    """Name this process's main thread, and so the native threads that it starts from here on."""
    Path(f"/proc/self/task/{os.getpid()}/comm").write_text(name, encoding="ascii")


_LEGS = {
    "decode": run_decode,
    "encode": run_encode,
    "engine": run_engine,
    "together": run_together,
}


if __name__ == "__main__":
    main()
