"""What `demoire train` does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engines.train.config import TrainConfig
from engines.train.loop import Ending, Training
from engines.train.sources import open_samples
from engines.train.team import join_team
from pipeline.cli.console import say
from pipeline.cli.interrupt import stop_on_interrupt
from pipeline.errors import ConfigError, SinkError
from pipeline.layers import as_yaml

_INTERRUPTED = 130
_INTERVAL_S = 0.5
"""Seconds between redraws."""

Watch = Callable[[int, float], None]


def run_training(config: TrainConfig) -> int:
    """Train and return the exit code.

    Raises:
        DemoireError: Something is missing, does not fit or cannot be written.
    """
    if config.out is None:
        raise ConfigError("out: no folder to write to; add --out RUN_FOLDER")
    if config.threads:
        torch.set_num_threads(config.threads)
    try:
        ending, step = _train(config, config.out)
    except OSError as error:
        raise SinkError(f"{error.filename or config.out}: {error.strerror or error}") from error
    if step is not None:
        _tell(ending, step, config=config, folder=config.out)
    return _INTERRUPTED if ending == "stopped" else 0


def _train(config: TrainConfig, folder: Path) -> tuple[Ending, int | None]:
    """Return how it ended and, where this process speaks for the team, at which step."""
    with join_team(config.device) as team:
        samples = open_samples(config, device=team.device)
        training = Training(config, samples, folder=folder, team=team)
        if team.leads:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "config.yaml").write_text(as_yaml(config), encoding="utf-8")
        with (
            stop_on_interrupt(after="the step on its way") as stop,
            _display(training.step, config.steps, visible=team.leads) as watch,
        ):
            ending = training.run(stopped=stop.is_set, watch=watch)
    return ending, training.step if team.leads else None


def _tell(ending: Ending, step: int, *, config: TrainConfig, folder: Path) -> None:
    if ending == "finished":
        say(f"{folder / 'best.safetensors'}: done after {config.steps} steps")
    else:
        say(f"{folder}: {ending} at step {step} of {config.steps}; the same command goes on")


@contextmanager
def _display(start: int, steps: int, *, visible: bool) -> Iterator[Watch]:
    """Yield what draws a bar on a terminal, and nothing elsewhere."""
    if not (visible and sys.stderr.isatty()):
        yield lambda step, loss: None
        return
    progress = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]:.2f} steps/s, loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,  # a thread of its own would take time from torch's
        transient=True,
        # Validations take their time, too: an estimate from the last seconds alone would jump.
        speed_estimate_period=300,
    )
    task = progress.add_task("", total=steps, completed=start, speed=0.0, loss=0.0)
    began = shown = time.monotonic()

    def watch(step: int, loss: float) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= _INTERVAL_S:
            shown = now
            speed = (step - start) / (now - began)
            progress.update(task, completed=step, speed=speed, loss=loss, refresh=True)

    with progress:
        yield watch
