"""What `demoire simulate` does: claim the names, then make part after part."""

from __future__ import annotations

import os
import threading
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engines.simulate.arrays import Device
from engines.simulate.takes import load_show
from pipeline.cli.batch import INTERRUPTED
from pipeline.cli.commands import need_extra
from pipeline.cli.console import say
from pipeline.cli.inputs import create_folder
from pipeline.cli.interrupt import stop_on_interrupt
from pipeline.cli.simulate_ledger import Ledger
from pipeline.cli.simulate_parts import Clips, Part, Pictures, Screen, Shards
from pipeline.errors import ConfigError, EngineError, SinkError, SourceError


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to make."""

    out: Path
    pictures: int
    clips: int
    shards: int
    width: int
    height: int
    seconds: float
    frame_rate: Fraction
    camera: Literal["any", "tripod", "hand"]
    samples: int
    photos: tuple[Path, ...]
    seed: int
    workers: int | None
    device: Device
    overwrite: bool

    def parts(self) -> list[Part]:
        """Return what is asked for.

        Raises:
            ConfigError: Nothing is.
        """
        screen = Screen(
            out=self.out,
            seed=self.seed,
            photos=self.photos,
            workers=self.workers or len(os.sched_getaffinity(0)),
            device=self.device,
        )
        size = {"width": self.width, "height": self.height}
        clips = Clips(
            screen,
            self.clips,
            frame_rate=self.frame_rate,
            frames=max(1, round(self.seconds * self.frame_rate)),
            camera=self.camera,
            **size,
        )
        pictures = Pictures(screen, self.pictures, **size)
        shards = Shards(screen, self.shards, samples=self.samples)
        parts: list[Part] = [part for part in (pictures, clips, shards) if part.names]
        if not parts:
            raise ConfigError("simulate: give --pictures, --clips or --shards, with a number")
        return parts


def run_simulation(request: Request) -> int:
    """Make the data set and return the exit code.

    Raises:
        DemoireError: Nothing is asked for, there are no photographs or no such device, or a file
            exists already or cannot be written.
    """
    parts = request.parts()
    if request.device == "cuda":
        _need_gpu()
    try:
        load_show(request.photos)
    except FileNotFoundError as error:
        raise SourceError(f"--photos: {error}") from error
    create_folder(request.out)
    ledger = Ledger(request.out)
    todo = [_unmade(part, ledger, overwrite=request.overwrite) for part in parts]
    try:
        with stop_on_interrupt() as stop:
            _make_all(list(zip(parts, todo, strict=True)), ledger, stop)
        ledger.tidy()
    except OSError as error:
        raise SinkError(f"{request.out}: cannot be written: {error.strerror}") from error
    except BrokenProcessPool as error:
        raise SinkError(
            f"{request.out}: a worker was ended from outside, most likely for want of memory; give"
            " fewer --workers or a smaller --size, and run the same command to go on"
        ) from error
    if stop.is_set():
        return INTERRUPTED
    for part, names in zip(parts, todo, strict=True):
        there = len(part.names) - len(names)
        say(f"{request.out}: {len(names)} {part.kind}(s) made, {there} there already")
    return 0


def _need_gpu() -> None:
    """Raise unless torch is installed and finds a GPU.

    Raises:
        EngineError: The message says what to do.
    """
    need_extra("--device cuda", ("torch",), extra="torch")
    import torch

    if not torch.cuda.is_available():
        raise EngineError("--device cuda: torch finds no GPU; see `demoire doctor`, or use cpu")


def _unmade(part: Part, ledger: Ledger, *, overwrite: bool) -> list[str]:
    """Return the names to make: all of them, or those that are not complete.

    Raises:
        SinkError: A file is there that this run would not have made.
    """
    if overwrite:
        return list(part.names)
    unmade = []
    for name in part.names:
        there = [path for path in part.files(name) if path.exists()]
        ours = ledger.settings(name) == part.settings
        if there and not ours:
            raise SinkError(
                f"{there[0]}: already exists, made with other settings or by something else; add"
                " --overwrite or give another folder"
            )
        if len(there) < len(part.files(name)):
            unmade.append(name)
    return unmade


def _make_all(todo: list[tuple[Part, list[str]]], ledger: Ledger, stop: threading.Event) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    # A thread that draws may outlive the bar by a moment; samples are slow enough to draw each.
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        for part, names in todo:
            task = progress.add_task(f"{part.kind}s", total=len(names) * part.steps_each)
            with closing(part.make(names, ledger)) as steps:
                for _ in steps:
                    progress.advance(task)
                    progress.refresh()
                    if stop.is_set():
                        return
