"""How far a run is: a bar for people, one object a line for programs, or nothing."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from pipeline.cli.console import say
from pipeline.cli.options import ProgressMode

if TYPE_CHECKING:
    from rich.progress import TaskID

    from pipeline.cli.building import Build
    from pipeline.media import SourceInfo
    from pipeline.runner import Progress

log = logging.getLogger(__name__)

_INTERVAL_S = 0.25
"""Seconds between updates: drawing a bar takes milliseconds, and the drawer writes frames."""
_LOGGED_EVERY_S = 30.0
"""Between lines of a log that say how far the building of an engine is."""


class Display(Protocol):
    """Shows one run after the other."""

    def build(self, build: Build) -> None:
        """An engine is being built, before a run or within one; from any thread, one at a time."""
        ...

    def start(self, info: SourceInfo, target: Path) -> None:
        """A run begins."""
        ...

    def update(self, progress: Progress) -> None:
        """A frame was written; called for every one."""
        ...

    def succeed(self, summary: str, report: dict[str, object]) -> None:
        """The run is complete (or ended early and is valid)."""
        ...

    def fail(self, source: Path, message: str) -> None:
        """The run failed; the message is shown by the caller, too."""
        ...


def create_display(mode: ProgressMode) -> Display:
    """Return the display for a mode; `auto` draws a bar on a terminal only."""
    if mode is ProgressMode.JSON:
        return JsonDisplay()
    if mode is ProgressMode.AUTO and sys.stderr.isatty():
        return BarDisplay()
    return QuietDisplay()


class QuietDisplay:
    """Says one line at the end of a run; what is built is logged: it takes minutes."""

    def __init__(self) -> None:
        self._logged_s: float | None = None

    def build(self, build: Build) -> None:
        """Log the beginning and the end, and every half minute how far it is."""
        if build.done:
            log.info("built %s in %.0f s", build.what, build.elapsed_s)
            self._logged_s = None
        elif self._logged_s is None:
            log.info("building %s; it is kept for the next time", build.what)
            self._logged_s = build.elapsed_s
        elif build.elapsed_s - self._logged_s >= _LOGGED_EVERY_S:
            log.info("building %s: %s", build.what, build.figures)
            self._logged_s = build.elapsed_s

    def start(self, info: SourceInfo, target: Path) -> None:
        """Say nothing yet."""

    def update(self, progress: Progress) -> None:
        """Say nothing yet."""

    def succeed(self, summary: str, report: dict[str, object]) -> None:
        """Print the summary."""
        say(summary)

    def fail(self, source: Path, message: str) -> None:
        """Leave it to the caller."""


class JsonDisplay:
    """Prints one object a line to stdout; the first frame at once, then four a second."""

    def __init__(self) -> None:
        self._expected: int | None = None
        self._source = ""
        self._shown_s: float | None = None
        self._build_shown_s: float | None = None

    def build(self, build: Build) -> None:
        """Print how far it is: the first and the last time, and four times a second."""
        shown_s = self._build_shown_s
        if not build.done and shown_s is not None and build.elapsed_s - shown_s < _INTERVAL_S:
            return
        self._build_shown_s = None if build.done else build.elapsed_s
        self._print(
            "build",
            what=build.what,
            share=round(build.share, 3),
            elapsed_s=round(build.elapsed_s, 3),
        )

    def start(self, info: SourceInfo, target: Path) -> None:
        """Print what is read and written."""
        self._expected, self._source, self._shown_s = info.frame_count, info.url, None
        self._print(
            "start",
            output=str(target),
            width=info.width,
            height=info.height,
            frames_expected=info.frame_count,
        )

    def update(self, progress: Progress) -> None:
        """Print where the run is, unless that was done just now."""
        if self._shown_s is not None and progress.elapsed_s - self._shown_s < _INTERVAL_S:
            return
        self._shown_s = progress.elapsed_s
        fps = progress.frames / progress.elapsed_s if progress.elapsed_s else 0.0
        left = None if self._expected is None else max(0, self._expected - progress.frames)
        self._print(
            "progress",
            frames=progress.frames,
            frames_expected=self._expected,
            time_s=round(progress.time_s, 3),
            elapsed_s=round(progress.elapsed_s, 3),
            fps=round(fps, 2),
            eta_s=round(left / fps, 1) if fps and left is not None else None,
        )

    def succeed(self, summary: str, report: dict[str, object]) -> None:
        """Print the whole report."""
        self._print("done", report=report)

    def fail(self, source: Path, message: str) -> None:
        """Print the error."""
        self._source = str(source)
        self._print("failed", error=message)

    def _print(self, event: str, **fields: object) -> None:
        line = {"event": event, "input": self._source, **fields}
        typer.echo(json.dumps(line, ensure_ascii=False))  # echo flushes, so readers keep up


class BarDisplay:
    """Draws a bar on stderr with frames per second and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            # A thread of its own would redraw while frames are computed; Python is slow at it.
            auto_refresh=False,
            transient=True,
        )
        self._task: TaskID | None = None
        self._build: TaskID | None = None
        self._shown_s = self._build_shown_s = 0.0
        self._expected = "?"

    def build(self, build: Build) -> None:
        """Draw a bar of its own until it is built."""
        if build.done:
            self._remove_build()
            if self._task is None:
                self._bar.stop()
            return
        if self._build is None:
            self._build_shown_s = -_INTERVAL_S
            self._build = self._bar.add_task(f"building {build.what}:", total=1.0, figures="")
            self._bar.start()
        if build.elapsed_s - self._build_shown_s >= _INTERVAL_S:
            self._build_shown_s = build.elapsed_s
            self._bar.update(
                self._build, completed=build.share, figures=build.figures, refresh=True
            )

    def start(self, info: SourceInfo, target: Path) -> None:
        """Draw an empty bar."""
        self._shown_s = 0.0
        self._expected = "?" if info.frame_count is None else str(info.frame_count)
        self._task = self._bar.add_task(
            Path(info.url).name, total=info.frame_count, figures=self._figures(0, 0.0)
        )
        self._bar.start()

    def update(self, progress: Progress) -> None:
        """Redraw, unless that was done just now."""
        if self._task is None or progress.elapsed_s - self._shown_s < _INTERVAL_S:
            return
        self._shown_s = progress.elapsed_s
        self._bar.update(
            self._task,
            completed=progress.frames,
            figures=self._figures(progress.frames, progress.frames / progress.elapsed_s),
            refresh=True,
        )

    def succeed(self, summary: str, report: dict[str, object]) -> None:
        """Replace the bar by the summary."""
        self._remove()
        say(summary)

    def fail(self, source: Path, message: str) -> None:
        """Remove the bar."""
        self._remove()

    def _figures(self, frames: int, fps: float) -> str:
        return f"{frames}/{self._expected} frames {fps:.1f} fps"

    def _remove(self) -> None:
        self._remove_build()
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._bar.stop()

    def _remove_build(self) -> None:
        if self._build is not None:
            self._bar.remove_task(self._build)
            self._build = None
