"""Transfer, inference and smoothing alone, through the contract of `engines.engine`.

Run on an H200 with torch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from itertools import count, islice
from statistics import fmean
from typing import TYPE_CHECKING, Any

from engines.backends import create_engine
from engines.backends.padding import empty_planes, pad_into, padded_shapes
from engines.engine import DeviceTimed, EngineInfo, Moment, PictureFormat, Planes, Smoothing
from engines.smooth.smoother import Smoother
from engines.smooth.trust import BLOCK
from pipeline.bench.figures import milliseconds
from pipeline.bench.files import DEFAULT_RATE
from pipeline.bench.held import load, places, there_and_back
from pipeline.bench.memory import MemoryWatch
from pipeline.bench.meter import timed
from pipeline.bench.result import Milliseconds, Sample
from pipeline.bench.task import Skipped

if TYPE_CHECKING:
    from engines.engine import Engine, Request, Session
    from pipeline.bench.task import Task
    from pipeline.config import Config

IN_MEMORY = "none: this back end works in the host's memory"
NOT_TOLD = "not told apart: this back end does not time its own parts"
NO_SMOOTHING = "none: --smooth is off, or nothing is cleaned (engine identity, strength 0)"

_HOST_SMOOTHED = ("openvino", "identity")
"""Back ends that smooth in the host's memory, with `HostBlender`; what it takes others is found as
a difference."""


def open_engine(config: Config) -> Engine:
    """Open the engine that the configuration names.

    Raises:
        EngineError: It does not open.
    """
    engine = config.engine
    return create_engine(
        engine.name, model=engine.model, options=engine.options, device=engine.device
    )


def engine_card(info: EngineInfo) -> dict[str, Any]:
    """Return what really runs, as JSON has it."""
    return asdict(info)


def measure_transfer(task: Task) -> Sample | Skipped:
    """Copy a picture to the device and back, on the device's clock."""
    with _opened(task) as (engine, session):
        if not isinstance(session, DeviceTimed):
            return Skipped(reason=IN_MEMORY if engine.info.device.startswith("CPU") else NOT_TOLD)
        return transfer_sample(session, repeats=task.frames)


def transfer_sample(session: DeviceTimed, *, repeats: int) -> Sample:
    """Return what a device's own clock says about copying."""
    memory = MemoryWatch()
    times = session.device_times(repeats=repeats)
    both_ms = [a + b for a, b in zip(times.copy_in_ms, times.copy_out_ms, strict=True)]
    return Sample(
        frames=len(both_ms),
        fps=1000 / fmean(both_ms),
        frame_ms=_from_ms(both_ms),
        copy_in_ms=_from_ms(times.copy_in_ms),
        copy_out_ms=_from_ms(times.copy_out_ms),
        memory_peak_mb=memory.peak_mb(),
        memory_growth_mb=memory.growth_mb(),
    )


def measure_infer(task: Task) -> Sample:
    """Clean kept pictures, see `infer_sample`."""
    pictures = load(task.folder, "decoded")
    with _opened(task) as (engine, session):
        sample = infer_sample(session, pictures, task=task)
        return sample.model_copy(update={"engine": engine_card(engine.info)})


def infer_sample(session: Session, pictures: list[Planes], *, task: Task) -> Sample:
    """Clean pictures: one at a time for the times, then as many in flight as the session takes.

    Where the device has a clock of its own, times and frames per second are inference's alone, and
    what went through the session is told beside them.
    """
    window = {"warmup": task.warmup, "frames": task.frames}
    strength = task.config.clean.strength
    alone = timed(one_at_a_time(session, pictures, strength=strength), **window)
    overlapped = timed(in_flight(session, pictures, strength=strength), **window)
    found: dict[str, Any] = {
        "frame_ms": alone.frame_ms(),
        # Memory is allocated with the first pictures, which went one at a time.
        "memory_growth_mb": alone.memory.growth_mb(),
    }
    if isinstance(session, DeviceTimed):
        infer_ms = session.device_times(repeats=task.frames).infer_ms
        found["overlapped_fps"] = overlapped.fps
        found |= {"frame_ms": _from_ms(infer_ms), "fps": 1000 / fmean(infer_ms)}
    return overlapped.sample(**found)


