"""Results of `demoire bench` as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from pipeline.bench.compare import Comparison
from pipeline.bench.result import Input, PartName, Result, Spread, Summary, Verdict

_NAMES: dict[PartName, str] = {
    "whole_null": "whole to null",
    "whole_encoded": "whole",
}
_CAPTION = "p50, p95, p99 and CPU in ms a frame; peak and growth in MB"
_MILLI = 1000
_PAIR = 2


def result_tables(result: Result) -> Iterator[Table | str]:
    """Yield what a terminal shows of a result."""
    yield _heading(result)
    yield ""
    yield _stages(result)
    yield ""
    yield from _notes(result)
    for name, verdict in result.whole.items():
        yield from _verdict(name, verdict, cores=result.machine["cores"])


def comparison_tables(found: Comparison, *, a: str, b: str) -> Iterator[Table | str]:
    """Yield what a terminal shows of a comparison."""
    yield f"B {b} over A {a}; spread of fps: B's least over A's largest, to the reverse"
    yield ""
    table = Table(box=None)
    table.add_column("stage", no_wrap=True)
    for name in ("fps", "spread", "ms p50", "CPU"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for stage in found.stages:
        spread = f"{stage.fps.min:.2f} to {stage.fps.max:.2f}"
        others = (_middle(each, 2) for each in (stage.p50_ms, stage.cpu_s))
        table.add_row(_name(stage.name), f"{stage.fps.median:.2f}", spread, *others, stage.shown)
    yield table
    for line in found.left_out:
        yield f"not compared: {line}"
    yield ""
    if not found.differences:
        yield "nothing that was noted differs between the two"
        return
    differing = Table("what differs", "A", "B", box=None)
    for difference in found.differences:
        differing.add_row(difference.name, difference.a, difference.b)
    yield differing


def _heading(result: Result) -> str:
    settings, machine = result.settings, result.machine
    lines = [
        f"input    {_input(result.input, settings.get('decoder', 'cpu'))}",
        f"machine  {machine['cpu']}, {machine['cores']} cores",
    ]
    if result.gpus:
        gpus = ", ".join(f"{gpu.name} (driver {gpu.driver})" for gpu in result.gpus)
        lines.append(f"gpu      {gpus}")
    if result.engine is not None:
        engine = result.engine
        lines.append(
            f"engine   {engine['backend']}: {engine['model']} in {engine['precision']} on"
            f" {engine['device']}, {engine['version']}"
        )
    lines.append(
        f"repeats  {settings['repeats']} of {settings['frames']} frames after"
        f" {settings['warmup']}: median (least to largest)"
    )
    return "\n".join(lines)


def _input(of: Input, decoder: str) -> str:
    words = [f"{of.name}: {of.codec} {of.width}x{of.height} {of.pixel_format}"]
    if of.frame_rate is not None:
        words.append(f"{of.frame_rate:.5g} fps")
    if of.mbit_s is not None:
        words.append(f"{of.mbit_s:.1f} Mbit/s")
    if of.simulated is not None:
        words.append("a simulated filmed screen")
    if decoder != "cpu":
        words.append(f"decoded on {decoder}")
    return ", ".join(words)


def _stages(result: Result) -> Table:
    parts = result.stages
    on_gpu = any(
        part.summary and (part.summary.gpu_memory_peak_mb or part.summary.gpu_power_w)
        for part in parts.values()
    )
    columns = ["fps", "least to most", "p50", "p95", "p99", "CPU", "peak", "growth"]
    columns += ["GPU MB", "GPU W"] if on_gpu else []
    table = Table(box=None, caption=_CAPTION, caption_justify="left")
    table.add_column("stage", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for name, part in parts.items():
        if part.summary is not None:
            table.add_row(_name(name), *_figures(part.summary)[: len(columns)])
    return table


def _figures(of: Summary) -> list[str]:
    fps = of.fps
    return [
        "none shown" if fps is None else f"{fps.median:.1f}",
        "" if fps is None else f"{fps.min:.1f} to {fps.max:.1f}",
        *(_middle(each, 1) for each in (of.p50_ms, of.p95_ms, of.p99_ms)),
        _middle(of.cpu_s, 1, scale=_MILLI),
        *(_middle(each, 0) for each in (of.memory_peak_mb, of.memory_growth_mb)),
        *(_middle(each, 0) for each in (of.gpu_memory_peak_mb, of.gpu_power_w)),
    ]


def _notes(result: Result) -> Iterator[str]:
    for name, part in result.stages.items():
        if part.skipped is not None:
            yield f"{_name(name)}: {part.skipped}"
        latencies = [sample.latency_ms for sample in part.samples if sample.latency_ms]
        if latencies:
            middle = sorted(latencies, key=lambda latency: latency.p50)[len(latencies) // _PAIR]
            yield (
                f"{_name(name)}: a frame is on its way for {middle.p50:.0f} ms"
                f" (95 %: {middle.p95:.0f}, 99 %: {middle.p99:.0f})"
            )
        overlapped = [s.overlapped_fps for s in part.samples if s.overlapped_fps]
        if overlapped:
            middle_fps = sorted(overlapped)[len(overlapped) // _PAIR]
            yield f"{_name(name)}: {middle_fps:.1f} fps with copies, overlapped"
    if result.gpus is None:
        yield f"GPU: {result.gpus_reason}"


def _verdict(name: PartName, verdict: Verdict, *, cores: int) -> Iterator[str]:
    yield (
        f"{_name(name)}: {_spread(verdict.of_slowest, 2)} of its slowest stage alone,"
        f" {_name(verdict.slowest_stage)} (bar: {verdict.bar:g})"
    )
    if verdict.bound_fps is not None and verdict.of_bound is not None:
        yield (
            f"{_name(name)}: {_spread(verdict.of_bound, 2)} of {verdict.bound_fps.median:.1f} fps,"
            f" its stages' CPU time spread over {cores} cores with nothing idle"
        )


def _name(part: PartName) -> str:
    return _NAMES.get(part, part)


def _spread(found: Spread, digits: int) -> str:
    return f"{found.median:.{digits}f} ({found.min:.{digits}f} to {found.max:.{digits}f})"


def _middle(found: Spread | None, digits: int, *, scale: float = 1) -> str:
    return "-" if found is None else f"{scale * found.median:.{digits}f}"
