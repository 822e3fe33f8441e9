"""The same work on what a user would run instead: VapourSynth with vs-mlrt, and ffmpeg as floor.

One clip, one run, one contender after the other: `demoire clean` with and without smoothing, the
peer with our own network in OpenVINO, demoire without a network, and the ffmpeg program. First the
peer's frames are compared with ours, then its settings are tried and the fastest taken. README.md
says what is compared and what is not.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # where what all benchmarks share lies

import contenders
import environment
import harness
import overhead
import picture
from contenders import Network, Peer, Run, Settings

BAR = 2.5
"""Frames per second of demoire over those of vs-mlrt with a network of as many MACs."""

PEERS = {"vsmlrt_rgb": "rgb", "vsmlrt_folded": "rgb-folded", "vsmlrt_planes": "planes"}
"""The peers, and which export of our network each runs."""

RATIOS = (
    *(("demoire", name) for name in PEERS),
    *(("demoire_unsmoothed", name) for name in PEERS),
    ("demoire", "ffmpeg"),
    ("demoire_identity", "ffmpeg"),
)

ORDER = (
    "vsmlrt_rgb",
    "demoire",
    "vsmlrt_folded",
    "vsmlrt_planes",
    "demoire_unsmoothed",
    "demoire_identity",
    "ffmpeg",
)
"""Who runs after whom: those to compare side by side, as machines change their pace."""

Tried = list[tuple[Settings, float]]


def main() -> None:
    """Prepare, check, tune, measure, print and write."""
    options = _options()
    made = environment.prepare(options.python, options.venv)
    load = harness.warn_if_busy()
    clip = harness.make_clip(seconds=options.seconds, size=options.size, loop_s=options.loop_s)
    frames = overhead.count_frames(clip)
    with harness.scratch() as folder:
        precision, pictures = check_pictures(options, made, folder)
        networks = _export(options, options.size, folder)
        peer = Peer(
            environment=made, networks=networks, ffmpeg=options.ffmpeg, index=folder / "clip"
        )
        threads = _threads(options, clip, folder)
        tried = tune(options, peer, clip, precision=precision, encoder=threads["encoder"])
        best = {name: _best(tried, form) for name, form in PEERS.items()}
        runs = measure(options, _runners(options, peer, clip, folder, best, threads), frames)
        _require_equal(folder, frames)
    summary = _summary(runs, frames)
    content = {
        "ffmpeg_program": overhead.ffmpeg_version(options.ffmpeg),
        "peer": made.versions(),
        "macs": {"demoire": networks["planes"].own_macs}
        | {name: networks[form].macs for name, form in PEERS.items()},
        "pictures": pictures,
        "tried": [asdict(settings) | {"pipeline_fps": fps} for settings, fps in tried],
        "best": {name: asdict(settings) for name, settings in best.items()},
        "frames": frames,
        "threads": threads,
        "runs": [{name: run.record(frames) for name, run in turn.items()} for turn in runs],
        "summary": summary,
        "bar": {"fps_ratio": BAR},
    }
    _print(summary, best)
    settings = {k: v for k, v in vars(options).items() if k not in ("python", "venv")}
    harness.write_result(options.out, settings=settings, load=load, content=content)


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__, name="peers")
    harness.add_encoder_options(parser)
    parser.add_argument(
        "--python3.12",
        dest="python",
        default="python3.12",
        help="interpreter that the peer's environment is made with, with a shared library",
    )
    venv = harness.CACHE / "peers-venv"
    parser.add_argument("--venv", type=Path, default=venv, help="the peer's environment")
    parser.add_argument("--ffmpeg", default="ffmpeg", help="the program, 5.1 or up")
    parser.add_argument("--model", default="nano", help="network, as `demoire clean --model`")
    parser.add_argument("--seconds", type=int, default=10, help="length of the clip")
    parser.add_argument("--loop-s", type=int, default=10, help="of which this much is drawn")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--tune-frames", type=int, default=60, help="of each setting of the peer that is tried"
    )
    options = parser.parse_args()
    for option, program in (("--ffmpeg", options.ffmpeg), ("--python3.12", options.python)):
        if shutil.which(program) is None:
            parser.error(f"{option}: there is no program {program!r}")
    return options


def check_pictures(
    options: argparse.Namespace, made: environment.Environment, folder: Path
) -> tuple[str, dict[str, Any]]:
    """Return demoire's floating point, and how close the peer's frames are to its own.

    Raises:
        SystemExit: A peer does not clean as demoire does.
    """
    source, ours = picture.make_clip(folder / "simulated"), folder / "ours.mkv"
    report = ours.with_suffix(".json")
    command = [harness.demoire(), "clean", str(source), "-o", str(ours), "--codec", "ffv1"]
    command += ["--engine", "openvino", "--model", options.model, "--smooth", "off"]
    command += ["--deband", "off", "--progress", "none", "--report", str(report)]
    harness.run_child(command)
    names = harness.read_report(report)["engine"]["precision"].split("+")
    (precision,) = (name for name in names if name != "int8")  # the peer's option has no such
    networks = _export(options, picture.SIZE, folder)
    peer = Peer(
        environment=made, networks=networks, ffmpeg=options.ffmpeg, index=folder / "simulated.index"
    )
    found = {}
    for form in networks:
        target = folder / f"{form}.mkv"
        settings = Settings(form=form, precision=precision, streams=1, pinning="NO", threads=2)
        peer.run(peer.script(source, settings), contenders.lossless_command(options, target))
        found[form] = picture.compare(source, ours, target)
        picture.require_clean(form, found[form])
        print(
            f"{form}: differs by {found[form]['differs_rms']:.2f} levels where"
            f" {found[form]['taken_rms']:.2f} were taken",
            flush=True,
        )
    return precision, found


def _export(options: argparse.Namespace, size: str, folder: Path) -> dict[str, Network]:
    """Return our network in all forms for a size of video."""
    return {
        form: contenders.export(options.model, form, size=size, folder=folder)
        for form in PEERS.values()
    }


def _threads(options: argparse.Namespace, clip: Path, folder: Path) -> dict[str, int]:
    """Return the threads of decoder and encoder that demoire chooses; fills the disk cache, too."""
    target = folder / "demoire_identity.mp4"
    command = contenders.demoire_command(options, clip, target, "--engine", "identity")
    contenders.run_demoire(command, target)
    encoder = int(overhead.x264_written(target)[1]["threads"])
    return {"decoder": overhead.decoder_threads(clip), "encoder": encoder}


def tune(
    options: argparse.Namespace, peer: Peer, clip: Path, *, precision: str, encoder: int
) -> Tried:
    """Return frames per second of the peer with each of its settings, on the clip's beginning."""
    cores = harness.usable_cores()
    target = peer.index.with_name("tuning.mp4")
    encode = contenders.encode_command(options, "-", target, threads=encoder)
    frames = min(options.tune_frames, overhead.count_frames(clip))
    tried = []
    grid = product(peer.networks, (1, cores), ("NO", "YES"), (cores, 2 * cores))
    for number, (form, streams, pinning, threads) in enumerate(grid):
        settings = Settings(
            form=form, precision=precision, streams=streams, pinning=pinning, threads=threads
        )
        script = peer.script(clip, settings, frames=frames)
        if number == 0:
            peer.run(script, encode)  # makes the index of the clip
        fps = frames / peer.run(script, encode).pipeline_s
        tried.append((settings, fps))
        print(f"tried {settings}: {fps:.1f} fps", flush=True)
    return tried


