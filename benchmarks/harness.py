"""What every benchmark needs: the machine in words, children with their cost, results as JSON.

Imports nothing heavy: on Linux a child's peak memory is never reported below its parent's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.bench.machine import BUSY_LOAD, load, machine_card
from pipeline.bench.machine import usable_cores as usable_cores

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
RESULTS = HERE / "results"

MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class ChildRun:
    """What one process cost, from its start to its end."""

    wall_s: float
    cpu_s: float
    """User and system time of all its threads."""
    peak_rss_mb: float
    """Largest resident memory, megabytes of 10^6 bytes."""
    stderr: str
    rss_samples: tuple[tuple[float, float], ...] = ()
    """(seconds since the start, megabytes), when sampling was asked for."""


def parser(description: str | None, *, name: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.add_argument("--size", default="1920x1080", help="of the clip")
    made.add_argument(
        "--out", type=Path, default=RESULTS / f"{name}.json", help="where the JSON goes"
    )
    return made


def add_encoder_options(to: argparse.ArgumentParser) -> None:
    """Add what is told to the H.264 encoder."""
    to.add_argument("--encoder-preset", default="superfast", help="x264's own speed")
    to.add_argument("--crf", type=int, default=18, help="x264's constant quality")


def add_engine_options(to: argparse.ArgumentParser, *, engine: str) -> None:
    """Add which back end and network run."""
    to.add_argument("--engine", default=engine, help="back end, as `demoire clean --engine`")
    to.add_argument("--model", default="nano", help="network, as `demoire clean --model`")


def demoire() -> str:
    """Return the installed `demoire` command of this Python.

    Raises:
        SystemExit: It is not installed.
    """
    found = shutil.which("demoire", path=str(Path(sys.executable).parent))
    if found is None:
        sys.exit("no `demoire` beside this Python; install it first: pip install .")
    return found


def make_clip(*, seconds: int, size: str, loop_s: int) -> Path:
    """Return the benchmark clip, made by `make_clip.py` unless it is in the cache.

    Raises:
        SystemExit: It cannot be made.
    """
    command = [sys.executable, str(HERE / "make_clip.py"), "--size", size]
    command += ["--seconds", str(seconds), "--loop-s", str(min(loop_s, seconds))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"the clip could not be made: `{shlex.join(command)}` failed")
    return Path(done.stdout.splitlines()[-1])


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder for outputs, on the file system of the clips; removed afterwards."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="run-") as folder:
        yield Path(folder)


def run_child(command: Sequence[str], *, sample_every_s: float | None = None) -> ChildRun:
    """Run a command to its end and return what it cost.

    Args:
        command: Program and arguments; its stdout is thrown away.
        sample_every_s: Also note its resident memory this often.

    Raises:
        SystemExit: It failed; its last words are in the message.
    """
    samples: list[tuple[float, float]] = []
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as child:
            try:
                while (ended := os.wait4(child.pid, os.WNOHANG if sample_every_s else 0))[0] == 0:
                    if (held := _resident_mb(child.pid)) is not None:
                        samples.append((round(time.perf_counter() - began, 3), held))
                    time.sleep(sample_every_s or 0)
            except BaseException:
                child.kill()
                raise
            wall_s = time.perf_counter() - began
            _, status, usage = ended
            child.returncode = os.waitstatus_to_exitcode(status)  # or Popen waits once more
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()
    if child.returncode:
        sys.exit(f"`{shlex.join(command)}` failed with {child.returncode}:\n{said[-2000:]}")
    return ChildRun(
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_rss_mb=usage.ru_maxrss * 1024 / MEGABYTE,
        stderr=said,
        rss_samples=tuple(samples),
    )


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and largest of the repeats."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def spread(found: Mapping[str, float], digits: int = 2) -> str:
    """Return a summary as `median (min to max)` for a table."""
    low, high = (f"{found[name]:.{digits}f}" for name in ("min", "max"))
    return f"{found['median']:.{digits}f} ({low} to {high})"


def warn_if_busy() -> float:
    """Return the load of the last minute; complain when something else is running."""
    now = load()
    if now > BUSY_LOAD:
        print(f"warning: load is {now:.2f}; something else is running, so figures are too low")
    return now


def write_result(
    path: Path, *, settings: Mapping[str, Any], load: float, content: Mapping[str, Any]
) -> None:
    """Write a result with its machine and date.

    Args:
        path: The JSON file.
        settings: The benchmark's own options; `out` is left out.
        load: The machine's load before the first run.
        content: What was measured.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "benchmark": Path(sys.argv[0]).stem,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "settings": {key: str(value) for key, value in settings.items() if key != "out"},
        "load_before": load,
        "machine": machine_card(),
        **content,
    }
    path.write_text(_as_text(record) + "\n", encoding="utf-8")
    print(f"\nwritten: {os.path.relpath(path)}")


def read_report(path: Path) -> dict[str, Any]:
    """Return a run report without what names files."""
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {key: value for key, value in report.items() if key not in ("input", "output")}


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, the first row being the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for number, row in enumerate(rows):
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
        if number == 0:
            print("  ".join("-" * width for width in widths))


def _as_text(record: Mapping[str, Any]) -> str:
    """Return JSON with four decimals and every list of numbers on one line."""
    rounded = json.loads(json.dumps(record), parse_float=lambda digits: round(float(digits), 4))
    text = json.dumps(rounded, indent=2, ensure_ascii=False)
    return re.sub(r"\[[-\d.,\s]+\]", lambda found: "".join(found[0].split()), text)


def _resident_mb(pid: int) -> float | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):  # it has just ended
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE, 1)
