"""What `demoire bench` and `demoire bench compare` do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from pipeline.bench.children import StoppedError
from pipeline.bench.compare import compare
from pipeline.bench.machine import usable_cores
from pipeline.bench.plan import SIZES, Request, usual_warmup
from pipeline.bench.result import PartName, Result, check_writable, read_result, write_result
from pipeline.bench.session import OnStep, measure
from pipeline.cli.batch import INTERRUPTED
from pipeline.cli.bench_tables import comparison_tables, result_tables
from pipeline.cli.console import complain, say
from pipeline.cli.interrupt import stop_on_interrupt
from pipeline.cli.options import even_size
from pipeline.config import Config
from pipeline.errors import ConfigError

_USUAL_SIZE = "1080p"
_STDOUT = "-"


@dataclass(frozen=True, kw_only=True)
class Order:
    """The command line of `demoire bench`."""

    input: Path | None
    size: str | None
    parts: tuple[PartName, ...]
    config: Config
    frames: int
    warmup: int | None
    repeats: int
    json: str | None

    def request(self) -> Request:
        """Return what to measure.

        Raises:
            ConfigError: A size with an input, or one that is none.
        """
        if self.input is not None and self.size is not None:
            raise ConfigError(f"--size {self.size}: --input {self.input} has its own; give one")
        size = self.size or _USUAL_SIZE
        try:
            width, height = even_size(SIZES.get(size, size))
        except ConfigError as error:
            raise ConfigError(f"{error}; or give one of {', '.join(SIZES)}") from error
        return Request(
            input=self.input,
            width=width,
            height=height,
            parts=self.parts,
            config=self.config,
            frames=self.frames,
            warmup=self.warmup or usual_warmup(usable_cores()),
            repeats=self.repeats,
        )


def run_bench(order: Order) -> int:
    """Measure, print or write, and return the exit code.

    Raises:
        DemoireError: The input or the engine does not open, or the result cannot be written.
    """
    path = None if order.json in (None, _STDOUT) else Path(str(order.json))
    if path is not None:
        check_writable(path)
    request = order.request()
    after = "ending the part that is measured"
    with stop_on_interrupt(after=after) as stop, _progress() as on_step:
        try:
            result = measure(request, stop, on_step)
        except StoppedError:
            return INTERRUPTED
    _tell(result, path, order.json)
    return 0


def run_compare(a: Path, b: Path) -> None:
    """Print what differs between two results.

    Raises:
        ConfigError: One of them is none.
    """
    found = compare(read_result(a), read_result(b))
    for warning in found.warnings:
        complain(f"warning: {warning}")
    _print(comparison_tables(found, a=a.name, b=b.name))


def _tell(result: Result, path: Path | None, json: str | None) -> None:
    if json == _STDOUT:
        say(result.to_json())
        return
    _print(result_tables(result))
    if path is not None:
        write_result(result, path)
        say(f"{path}: written")


def _print(renderables: Iterator[Table | str]) -> None:
    console = Console()
    for renderable in renderables:
        # A terminal breaks lines, a file keeps them.
        console.print(
            renderable, markup=False, highlight=False, soft_wrap=isinstance(renderable, str)
        )


@contextmanager
def _progress() -> Iterator[OnStep]:
    """Yield what draws a bar on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda name, step, steps: None
        return
    columns = (TextColumn("{task.description}"), BarColumn())
    # A thread that draws would take time from what is measured.
    with Progress(
        *columns, console=Console(stderr=True), transient=True, auto_refresh=False
    ) as bar:
        task = bar.add_task("", total=None)

        def on_step(name: str, step: int, steps: int) -> None:
            bar.update(task, description=name, completed=step, total=steps, refresh=True)

        yield on_step