def _best(tried: Tried, form: str) -> Settings:
    """Return the fastest settings of a form."""
    return max((pair for pair in tried if pair[0].form == form), key=lambda pair: pair[1])[0]


def _runners(
    options: argparse.Namespace,
    peer: Peer,
    clip: Path,
    folder: Path,
    best: Mapping[str, Settings],
    threads: Mapping[str, int],
) -> dict[str, Callable[[], Run]]:
    """Return what each contender runs, in the order in which they take turns."""
    engine = ("--engine", "openvino", "--model", options.model)
    ours = {
        "demoire": engine,
        "demoire_unsmoothed": (*engine, "--smooth", "off"),
        "demoire_identity": ("--engine", "identity"),
    }
    runners: dict[str, Callable[[], Run]] = {}
    for name, extra in ours.items():
        target = folder / f"{name}.mp4"
        command = contenders.demoire_command(options, clip, target, *extra)
        runners[name] = partial(contenders.run_demoire, command, target)
    for name, settings in best.items():
        target, encoder = folder / f"{name}.mp4", threads["encoder"]
        encode = contenders.encode_command(options, "-", target, threads=encoder)
        runners[name] = partial(peer.run, peer.script(clip, settings), encode)
    transcode = contenders.encode_command(
        options,
        str(clip),
        folder / "ffmpeg.mp4",
        threads=threads["encoder"],
        decoder_threads=threads["decoder"],
    )
    runners["ffmpeg"] = partial(contenders.run_ffmpeg, transcode)
    return {name: runners[name] for name in ORDER}


