"""Does memory grow with the length of a clip? Peak of `demoire clean` on a short and a long one.

The long clip repeats the packets of the short one. The peak is the kernel's own mark of the
process (`ru_maxrss`); samples in between show whether memory creeps.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import harness

RATIO_BAR = 1.05
PEAK_BAR_MB = 1000

_DRAWN_S = 10
_KEPT_SAMPLES = 100


def main() -> None:
    """Measure, print and write."""
    options = _options()
    load = harness.warn_if_busy()
    drawn = min(_DRAWN_S, options.short_s)
    clips = {
        name: harness.make_clip(seconds=seconds, size=options.size, loop_s=drawn)
        for name, seconds in (("short", options.short_s), ("long", options.long_s))
    }
    runs: dict[str, list[dict[str, Any]]] = {"short": [], "long": []}
    with harness.scratch() as folder:
        for number in range(1, options.repeats + 1):
            for name, clip in clips.items():
                runs[name].append(_run(options, clip, folder))
                peak = runs[name][-1]["peak_rss_mb"]
                print(f"{name} {number}/{options.repeats}: {peak:.1f} MB", flush=True)
    summary = _summary(runs)
    rows = [("median (min to max)", "figure", "bar")]
    rows += [
        (title, harness.spread(summary[key], digits), str(bar))
        for title, key, digits, bar in (
            (f"peak over {options.short_s} s, MB", "short_peak_rss_mb", 1, PEAK_BAR_MB),
            (f"peak over {options.long_s} s, MB", "long_peak_rss_mb", 1, PEAK_BAR_MB),
            ("long over short", "peak_ratio", 3, RATIO_BAR),
            ("long: second half over first", "second_half_over_first", 3, ""),
        )
    ]
    harness.print_table(rows)
    content = {
        "runs": runs,
        "summary": summary,
        "bar": {"peak_ratio": RATIO_BAR, "peak_rss_mb": PEAK_BAR_MB},
    }
    harness.write_result(options.out, settings=vars(options), load=load, content=content)


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__, name="memory")
    harness.add_engine_options(parser, engine="auto")
    parser.add_argument("--encoder-preset", default="medium", help="x264's own speed")
    parser.add_argument("--short-s", type=int, default=60)
    parser.add_argument("--long-s", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--sample-s", type=float, default=1.0, help="seconds between samples")
    options = parser.parse_args()
    if options.long_s <= options.short_s:
        parser.error("--long-s: must be larger than --short-s")
    return options


def _run(options: argparse.Namespace, clip: Path, folder: Path) -> dict[str, Any]:
    target = folder / "out.mp4"
    report = folder / "report.json"
    command = [harness.demoire(), "clean", str(clip), "-o", str(target), "--overwrite"]
    command += ["--engine", options.engine, "--model", options.model, "--progress", "none"]
    command += ["--encoder-preset", options.encoder_preset, "--report", str(report)]
    child = harness.run_child(command, sample_every_s=options.sample_s)
    found = harness.read_report(report)
    return {
        "frames": found["frames_out"],
        "fps": found["fps"],
        "engine": found["engine"],
        "wall_s": child.wall_s,
        "peak_rss_mb": child.peak_rss_mb,
        "second_half_over_first": _creep(child.rss_samples),
        "rss_samples_s_mb": child.rss_samples[:: 1 + len(child.rss_samples) // _KEPT_SAMPLES],
    }


def _summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    short, long = ([run["peak_rss_mb"] for run in runs[name]] for name in ("short", "long"))
    return {
        "short_peak_rss_mb": harness.summary(short),
        "long_peak_rss_mb": harness.summary(long),
        "peak_ratio": harness.summary([b / a for a, b in zip(short, long, strict=True)]),
        "second_half_over_first": harness.summary(
            [run["second_half_over_first"] for run in runs["long"]]
        ),
    }


def _creep(samples: Sequence[tuple[float, float]]) -> float:
    """Return mean memory in the second half of the run over that in the first, start-up left out.

    Raises:
        SystemExit: The run was too short for samples in both halves.
    """
    settled = [held for _, held in samples[len(samples) // 10 :]]
    half = len(settled) // 2
    if not half:
        raise SystemExit("the run was too short to sample; lower --sample-s or raise --short-s")
    return fmean(settled[half:]) / fmean(settled[:half])


if __name__ == "__main__":
    main()
