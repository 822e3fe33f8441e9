"""One `demoire bench`, from its input to its result."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.bench import machine
from pipeline.bench.children import StoppedError, run_child
from pipeline.bench.clip import Recipe, cache_folder, make_clip, repeat_clip, scratch
from pipeline.bench.gpu import GpuReader, GpuUnreadableError
from pipeline.bench.plan import ABOUT, Request
from pipeline.bench.result import Gpu, Input, Part, PartName, Result, Sample
from pipeline.bench.task import PREPARE, Prepared, Task
from pipeline.bench.verdict import summary, verdicts
from pipeline.errors import ConfigError

log = logging.getLogger(__name__)

OnStep = Callable[[str, int, int], None]
"""Told what is being done, which step of how many it is."""


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """What is read, and where it comes from."""

    path: Path
    origin: Path
    """The file that `path` repeats, or itself."""
    recipe: Recipe | None

    def as_dict(self) -> dict[str, Any]:
        """Return what a result tells of it; a folder's name could name a person."""
        with open(self.origin, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        recipe = None if self.recipe is None else self.recipe.as_dict()
        return {"name": self.origin.name, "simulated": recipe, "sha256": digest}


def measure(request: Request, stop: threading.Event, on_step: OnStep) -> Result:
    """Measure everything that is asked for.

    Raises:
        StoppedError: `stop` was set.
        DemoireError: The input or the engine does not open, or the input is too short.
    """
    load = machine.load()
    if load > machine.BUSY_LOAD:
        log.warning("the load is %.2f: something else is running, and figures are too low", load)
    with scratch(cache_folder()) as here:
        clip = _clip(request, here, stop, on_step=on_step)
        on_step("opening input and engine; minutes, where an engine is built", 0, 1)
        task = Task(
            part=PREPARE,
            parts=request.parts,
            clip=clip.path,
            folder=here,
            config=request.config,
            frames=request.frames,
            warmup=request.warmup,
        )
        prepared = run_child(task, stop).prepared
        assert prepared is not None
        _check_length(request, prepared)
        task = task.model_copy(update={"prepared": prepared})
        parts = _measured(request, task, stop, on_step=on_step)
    return _result(request, prepared, parts, load=load, clip=clip)


def _clip(request: Request, here: Path, stop: threading.Event, *, on_step: OnStep) -> _Clip:
    """Return the user's clip, or a simulated one that is long enough."""
    if request.input is not None:
        return _Clip(path=request.input, origin=request.input, recipe=None)
    recipe = Recipe(width=request.width, height=request.height)

    def on_picture(done: int, of: int) -> None:
        on_step("simulating the clip", done, of)
        if stop.is_set():
            raise StoppedError

    folder = cache_folder()
    fresh = not (folder / recipe.name).exists()
    origin = make_clip(recipe, folder, on_picture)
    if fresh:
        log.info("made %s, a simulated filmed screen; it is kept for the next time", origin)
    path = here / "clip.mp4"
    repeat_clip(origin, path, times=-(-request.clip_frames // recipe.frames))
    return _Clip(path=path, origin=origin, recipe=recipe)


def _check_length(request: Request, prepared: Prepared) -> None:
    """Raise where the input is known to be too short, before minutes are spent on it."""
    there, needed = prepared.frame_count, request.clip_frames
    if there is not None and there < needed:
        raise ConfigError(
            f"{request.input}: has {there} frames, and {needed} are needed: {request.warmup} to"
            f" warm up, {request.frames} to measure, and those on their way then; give a longer"
            " input, or a smaller --frames or --warmup"
        )


def _measured(
    request: Request, task: Task, stop: threading.Event, *, on_step: OnStep
) -> dict[PartName, Part]:
    samples: dict[PartName, list[Sample]] = {part: [] for part in request.parts}
    skipped: dict[PartName, str] = {}
    for number, part in enumerate(_rounds(request.parts, request.repeats)):
        if part in skipped:
            continue
        turn = number // len(request.parts) + 1
        name = f"{part.replace('_', ', ')}, {turn} of {request.repeats}"
        on_step(name, number, request.repeats * len(request.parts))
        found = run_child(task.model_copy(update={"part": part}), stop)
        if found.skipped is not None:
            skipped[part] = found.skipped.reason
        if found.sample is not None:
            samples[part].append(found.sample)
    return {
        part: Part(
            about=ABOUT[part],
            skipped=skipped.get(part),
            samples=of,
            summary=summary(of) if of else None,
        )
        for part, of in samples.items()
    }


def _rounds(parts: Sequence[PartName], repeats: int) -> Iterator[PartName]:
    """Yield all parts in turn, so many times: a busy moment falls on all of them."""
    for _ in range(repeats):
        yield from parts


def _result(
    request: Request,
    prepared: Prepared,
    parts: dict[PartName, Part],
    *,
    load: float,
    clip: _Clip,
) -> Result:
    gpus, reason = read_gpus()
    engines = [sample.engine for part in parts.values() for sample in part.samples]
    ran = next((engine for engine in reversed(engines) if engine is not None), prepared.engine)
    known = prepared.model_dump(exclude={"engine", "frame_count", "smoothing", "decoder"})
    return Result(
        version=__version__,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        settings=_settings(request, prepared),
        input=Input.model_validate(clip.as_dict() | known),
        engine=ran,
        machine=machine.machine_card(),
        gpus=gpus,
        gpus_reason=reason,
        load_before=load,
        stages=parts,
        whole=verdicts(parts, cores=machine.usable_cores()),
    )


def read_gpus() -> tuple[list[Gpu] | None, str | None]:
    """Return the GPUs, or why there are none to tell of."""
    try:
        return GpuReader().cards(), None
    except GpuUnreadableError as error:
        return None, str(error)


def _settings(request: Request, prepared: Prepared) -> dict[str, Any]:
    config = request.config.model_dump(mode="json", include={"engine", "clean", "encoder"})
    return {
        "stages": list(request.parts),
        "frames": request.frames,
        "warmup": request.warmup,
        "repeats": request.repeats,
        "smoothing": prepared.smoothing,
        "decoder": prepared.decoder,
        **config,
    }
