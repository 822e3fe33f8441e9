"""How fast video is cleaned end to end, and where each millisecond of a frame goes.

Runs `demoire clean` as users do; then decoding, the engine and encoding alone; then the pipeline
with the CPU time of each of its threads. See README.md for what counts as outside of these three.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import harness

BAR = 0.10

_SOURCE, _CLEAN, _SINK = "python demoire-source", "python demoire-clean", "python MainThread"


def main() -> None:
    """Measure, print and write."""
    options = _options()
    load = harness.warn_if_busy()
    clip = harness.make_clip(seconds=options.seconds, size=options.size, loop_s=options.loop_s)
    with harness.scratch() as folder:
        pairs = [
            [_run_command(options, clip, folder, smooth=smooth) for smooth in ("auto", "off")]
            for _ in range(options.repeats)
        ]
        runs, unsmoothed = ([pair[index] for pair in pairs] for index in range(2))
        legs = {
            name: [_run_leg(name, options, clip, folder) for _ in range(options.repeats)]
            for name in ("decode", "engine", "encode", "together")
        }
    shares = [
        core_time(together, decode=decode, encode=encode, cores=harness.usable_cores())
        for together, decode, encode in zip(
            legs["together"], legs["decode"], legs["encode"], strict=True
        )
    ]
    summary = {
        "command": _summarise_runs(runs),
        "command_without_smoothing": _summarise_runs(unsmoothed),
        "alone": _summarise_legs(legs),
        "core_time": {key: harness.summary([s[key] for s in shares]) for key in shares[0]},
    }
    content = {
        "runs": runs,
        "runs_without_smoothing": unsmoothed,
        "legs": legs,
        "core_time": shares,
        "summary": summary,
        "bar": {"outside_share": BAR},
    }
    _print(summary)
    harness.write_result(options.out, settings=vars(options), load=load, content=content)


def core_time(
    together: Mapping[str, Any],
    *,
    decode: Mapping[str, float],
    encode: Mapping[str, float],
    cores: int,
) -> dict[str, float]:
    """Book the time of all cores, in milliseconds per frame, and the share that is overhead.

    The source's thread and the sink's call into decoder and encoder as well as doing the pipeline's
    work. What the calls cost is taken from the bare loops; the rest is the pipeline's.

    Args:
        together: What the leg `together` found.
        decode: What the leg `decode` found.
        encode: What the leg `encode` found.
        cores: How many there are.
    """
    threads = dict(together["thread_cpu_ms"])
    other_programs = cores * together["wall_ms"] - together["cpu_ms"] - together["idle_ms"]
    source, clean, sink = (threads.pop(name) for name in (_SOURCE, _CLEAN, _SINK))
    # A call may cost less in the pipeline, where the picture is still in the processor's cache.
    in_decoder = min(decode["calling_thread_cpu_ms"], source)
    in_encoder = min(encode["calling_thread_cpu_ms"], sink)
    decoders = [name for name in threads if name.startswith("av:") or name == "decode"]
    # From Python 3.14 on, what the clean stage's thread starts has its name.
    engines = [name for name in threads if name in ("engine", "demoire-clean")]
    booked = {
        "decode": sum(threads.pop(name) for name in decoders) + in_decoder,
        "inference": sum(threads.pop(name) for name in engines),
        "encode": threads.pop("encode", 0.0) + in_encoder,
        "outside_source": source - in_decoder,
        "outside_clean": clean,
        "outside_sink": sink - in_encoder,
    }
    booked["outside_other"] = together["cpu_ms"] - sum(booked.values())
    booked["idle"] = together["idle_ms"]
    ours = together["cpu_ms"] + together["idle_ms"]
    work = booked["decode"] + booked["inference"] + booked["encode"]
    return booked | {
        "sum": ours,
        "other_programs": other_programs,
        "outside_share": 1 - work / ours,
        "outside_share_without_idle": (together["cpu_ms"] - work) / ours,
    }


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__, name="speed")
    harness.add_encoder_options(parser)
    harness.add_engine_options(parser, engine="openvino")
    parser.add_argument("--seconds", type=int, default=20, help="length of the clip")
    parser.add_argument("--loop-s", type=int, default=10, help="of which this much is drawn")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", type=int, default=300, help="of engine and encoder alone")
    parser.add_argument("--skip", type=int, default=30, help="frames left out at both ends")
    options = parser.parse_args()
    if options.seconds * 30 <= 2 * options.skip:
        parser.error(f"--skip: leaves nothing of {options.seconds * 30} frames")
    return options


def _run_command(
    options: argparse.Namespace, clip: Path, folder: Path, *, smooth: str
) -> dict[str, Any]:
    target = folder / "out.mp4"
    command = [harness.demoire(), "clean", str(clip), "-o", str(target), "--overwrite"]
    command += ["--engine", options.engine, "--model", options.model, "--codec", "h264"]
    command += ["--crf", str(options.crf), "--encoder-preset", options.encoder_preset]
    command += [
        "--smooth",
        smooth,
        "--progress",
        "none",
        "--report",
        str(target.with_suffix(".json")),
    ]
    child = harness.run_child(command)
    report = harness.read_report(target.with_suffix(".json"))
    print(f"demoire clean --smooth {smooth}: {report['fps']:.2f} fps", flush=True)
    return {
        "process_s": child.wall_s,
        "process_fps": report["frames_out"] / child.wall_s,
        "cpu_ms_per_frame": 1000 * child.cpu_s / report["frames_out"],
        "peak_rss_mb": child.peak_rss_mb,
        "report": report,
    }


def _run_leg(name: str, options: argparse.Namespace, clip: Path, folder: Path) -> dict[str, Any]:
    target = folder / "leg.mp4"
    target.unlink(missing_ok=True)
    command = [sys.executable, str(harness.HERE / "legs.py"), name, str(clip)]
    command += ["--target", str(target), "--frames", str(options.frames)]
    command += ["--skip", str(options.skip), "--engine", options.engine, "--model", options.model]
    command += ["--encoder-preset", options.encoder_preset, "--crf", str(options.crf)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"the part {name!r} alone failed; see above")
    print(f"{name}: done", flush=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _summarise_runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the medians of the runs of the command, blocked times in milliseconds per frame."""
    reports = [run["report"] for run in runs]
    blocked = {
        f"{stage['name']} {side}": harness.summary(
            [
                1000 * report["stages"][index][f"{side}_blocked_s"] / report["frames_out"]
                for report in reports
            ]
        )
        for index, stage in enumerate(reports[0]["stages"])
        for side in ("get", "put")
    }
    return {
        "pipeline_fps": harness.summary([report["fps"] for report in reports]),
        "process_fps": harness.summary([run["process_fps"] for run in runs]),
        "cpu_ms_per_frame": harness.summary([run["cpu_ms_per_frame"] for run in runs]),
        "latency": {
            name: harness.summary([report["latency"][name] for report in reports])
            for name in ("p50_ms", "p95_ms", "p99_ms")
        },
        "blocked_ms_per_frame": blocked,
    }


