"""What `demoire evaluate` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from engines.backends import create_engine
from engines.engine import Engine, Smoothing
from engines.evaluate.cases import ClipCases, PairCases, PhotoCases, SimulatedCases
from engines.evaluate.cleaner import PictureCleaner
from engines.evaluate.judge import Judgement, judge_clips, judge_pictures, load_baselines
from engines.evaluate.report import (
    Evaluation,
    row_path,
    tables,
    write_html,
    write_json,
    write_markdown,
    write_rows,
)
from engines.evaluate.video import ClipCleaner
from pipeline.cli.building import BuildWatch
from pipeline.cli.console import say
from pipeline.cli.inputs import create_folder
from pipeline.cli.progress import QuietDisplay
from pipeline.errors import ConfigError, SinkError

_REPORTS = {
    "evaluation.json": write_json,
    "evaluation.md": write_markdown,
    "evaluation.html": write_html,
}

AnyCases = PairCases | PhotoCases | ClipCases | SimulatedCases


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to judge on: exactly one of the first four."""

    pairs: Path | None
    photos: Path | None
    clips: Path | None
    simulated: int | None
    limit: int | None
    frames: int
    baselines: bool
    smoothing: Smoothing | None
    """Of clips; None leaves it out."""

    @property
    def source(self) -> str:
        """What it is judged on, in words."""
        folder = self.pairs or self.photos or self.clips
        return folder.name if folder else "own simulator"

    def cases(self) -> AnyCases:
        """Return the set.

        Raises:
            ConfigError: None or several sets are named.
            PairsError: The folder has nothing to judge on.
        """
        named = [self.pairs, self.photos, self.clips, self.simulated]
        if sum(entry is not None for entry in named) != 1:
            raise ConfigError("evaluate: give one of --pairs, --photos, --clips and --simulated")
        if self.pairs is not None:
            return PairCases(self.pairs, self.limit)
        if self.photos is not None:
            return PhotoCases(self.photos, self.limit)
        if self.clips is not None:
            return ClipCases(self.clips, self.limit, frames=self.frames)
        assert self.simulated is not None
        return SimulatedCases(min(self.simulated, self.limit or self.simulated))


def run_evaluation(
    request: Request, *, model: str, engine: str, out: Path, overwrite: bool
) -> None:
    """Judge, print the tables and write the reports.

    Raises:
        DemoireError: There is nothing to judge on, no engine opens, or a report cannot be written.
    """
    cases = request.cases()
    _make_folder(out, cases, overwrite=overwrite)
    watch = BuildWatch(QuietDisplay().build)
    with closing(create_engine(engine, model=model, requests=1, on_build=watch)) as opened:
        judgements = list(
            track(
                _judged(request, cases, opened),
                total=len(cases),
                description="judging",
                console=Console(stderr=True),
                transient=True,
                auto_refresh=False,  # its thread may outlive the bar by a moment
            )
        )
        evaluation = Evaluation(
            cases.kind, request.source, Path(model).stem, str(opened.info), judgements
        )
    try:
        for name, write in _REPORTS.items():
            write(evaluation, out / name)
        write_rows(evaluation, out)
    except OSError as error:
        raise SinkError(f"{out}: cannot be written: {error.strerror}") from error
    _tell(evaluation)
    say(f"Look at {out / 'evaluation.html'}")


def _judged(request: Request, cases: AnyCases, engine: Engine) -> Iterator[Judgement]:
    baselines = load_baselines() if request.baselines else {}
    if isinstance(cases, ClipCases):
        yield from judge_clips(cases, ClipCleaner(engine, request.smoothing), baselines)
        return
    with closing(PictureCleaner(engine)) as clean:
        yield from judge_pictures(cases, clean, baselines)


def _make_folder(out: Path, cases: AnyCases, *, overwrite: bool) -> None:
    create_folder(out)
    written = [out / name for name in _REPORTS]
    if isinstance(cases, ClipCases):
        written += [row_path(out, name) for name in cases.names]
    there = [path for path in written if path.exists()]
    if there and not overwrite:
        raise SinkError(f"{there[0]}: already exists; add --overwrite or give another -o")


def _tell(evaluation: Evaluation) -> None:
    console = Console()
    for heading, (header, *rows) in tables(evaluation):
        table = Table(*header, title=heading, title_justify="left")
        for row in rows:
            table.add_row(*map(escape, row))  # names of files may look like markup
        console.print(table)
