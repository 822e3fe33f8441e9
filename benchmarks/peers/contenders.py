"""What is compared: a command or a pair of them each, and what one run of it costs."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import harness
from environment import Environment

SCRIPT = Path(__file__).with_name("peer.vpy")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One transcode of the clip."""

    wall_s: float
    """From the start of the first process to the end of the last."""
    pipeline_s: float
    """From the open input to the finished file, as the program itself timed it."""
    cpu_s: float
    """User and system time of all processes."""
    peak_rss_mb: float
    """Largest resident memory; of two processes, the sum of their largest."""

    def record(self, frames: int) -> dict[str, float]:
        """Return this run for a result."""
        return {
            "process_fps": frames / self.wall_s,
            "pipeline_fps": frames / self.pipeline_s,
            "cpu_ms_per_frame": 1000 * self.cpu_s / frames,
            "peak_rss_mb": self.peak_rss_mb,
        }


@dataclass(frozen=True, kw_only=True)
class Network:
    """One of our networks, exported for the peer."""

    form: str
    path: Path
    multiple: int
    macs: int
    """Multiply-accumulates of a picture."""
    own_macs: int
    """The same of the network as demoire runs it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the peer runs."""

    form: str
    precision: str
    streams: int
    """Inferences that OpenVINO runs at a time."""
    pinning: str
    """Whether OpenVINO's threads are bound to cores, YES or NO."""
    threads: int
    """VapourSynth's."""

    def __str__(self) -> str:
        return (
            f"{self.form}, {self.precision}, {self.streams} stream(s), pinning {self.pinning},"
            f" {self.threads} threads"
        )


@dataclass(frozen=True, kw_only=True)
class Peer:
    """VapourSynth with vs-mlrt, and ffmpeg behind it."""

    environment: Environment
    networks: Mapping[str, Network]
    ffmpeg: str
    index: Path
    """BestSource's index of the clip."""

    def script(self, clip: Path, settings: Settings, *, frames: int | None = None) -> list[str]:
        """Return the command that writes the clean frames as Y4M, the first `frames` only."""
        network = self.networks[settings.form]
        given = asdict(settings) | {
            "form": settings.form.partition("-")[0],
            "clip": clip.resolve(),
            "index": self.index.resolve(),
            "network": network.path.resolve(),
            "multiple": network.multiple,
        }
        command = [self.environment.vspipe, "--container", "y4m"]
        for name, value in given.items():
            command += ["--arg", f"{name}={value}"]
        if frames is not None:
            command += ["--end", str(frames - 1)]
        return [*command, str(SCRIPT), "-"]

    def run(self, script: Sequence[str], encode: Sequence[str]) -> Run:
        """Run a script into an encoder."""
        return run_pipe(script, encode, variables=self.environment.variables)


def demoire_command(
    options: argparse.Namespace, clip: Path, target: Path, *extra: str
) -> list[str]:
    """Return `demoire clean` with the encoder's options, and `extra` ones."""
    command = [harness.demoire(), "clean", str(clip), "-o", str(target), "--overwrite"]
    command += ["--codec", "h264", "--crf", str(options.crf)]
    command += ["--encoder-preset", options.encoder_preset, "--progress", "none"]
    return [*command, "--report", str(target.with_suffix(".json")), *extra]


def run_demoire(command: Sequence[str], target: Path) -> Run:
    """Run `demoire clean`."""
    child = harness.run_child(command)
    return _run(child, harness.read_report(target.with_suffix(".json"))["wall_s"])


