"""What a viewer of `demoire live` waits for: from a picture's birth to its decoding by a client.

The source is a simulated camera whose pictures carry their number and the moment they were made;
the client, in this process, decodes the served stream over RTSP and reads them. Both clocks are the
machine's own. Meanwhile other clients join, to see when their first picture comes.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import threading
from statistics import median
from time import perf_counter, sleep
from typing import Any

import av
import harness
import numpy as np

from pipeline.live.sources.stamp import read_stamp

DELAY_BAR_MS, P99_BAR_MS, JOIN_BAR_S, RSS_BAR = 150, 300, 1.0, 1.03
_WARM_UP_S = 10.0
_JOINS = 5


def main() -> None:
    """Measure, print and write."""
    options = _options()
    load = harness.warn_if_busy()
    source = f"test://?size={options.size}&rate={options.rate:g}&stamp=1&motion={options.motion}"
    command = [harness.demoire(), "live", source, "--serve", "rtsp://127.0.0.1:0/clean"]
    command += ["--engine", options.engine, "--model", options.model, "--log", "json"]
    command += ["--max-delay", options.max_delay, *options.extra]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            found = _watch(child, options)
        finally:
            child.send_signal(signal.SIGTERM)
            began = perf_counter()
            child.wait(10)
            ended_s = perf_counter() - began
    found["summary"]["sigterm_to_end_s"] = ended_s
    _print(found["summary"])
    bars = {"delay_ms": DELAY_BAR_MS, "p99_ms": P99_BAR_MS, "join_s": JOIN_BAR_S, "rss": RSS_BAR}
    harness.write_result(
        options.out, settings=vars(options), load=load, content={**found, "bar": bars}
    )


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__, name="live")
    parser.set_defaults(size="1280x720")
    harness.add_engine_options(parser, engine="auto")
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--motion", choices=("tripod", "hand"), default="tripod")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--max-delay", default="300ms", help="as `demoire live --max-delay`")
    parser.add_argument("--transport", choices=("tcp", "udp"), default="tcp")
    parser.add_argument("--extra", nargs="*", default=[], help="more options of `demoire live`")
    return parser.parse_args()


def _watch(child: subprocess.Popen[str], options: argparse.Namespace) -> dict[str, Any]:
    assert child.stdout is not None
    found = re.search(r"rtsp://\S+", child.stdout.readline())
    if found is None:
        raise SystemExit("`demoire live` did not say where it serves")
    steps: list[str] = []
    threading.Thread(target=_read_steps, args=(child, steps), daemon=True).start()
    joins: list[float] = []
    joiner = threading.Thread(target=_join_often, args=(found[0], options, joins), daemon=True)
    joiner.start()
    pictures, memory, cpu = _pictures(child.pid, found[0], options)
    joiner.join(10)
    return {
        "summary": _summary(pictures, memory, cpu, joins),
        "steps": steps,
        "joins_s": joins,
        "rss_mb": [held for _, held in memory][:: max(1, len(memory) // 60)],
    }


def _open(url: str, transport: str) -> Any:  # noqa: ANN401
    quick = {"rtsp_transport": transport, "probesize": "32", "analyzeduration": "0"}
    return av.open(url, options=quick, timeout=(10, 10))


def _pictures(
    pid: int, url: str, options: argparse.Namespace
) -> tuple[list[tuple[float, int, float]], list[tuple[float, float]], float]:
    """Return (when, number, age) of each picture, the server's memory, and its CPU share."""
    pictures: list[tuple[float, int, float]] = []
    memory: list[tuple[float, float]] = []
    began = perf_counter()
    used: list[tuple[float, float]] = []
    with _open(url, options.transport) as container:
        for frame in container.decode(video=0):
            now = perf_counter()
            if now - began < _WARM_UP_S:
                continue
            stamp = read_stamp((np.from_dlpack(frame.planes[0]),))
            if stamp is not None:
                pictures.append((now - began, stamp.index, stamp.age_s(now)))
            if not memory or now - began - memory[-1][0] >= 1:
                memory.append((now - began, harness._resident_mb(pid) or 0.0))
                used.append((now, _cpu_s(pid)))
            if now - began > _WARM_UP_S + options.seconds:
                break
    (first, cpu_first), (last, cpu_last) = used[0], used[-1]
    return pictures, memory, (cpu_last - cpu_first) / (last - first)


def _join_often(url: str, options: argparse.Namespace, joins: list[float]) -> None:
    """Join now and then; note the seconds to the first picture."""
    sleep(_WARM_UP_S)
    for _ in range(_JOINS):
        began = perf_counter()
        with _open(url, options.transport) as container:
            next(container.decode(video=0))
            joins.append(perf_counter() - began)
        sleep(max(0.5, options.seconds / _JOINS / 2))


def _read_steps(child: subprocess.Popen[str], steps: list[str]) -> None:
    """Keep what the ladder says; `extend` adds line by line."""
    assert child.stderr is not None
    steps.extend(line.strip() for line in child.stderr if '"ladder.' in line)


def _cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _summary(
    pictures: list[tuple[float, int, float]],
    memory: list[tuple[float, float]],
    cpu: float,
    joins: list[float],
) -> dict[str, float]:
    ages = [1000 * age for _, _, age in pictures]
    tenth = max(1, len(ages) // 10)
    expected = pictures[-1][1] - pictures[0][1] + 1
    held = [mb for _, mb in memory]
    part = max(1, len(held) // 10)
    return {
        "pictures": len(pictures),
        "missing": expected - len(pictures),
        "fps": (len(pictures) - 1) / (pictures[-1][0] - pictures[0][0]),
        "delay_median_ms": median(ages),
        "delay_p99_ms": float(np.percentile(ages, 99)),
        "delay_first_tenth_ms": median(ages[:tenth]),
        "delay_last_tenth_ms": median(ages[-tenth:]),
        "join_median_s": median(joins),
        "join_max_s": max(joins),
        "rss_last_over_first": median(held[-part:]) / median(held[:part]),
        "rss_mb": median(held),
        "cpu_cores": cpu,
    }


def _print(summary: dict[str, float]) -> None:
    harness.print_table(
        [("figure", "value"), *((key, f"{value:.4g}") for key, value in summary.items())]
    )


if __name__ == "__main__":
    main()