def measure_smooth(task: Task) -> Sample | Skipped:
    """Smooth pictures: cleaned ones in the host's memory, or as a difference on a device."""
    backend = task.backend
    smoothing = task.smoothing(backend)
    if smoothing is None:
        return Skipped(reason=NO_SMOOTHING)
    if backend not in _HOST_SMOOTHED:
        return _smoothed_on_device(task, smoothing)
    steps = smoothed(load(task.folder, "cleaned"), task.picture_format, smoothing)
    return timed(steps, warmup=task.warmup, frames=task.frames).sample()


def one_at_a_time(
    session: Session, pictures: list[Planes], *, strength: float = 1.0
) -> Iterator[None]:
    """Clean pictures without end, each asked for before the next is submitted."""
    for index in places(len(pictures)):
        session.submit([pictures[index]], strength=strength).result()
        yield


def in_flight(session: Session, pictures: list[Planes], *, strength: float = 1.0) -> Iterator[None]:
    """Clean pictures without end, with as many in flight as the session takes, as `clean` does."""
    flying: deque[Request] = deque()
    order = places(len(pictures))
    try:
        while True:
            batch = [pictures[index] for index in islice(order, session.batch)]
            flying.append(session.submit(batch, strength=strength))
            while len(flying) >= session.depth:
                for _ in flying.popleft().result():
                    yield
    except GeneratorExit:
        for request in flying:  # The session is used again.
            request.result()
        raise


def smoothed(
    pictures: list[Planes], picture_format: PictureFormat, smoothing: Smoothing
) -> Iterator[None]:
    """Smooth pictures without end in the host's memory."""
    from engines.smooth.host import HostBlender  # OpenVINO, which a GPU's figures do without

    shapes = padded_shapes(picture_format, BLOCK)
    padded = []
    for planes in pictures:
        targets = empty_planes(picture_format, shapes)
        for plane, target in zip(planes, targets, strict=True):
            pad_into(plane, target)
        padded.append(targets)
    smoother = Smoother(picture_format, smoothing, HostBlender(picture_format, shapes))
    for moment, index in zip(_moments(), places(len(padded)), strict=False):
        smoother.smooth(padded[index], moment)
        yield


def _smoothed_on_device(task: Task, smoothing: Smoothing) -> Sample:
    pictures = load(task.folder, "decoded")
    with (
        _opened(task) as (engine, plain),
        closing(engine.open(task.picture_format, smoothing=smoothing)) as smooth,
    ):
        return difference(plain, smooth, pictures, task=task)


def difference(plain: Session, smooth: Session, pictures: list[Planes], *, task: Task) -> Sample:
    """Return by how much longer the second session takes for a picture, each in turn."""
    memory = MemoryWatch()
    strength = task.config.clean.strength
    wall_s, cpu_s = [], []
    order = there_and_back(len(pictures), task.warmup + task.frames)
    for moment, index in zip(_moments(), order, strict=False):
        without = _spent(plain, pictures[index], moment, strength=strength)
        with_it = _spent(smooth, pictures[index], moment, strength=strength)
        wall_s.append(with_it[0] - without[0])
        cpu_s.append(with_it[1] - without[1])
    measured_s = wall_s[task.warmup :]
    mean_s = fmean(measured_s)
    return Sample(
        frames=len(measured_s),
        fps=1 / mean_s if mean_s > 0 else None,
        frame_ms=milliseconds(measured_s),
        cpu_s=fmean(cpu_s[task.warmup :]),
        memory_peak_mb=memory.peak_mb(),
        memory_growth_mb=memory.growth_mb(),
    )


def _spent(
    session: Session, planes: Planes, moment: Moment, *, strength: float
) -> tuple[float, float]:
    """Return wall and CPU seconds of one picture."""
    began = time.perf_counter(), time.process_time()
    session.submit([planes], strength=strength, moments=[moment]).result()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def _moments() -> Iterator[Moment]:
    """Yield moments a frame apart; 25 a second, which changes no cost."""
    for number in count():
        yield Moment(number / float(DEFAULT_RATE), reset=number == 0)


@contextmanager
def _opened(task: Task) -> Iterator[tuple[Engine, Session]]:
    """Yield the engine and a session without smoothing for the clip's pictures."""
    with (
        closing(open_engine(task.config)) as engine,
        closing(engine.open(task.picture_format)) as session,
    ):
        yield engine, session


def _from_ms(values_ms: Sequence[float]) -> Milliseconds:
    return milliseconds([value / 1000 for value in values_ms])
