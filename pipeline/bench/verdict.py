"""How well the whole uses what its stages could do: judged repeat by repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.bench.figures import spread
from pipeline.bench.gpu import busiest
from pipeline.bench.result import Part, PartName, Sample, Summary, Verdict
from pipeline.bench.task import WHOLE

BAR = 0.9
"""What the whole's frames per second should be of its slowest stage's alone."""


def summary(samples: Sequence[Sample]) -> Summary:
    """Return medians and spread of a part's repeats."""
    uses = [busiest(sample.gpus) if sample.gpus else None for sample in samples]
    return Summary(
        fps=spread([sample.fps for sample in samples]),
        p50_ms=spread([sample.frame_ms.p50 for sample in samples]),
        p95_ms=spread([sample.frame_ms.p95 for sample in samples]),
        p99_ms=spread([sample.frame_ms.p99 for sample in samples]),
        cpu_s=spread([sample.cpu_s for sample in samples]),
        memory_peak_mb=spread([sample.memory_peak_mb for sample in samples]),
        memory_growth_mb=spread([sample.memory_growth_mb for sample in samples]),
        gpu_memory_peak_mb=spread([use.memory_peak_mb if use else None for use in uses]),
        gpu_power_w=spread([use.power_w if use else None for use in uses]),
    )


def verdicts(parts: Mapping[PartName, Part], *, cores: int) -> dict[PartName, Verdict]:
    """Return a verdict for each whole that was measured, with all of its stages.

    Args:
        parts: What was measured, each with as many repeats.
        cores: How many the whole could use.
    """
    found: dict[PartName, Verdict] = {}
    for whole, names in WHOLE.items():
        stages = {name: parts[name] for name in names if name in parts}
        measured = {name: part.samples for name, part in stages.items() if part.samples}
        if whole in parts and parts[whole].samples and len(stages) == len(names):
            found[whole] = _verdict(parts[whole].samples, measured, cores=cores)
    return found


def _verdict(
    whole: Sequence[Sample], stages: Mapping[PartName, Sequence[Sample]], *, cores: int
) -> Verdict:
    medians = {name: spread([sample.fps for sample in of]) for name, of in stages.items()}
    slowest = min(
        (name for name, fps in medians.items() if fps is not None),
        key=lambda name: medians[name].median,  # type: ignore[union-attr]  # None is left out
    )
    of_slowest = [
        _over(all_of, alone) for all_of, alone in zip(whole, stages[slowest], strict=True)
    ]
    bounds = [_bound_fps(repeat, cores=cores) for repeat in zip(*stages.values(), strict=True)]
    of_bound = [
        None if bound is None or sample.fps is None else sample.fps / bound
        for sample, bound in zip(whole, bounds, strict=True)
    ]
    told = spread(of_slowest)
    assert told is not None, "every whole has a speed, and so has its slowest stage"
    return Verdict(
        slowest_stage=slowest,
        of_slowest=told,
        bar=BAR,
        bound_fps=spread(bounds),
        of_bound=spread(of_bound),
    )


def _over(whole: Sample, alone: Sample) -> float | None:
    return None if whole.fps is None or alone.fps is None else whole.fps / alone.fps


def _bound_fps(stages: Sequence[Sample], *, cores: int) -> float | None:
    """Return frames per second with the CPU time of all stages on all cores, none of it idle."""
    # What a device's clock timed costs no CPU of its own: it is in what `infer` took.
    cpu_s = sum(sample.cpu_s for sample in stages if sample.cpu_s is not None)
    return cores / cpu_s if cpu_s > 0 else None
