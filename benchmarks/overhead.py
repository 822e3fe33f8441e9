"""What the pipeline costs: `demoire clean --engine identity` against the `ffmpeg` program.

Both decode the same clip and encode it with x264 at the same settings, thread counts and container,
one after the other, A B A B. The options that x264 wrote into both outputs must agree.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness

BAR = 0.95


@dataclass(frozen=True, kw_only=True)
class Run:
    """One transcode."""

    process: harness.ChildRun
    pipeline_s: float
    """From the first packet to the finished file, as the program itself timed it."""


def main() -> None:
    """Measure, print and write."""
    options = _options()
    load = harness.warn_if_busy()
    clip = harness.make_clip(seconds=options.seconds, size=options.size, loop_s=options.loop_s)
    frames = count_frames(clip)
    with harness.scratch() as folder:
        ours, theirs = folder / "demoire.mp4", folder / "ffmpeg.mp4"
        clean = _demoire_command(options, clip, ours)
        # The first run of each fills the disk cache and says how many threads x264 took.
        _run_demoire(clean, folder)
        threads = {
            "decoder": decoder_threads(clip),
            "encoder": int(x264_written(ours)[1]["threads"]),
        }
        transcode = _ffmpeg_command(options, clip, theirs, threads)
        _run_ffmpeg(transcode)
        outputs = {"demoire": _output(ours), "ffmpeg": _output(theirs)}
        _require_equal(ours, theirs, frames)
        pairs = []
        for number in range(1, options.pairs + 1):
            pairs.append((_run_demoire(clean, folder), _run_ffmpeg(transcode)))
            print(f"pair {number}/{options.pairs}: {_line(*pairs[-1], frames)}", flush=True)
    summary = _summary(pairs, frames)
    content = {
        "ffmpeg_program": ffmpeg_version(options.ffmpeg),
        "commands": [" ".join(_nameless(command)) for command in (clean, transcode)],
        "frames": frames,
        "threads": threads,
        "outputs": outputs,
        "pairs": [_record(a, b, frames) for a, b in pairs],
        "summary": summary,
        "bar": {"fps_ratio": BAR},
    }
    _print(summary)
    harness.write_result(options.out, settings=vars(options), load=load, content=content)


def count_frames(path: Path) -> int:
    """Return how many frames a video file holds."""
    import av

    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def decoder_threads(clip: Path) -> int:
    """Return how many threads libavcodec takes when it may choose, as the pipeline lets it."""
    import av

    with av.open(str(clip)) as container:
        context = container.streams.video[0].codec_context
        context.thread_type, context.thread_count = "AUTO", 0
        next(container.decode(video=0))
        return context.thread_count


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__, name="overhead")
    harness.add_encoder_options(parser)
    parser.add_argument("--seconds", type=int, default=30, help="length of the clip")
    parser.add_argument("--loop-s", type=int, default=10, help="of which this much is drawn")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--ffmpeg", default="ffmpeg", help="the program to compare with, 5.1 or up")
    options = parser.parse_args()
    if shutil.which(options.ffmpeg) is None:
        parser.error(f"--ffmpeg: there is no program {options.ffmpeg!r}; apt install ffmpeg")
    return options


def _demoire_command(options: argparse.Namespace, clip: Path, target: Path) -> list[str]:
    command = [harness.demoire(), "clean", str(clip), "-o", str(target), "--overwrite"]
    command += ["--engine", "identity", "--codec", "h264", "--crf", str(options.crf)]
    command += ["--encoder-preset", options.encoder_preset, "--progress", "none"]
    return [*command, "--report", str(target.with_suffix(".json"))]


def _ffmpeg_command(
    options: argparse.Namespace, clip: Path, target: Path, threads: dict[str, int]
) -> list[str]:
    command = [options.ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-benchmark", "-y"]
    command += ["-threads", str(threads["decoder"]), "-i", str(clip), "-map", "0:v:0"]
    command += ["-fps_mode", "passthrough", "-c:v", "libx264", "-crf", str(options.crf)]
    command += ["-preset", options.encoder_preset, "-threads", str(threads["encoder"])]
    # demoire puts the index in front, which moves the whole file once at the end.
    return [*command, "-movflags", "+faststart", "-f", "mp4", str(target)]


def _run_demoire(command: list[str], folder: Path) -> Run:
    process = harness.run_child(command)
    report = harness.read_report(folder / "demoire.json")
    return Run(process=process, pipeline_s=report["wall_s"])


def _run_ffmpeg(command: list[str]) -> Run:
    process = harness.run_child(command)
    found = re.search(r"bench: utime=\S+ stime=\S+ rtime=([\d.]+)s", process.stderr)
    if found is None:
        sys.exit("ffmpeg printed no `bench:` line; is it version 5.1 or later?")
    return Run(process=process, pipeline_s=float(found[1]))


def x264_written(path: Path) -> tuple[str, dict[str, str]]:
    """Return the version and the options that x264 wrote into a file's first packet."""
    import av

    with av.open(str(path)) as container:
        packet = next(packet for packet in container.demux(video=0) if packet.size)
        text = bytes(packet).split(b"x264 - ", 1)[-1].split(b"\0", 1)[0].decode(errors="replace")
    version, _, options = text.partition(" - options: ")
    pairs = (word.partition("=") for word in options.split())
    return version.partition(" - ")[0], {name: value for name, _, value in pairs}