def _summarise_legs(legs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    overlapped = [leg["overlapped"] for leg in legs["engine"]]
    alone = [leg["alone"] for leg in legs["engine"]]
    timed = {"decode": legs["decode"], "engine": overlapped, "encode": legs["encode"]}
    timed["together"] = legs["together"]
    found: dict[str, Any] = {
        name: {key: harness.summary([leg[key] for leg in of]) for key in ("wall_ms", "cpu_ms")}
        for name, of in timed.items()
    }
    found["engine_one_at_a_time"] = {
        key: harness.summary([leg[key]["mean"] for leg in alone])
        for key in ("submit_ms", "result_ms")
    }
    found["frame_interval_ms"] = {
        key: harness.summary([leg["frame_interval_ms"][key] for leg in legs["together"]])
        for key in ("p50", "p95", "p99")
    }
    return found


def _print(summary: Mapping[str, Any]) -> None:
    command, alone = summary["command"], summary["alone"]
    plain = summary["command_without_smoothing"]
    rows: list[tuple[str, ...]] = [("demoire clean", "median (min to max)", "--smooth off")]
    rows += [
        (title, harness.spread(command[key]), harness.spread(plain[key]))
        for title, key in (
            ("fps, pipeline", "pipeline_fps"),
            ("fps, whole process", "process_fps"),
            ("CPU ms per frame", "cpu_ms_per_frame"),
        )
    ]
    rows += [
        (f"latency {key}", harness.spread(value), harness.spread(plain["latency"][key]))
        for key, value in command["latency"].items()
    ]
    rows += [
        (
            f"blocked ms per frame, {key}",
            harness.spread(value),
            harness.spread(plain["blocked_ms_per_frame"][key]),
        )
        for key, value in command["blocked_ms_per_frame"].items()
        if key not in ("source get", "sink put")  # there is nothing to wait for
    ]
    harness.print_table(rows)
    rows = [("ms per frame", "wall", "CPU")]
    for step in ("decode", "engine", "encode", "together"):
        figures = (harness.spread(alone[step][key]) for key in ("wall_ms", "cpu_ms"))
        rows.append((step if step == "together" else f"{step} alone", *figures))
    single = alone["engine_one_at_a_time"]
    rows.append(("one picture: copy in, start", harness.spread(single["submit_ms"]), ""))
    rows.append(("one picture: inference, result", harness.spread(single["result_ms"]), ""))
    harness.print_table(rows)
    _print_core_time(summary["core_time"])


def _print_core_time(found: Mapping[str, Mapping[str, float]]) -> None:
    total = found["sum"]["median"]
    rows = [("time of all cores, together", "ms per frame", "share")]
    for key, figures in found.items():
        if "share" not in key and key != "other_programs":
            middle = figures["median"]
            rows.append((key, harness.spread(figures), f"{middle / total:.1%}"))
    harness.print_table(rows)
    print(f"other programs took {found['other_programs']['median']:.2f} ms, not counted here")
    for key in ("outside_share", "outside_share_without_idle"):
        print(f"{key}: {found[key]['median']:.1%}")
    print(f"bar: an outside_share of at most {BAR:.0%}")


if __name__ == "__main__":
    main()