def encode_command(
    options: argparse.Namespace,
    source: str,
    target: Path,
    *,
    threads: int,
    decoder_threads: int | None = None,
) -> list[str]:
    """Return the ffmpeg program's transcode: of a file, or of Y4M on its stdin (`-`)."""
    command = [options.ffmpeg, "-hide_banner", "-nostats", "-benchmark", "-y"]
    if source == "-":
        command += ["-f", "yuv4mpegpipe"]
    else:
        command += ["-nostdin", "-threads", str(decoder_threads)]
    command += ["-i", source, "-map", "0:v:0", "-fps_mode", "passthrough", "-c:v", "libx264"]
    command += ["-crf", str(options.crf), "-preset", options.encoder_preset]
    # demoire puts the index in front, which moves the whole file once at the end.
    return [*command, "-threads", str(threads), "-movflags", "+faststart", str(target)]


def lossless_command(options: argparse.Namespace, target: Path) -> list[str]:
    """Return the ffmpeg program's copy of Y4M on its stdin, bit for bit."""
    command = [options.ffmpeg, "-hide_banner", "-nostats", "-benchmark", "-y"]
    return [*command, "-f", "yuv4mpegpipe", "-i", "-", "-c:v", "ffv1", str(target)]


def run_ffmpeg(command: Sequence[str]) -> Run:
    """Run the ffmpeg program."""
    child = harness.run_child(command)
    return _run(child, _benchmark_s(child.stderr))


def _run(child: harness.ChildRun, pipeline_s: float) -> Run:
    return Run(
        wall_s=child.wall_s,
        pipeline_s=pipeline_s,
        cpu_s=child.cpu_s,
        peak_rss_mb=child.peak_rss_mb,
    )


def run_pipe(
    producer: Sequence[str], encode: Sequence[str], *, variables: Mapping[str, str]
) -> Run:
    """Run two commands, the first one's stdout being the second one's stdin, and add their costs.

    Args:
        producer: Program and arguments.
        encode: The ffmpeg program with `-benchmark`.
        variables: The environment of both.

    Raises:
        SystemExit: One of them failed; its last words are in the message.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as heard:
        began = time.perf_counter()
        with (
            subprocess.Popen(producer, stdout=subprocess.PIPE, stderr=said, env=variables) as first,
            subprocess.Popen(
                encode, stdin=first.stdout, stdout=subprocess.DEVNULL, stderr=heard, env=variables
            ) as second,
        ):
            try:
                assert first.stdout is not None
                first.stdout.close()  # or the producer would not notice that the encoder ended
                costs = [_wait(second), _wait(first)]
            except BaseException:
                for child in (first, second):
                    with suppress(ProcessLookupError):
                        child.kill()
                raise
        wall_s = time.perf_counter() - began
        words = [_text(said), _text(heard)]
    for child, command, last in zip((first, second), (producer, encode), words, strict=True):
        if child.returncode:
            sys.exit(f"`{shlex.join(command)}` failed with {child.returncode}:\n{last[-2000:]}")
    return Run(
        wall_s=wall_s,
        pipeline_s=_benchmark_s(words[1]),
        cpu_s=sum(cpu_s for cpu_s, _ in costs),
        peak_rss_mb=sum(peak for _, peak in costs),
    )


def _wait(child: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Wait for a child and return its CPU seconds and peak memory in megabytes."""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)  # or Popen waits once more
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / harness.MEGABYTE


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()


def _benchmark_s(stderr: str) -> float:
    """Return the seconds that ffmpeg's `-benchmark` says the transcode took."""
    found = re.search(r"bench: utime=\S+ stime=\S+ rtime=([\d.]+)s", stderr)
    if found is None:
        sys.exit("ffmpeg printed no `bench:` line; is it version 5.1 or later?")
    return float(found[1])


def export(model: str, form: str, *, size: str, folder: Path) -> Network:
    """Return one of our networks, exported for the peer by a process of its own.

    Raises:
        SystemExit: It cannot be exported.
    """
    path = folder / f"{form}-{size}.onnx"
    command = [sys.executable, str(Path(__file__).with_name("networks.py"))]
    command += ["--model", model, "--form", form, "--size", size, "--out", str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit("exporting failed, see above; it needs the extra `train`: pip install '.[train]'")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Network(form=form, path=path, **found)
