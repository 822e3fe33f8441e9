"""Several inputs, one after the other: one failure does not stop the others."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline.cli.console import complain, say
from pipeline.cli.inputs import Job
from pipeline.cli.interrupt import stop_on_interrupt
from pipeline.cli.job import Cleaner
from pipeline.cli.options import ProgressMode
from pipeline.cli.progress import Display, QuietDisplay, create_display
from pipeline.config import Config
from pipeline.errors import DemoireError, EngineError, SinkError

log = logging.getLogger(__name__)

INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one input."""

    source: Path
    report: dict[str, object] | None
    """The run report as JSON has it; None when it failed."""
    error: DemoireError | None = None

    @property
    def record(self) -> dict[str, object]:
        """What a report file says about it."""
        return self.report or {"input": str(self.source), "error": str(self.error)}


def clean_all(
    jobs: Sequence[Job],
    config: Config,
    *,
    overwrite: bool,
    progress: ProgressMode,
    report: Path | None,
) -> int:
    """Run all jobs and return the exit code.

    Raises:
        DemoireError: The only job failed, no job can run, or the report cannot be written.
    """
    if report is not None and not report.parent.is_dir():
        raise SinkError(f"--report {report}: its folder does not exist; create it first")
    display = create_display(progress)
    cleaner = Cleaner(config, overwrite=overwrite, display=display)
    outcomes: list[Outcome] = []
    with closing(cleaner), stop_on_interrupt() as stop:
        for job in jobs:
            if stop.is_set():
                break
            outcomes.append(_attempt(cleaner, job, stop, display))
            error = outcomes[-1].error
            # A single job's error is raised below, unless Ctrl-C decides the exit code.
            if error is not None and (len(jobs) > 1 or stop.is_set()):
                complain(str(error))
        interrupted = stop.is_set()
    if report is not None:
        _write_report(report, [outcome.record for outcome in outcomes], one=len(jobs) == 1)
    if interrupted:
        return INTERRUPTED
    return _exit_code(outcomes)


def describe_all(jobs: Sequence[Job], config: Config, *, overwrite: bool) -> None:
    """Print what each job would do.

    Raises:
        DemoireError: One of them would fail.
    """
    with closing(Cleaner(config, overwrite=overwrite, display=QuietDisplay())) as cleaner:
        for job in jobs:
            say(str(job.source))
            for name, text in cleaner.describe(job):
                say(f"  {name:<8} {text}")


def _attempt(cleaner: Cleaner, job: Job, stop: threading.Event, display: Display) -> Outcome:
    try:
        report = cleaner.clean(job, stop)
    except DemoireError as error:
        display.fail(job.source, str(error))
        log.debug("%s failed", job.source, exc_info=True)
        if cleaner.engine is None and isinstance(error, EngineError):
            raise  # No engine, no input: the others would fail in the same words.
        return Outcome(source=job.source, report=None, error=error)
    except BaseException:
        display.fail(job.source, "aborted")
        raise
    record: dict[str, object] = json.loads(report.to_json())
    display.succeed(f"{report.output or job.target}: {report.one_line()}", record)
    return Outcome(source=job.source, report=record)


def _exit_code(outcomes: Sequence[Outcome]) -> int:
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if not failed:
        return 0
    if len(outcomes) == 1 and failed[0].error is not None:
        raise failed[0].error
    names = ", ".join(str(outcome.source) for outcome in failed)
    complain(f"{len(failed)} of {len(outcomes)} inputs failed: {names}")
    return 1


def _write_report(path: Path, records: list[dict[str, object]], *, one: bool) -> None:
    content = records[0] if one and records else records
    try:
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise SinkError(f"--report {path}: cannot be written: {error.strerror}") from error