def _output(path: Path) -> dict[str, Any]:
    version, options = x264_written(path)
    return {
        "x264": version,
        "x264_options": " ".join(f"{name}={value}" for name, value in options.items()),
        "bytes": path.stat().st_size,
    }


def _require_equal(ours: Path, theirs: Path, frames: int) -> None:
    """Stop unless both did the same work."""
    mine, other = x264_written(ours)[1], x264_written(theirs)[1]
    differing = [
        f"{name} {mine.get(name)} and {other.get(name)}"
        for name in sorted(mine.keys() | other.keys())
        if mine.get(name) != other.get(name)
    ]
    if differing:
        sys.exit(f"x264 ran with different options: {'; '.join(differing)}")
    counts = count_frames(ours), count_frames(theirs)
    if counts != (frames, frames):
        sys.exit(f"of {frames} frames, demoire wrote {counts[0]} and ffmpeg {counts[1]}")


def ffmpeg_version(program: str) -> str:
    """Return the first line's version, e.g. `5.1.9-0+deb12u1`."""
    said = subprocess.check_output([program, "-version"], text=True)
    return said.split(" Copyright", 1)[0].removeprefix("ffmpeg version ")


def _nameless(command: list[str]) -> list[str]:
    """Return a command without folders."""
    return [Path(word).name if "/" in word else word for word in command]


def _ratios(ours: Run, theirs: Run) -> tuple[float, float]:
    """Return fps of demoire over fps of ffmpeg, for the whole process and the pipeline alone."""
    return theirs.process.wall_s / ours.process.wall_s, theirs.pipeline_s / ours.pipeline_s


def _record(ours: Run, theirs: Run, frames: int) -> dict[str, Any]:
    whole, pipeline = _ratios(ours, theirs)
    record: dict[str, Any] = {"fps_ratio_process": whole, "fps_ratio_pipeline": pipeline}
    for name, run in (("demoire", ours), ("ffmpeg", theirs)):
        record[name] = {
            "process_s": run.process.wall_s,
            "process_fps": frames / run.process.wall_s,
            "pipeline_s": run.pipeline_s,
            "pipeline_fps": frames / run.pipeline_s,
            "cpu_ms_per_frame": 1000 * run.process.cpu_s / frames,
            "peak_rss_mb": run.process.peak_rss_mb,
        }
    return record


def _summary(pairs: list[tuple[Run, Run]], frames: int) -> dict[str, Any]:
    ratios = [_ratios(*pair) for pair in pairs]
    found: dict[str, Any] = {
        "fps_ratio_process": harness.summary([whole for whole, _ in ratios]),
        "fps_ratio_pipeline": harness.summary([pipeline for _, pipeline in ratios]),
    }
    for index, name in enumerate(("demoire", "ffmpeg")):
        runs = [pair[index] for pair in pairs]
        found[name] = {
            "process_fps": harness.summary([frames / run.process.wall_s for run in runs]),
            "pipeline_fps": harness.summary([frames / run.pipeline_s for run in runs]),
            "cpu_ms_per_frame": harness.summary([1000 * r.process.cpu_s / frames for r in runs]),
        }
    return found


def _line(ours: Run, theirs: Run, frames: int) -> str:
    whole, pipeline = _ratios(ours, theirs)
    return (
        f"demoire {frames / ours.process.wall_s:.1f} fps, ffmpeg"
        f" {frames / theirs.process.wall_s:.1f} fps; ratio {whole:.3f}, pipeline {pipeline:.3f}"
    )


def _print(summary: Mapping[str, Any]) -> None:
    ours, theirs = summary["demoire"], summary["ffmpeg"]
    rows: list[tuple[str, ...]] = [("median (min to max)", "demoire", "ffmpeg", "ratio")]
    for title, key, ratio in (
        ("fps, whole process", "process_fps", "fps_ratio_process"),
        ("fps, pipeline alone", "pipeline_fps", "fps_ratio_pipeline"),
        ("CPU ms per frame", "cpu_ms_per_frame", None),
    ):
        figures = [harness.spread(found[key], 1) for found in (ours, theirs)]
        rows.append((title, *figures, harness.spread(summary[ratio], 3) if ratio else ""))
    harness.print_table(rows)
    print(f"bar: a ratio of at least {BAR}")


if __name__ == "__main__":
    main()
