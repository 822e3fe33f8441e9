"""How long a user waits: for `demoire --help`, and for the first cleaned frame.

Every time starts when the process is started. "First frame" is when `--progress json` says that
the encoder was given one; the run is cut short by `--end`, which leaves how it starts as it is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import harness

HELP_BAR_S = 0.5
FIRST_FRAME_BAR_S = 3.0


def main() -> None:
    """Measure, print and write."""
    options = _options()
    load = harness.warn_if_busy()
    clip = harness.make_clip(seconds=options.seconds, size=options.size, loop_s=options.seconds)
    help_command = [harness.demoire(), "--help"]
    with harness.scratch() as folder:
        harness.run_child(help_command)  # fills the disk cache
        helps = [harness.run_child(help_command).wall_s for _ in range(options.repeats)]
        first_frame(options, clip, folder)
        starts = [first_frame(options, clip, folder) for _ in range(options.repeats)]
    summary = {"help_s": harness.summary(helps)} | {
        key: harness.summary([start[key] for start in starts]) for key in starts[0]
    }
    bars = {"help_s": HELP_BAR_S, "first_frame_s": FIRST_FRAME_BAR_S}
    rows = [("seconds, median (min to max)", "figure", "bar")]
    rows += [(k, harness.spread(found, 3), str(bars.get(k, ""))) for k, found in summary.items()]
    harness.print_table(rows)
    content = {"help_s": helps, "first_frame": starts, "summary": summary, "bar": bars}
    harness.write_result(options.out, settings=vars(options), load=load, content=content)


def first_frame(options: argparse.Namespace, clip: Path, folder: Path) -> dict[str, float]:
    """Start `demoire clean` and return when it got how far, in seconds.

    Raises:
        SystemExit: It failed.
    """
    command = [harness.demoire(), "clean", str(clip), "-o", str(folder / "out.mp4"), "--overwrite"]
    command += ["--engine", options.engine, "--model", options.model]
    command += ["--end", "0.5", "--progress", "json"]
    seen: dict[str, float] = {}
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            event: dict[str, Any] = json.loads(line)
            seen.setdefault(event["event"], time.perf_counter() - began)
    ended_s = time.perf_counter() - began
    if child.returncode or "progress" not in seen:
        sys.exit(f"`demoire clean` ended with {child.returncode} and the events {list(seen)}")
    return {
        # Python and its modules, the input, the engine, the output.
        "opened_s": seen["start"],
        # The network compiled for the clip's size, the first frame through it.
        "first_frame_s": seen["progress"],
        "ended_s": ended_s,
    }


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__, name="startup")
    harness.add_engine_options(parser, engine="auto")
    parser.add_argument("--seconds", type=int, default=10, help="length of the clip")
    parser.add_argument("--repeats", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    main()