def measure(
    options: argparse.Namespace, runners: Mapping[str, Callable[[], Run]], frames: int
) -> list[dict[str, Run]]:
    """Run all contenders in turn, as often as was asked for."""
    turns = []
    for number in range(1, options.repeats + 1):
        turn = {}
        for name, run in runners.items():
            turn[name] = run()
            fps = frames / turn[name].pipeline_s
            print(f"{number}/{options.repeats} {name}: {fps:.1f} fps", flush=True)
        turns.append(turn)
    return turns


def _require_equal(folder: Path, frames: int) -> None:
    """Stop unless all wrote every frame with the same encoder settings."""
    wanted = overhead.x264_written(folder / "demoire.mp4")[1]
    for name in ORDER:
        path = folder / f"{name}.mp4"
        if (found := overhead.count_frames(path)) != frames:
            sys.exit(f"{name} wrote {found} of {frames} frames")
        if (given := overhead.x264_written(path)[1]) != wanted:
            different = sorted(wanted.items() ^ given.items())
            sys.exit(f"x264 ran with other options in {name} than in demoire: {different}")


def _summary(runs: Sequence[Mapping[str, Run]], frames: int) -> dict[str, Any]:
    """Return medians with their spread, and the ratios of each turn's runs."""
    records = [{name: run.record(frames) for name, run in turn.items()} for turn in runs]
    found: dict[str, Any] = {
        name: {key: harness.summary([turn[name][key] for turn in records]) for key in figures}
        for name, figures in records[0].items()
    }
    found["ratios"] = {
        f"{ours} / {theirs}": {
            key: harness.summary([turn[ours][key] / turn[theirs][key] for turn in records])
            for key in ("pipeline_fps", "process_fps")
        }
        for ours, theirs in RATIOS
    }
    return found


def _print(summary: Mapping[str, Any], best: Mapping[str, Settings]) -> None:
    columns = (
        ("fps", "pipeline_fps", 1),
        ("fps, whole process", "process_fps", 1),
        ("CPU ms per frame", "cpu_ms_per_frame", 1),
        ("peak MB", "peak_rss_mb", 0),
    )
    rows = [("median (min to max)", *(title for title, _, _ in columns))]
    for name, figures in summary.items():
        if name != "ratios":
            cells = (harness.spread(figures[key], digits) for _, key, digits in columns)
            rows.append((name, *cells))
    harness.print_table(rows)
    rows = [("ratio of fps", "pipeline", "whole process")]
    for name, figures in summary["ratios"].items():
        rows.append((name, *(harness.spread(figures[key]) for key in figures)))
    harness.print_table(rows)
    for name, settings in best.items():
        print(f"{name}: {settings}")
    print(f"bar: demoire / vsmlrt_rgb of at least {BAR}")


if __name__ == "__main__":
    main()
