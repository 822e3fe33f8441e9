"""Two results, one over the other, and what may be the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.bench.figures import ratio
from pipeline.bench.result import Part, PartName, Ratio, Result, Spread
from pipeline.layers import flattened

Shown = Literal["faster", "slower", "no difference shown", "one repeat: no spread"]

_ABSENT = "-"


@dataclass(frozen=True, kw_only=True)
class StageRatio:
    """One stage of B over the same of A."""

    name: PartName
    fps: Ratio
    """Above 1, B is faster."""
    p50_ms: Ratio | None
    """Of the median frame: below 1, B is faster. None where a difference was none."""
    cpu_s: Ratio | None
    """CPU time of a frame: below 1, B takes less."""
    shown: Shown
    """What the spread of `fps` allows to say."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that is not the same in both."""

    name: str
    """Where it is in the JSON, with dots."""
    a: str
    b: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that two results have to say to each other."""

    stages: tuple[StageRatio, ...]
    left_out: tuple[str, ...]
    """Stages that only one has, or that one has no speed of, in words."""
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]
    """Why the ratios may mean little."""


def compare(a: Result, b: Result) -> Comparison:
    """Return B over A, stage by stage."""
    stages, left_out = [], []
    for name in dict.fromkeys([*a.stages, *b.stages]):
        found = _stage(name, a.stages.get(name), b.stages.get(name))
        if found is not None:
            stages.append(found)
        else:
            left_out.append(f"{name}: {_why(a, b, name)}")
    return Comparison(
        stages=tuple(stages),
        left_out=tuple(left_out),
        differences=tuple(_differences(_told(a), _told(b))),
        warnings=tuple(_warnings(a, b)),
    )


def _stage(name: PartName, a: Part | None, b: Part | None) -> StageRatio | None:
    if a is None or b is None or a.summary is None or b.summary is None:
        return None
    fps = _ratio(b.summary.fps, a.summary.fps)
    if fps is None:
        return None
    return StageRatio(
        name=name,
        fps=fps,
        p50_ms=_ratio(b.summary.p50_ms, a.summary.p50_ms),
        cpu_s=_ratio(b.summary.cpu_s, a.summary.cpu_s),
        shown=_shown(fps, repeats=min(len(a.samples), len(b.samples))),
    )


def _ratio(above: Spread | None, below: Spread | None) -> Ratio | None:
    return None if above is None or below is None else ratio(above, below)


def _shown(fps: Ratio, *, repeats: int) -> Shown:
    if repeats < 2:
        return "one repeat: no spread"
    if fps.includes_one:
        return "no difference shown"
    return "faster" if fps.median > 1 else "slower"


def _why(a: Result, b: Result, name: PartName) -> str:
    """Return why a stage cannot be compared."""
    for label, result in (("A", a), ("B", b)):
        part = result.stages.get(name)
        if part is None:
            return f"not measured in {label}"
        if part.skipped is not None:
            return f"{part.skipped} ({label})"
    return "one of them shows no time that it takes"


def _told(result: Result) -> dict[str, object]:
    """Return everything that may be a reason, by where it is."""
    content = result.model_dump(
        mode="json",
        include={"version", "settings", "input", "engine", "machine", "gpus", "load_before"},
    )
    return dict(flattened(content))


def _differences(a: Mapping[str, object], b: Mapping[str, object]) -> Iterator[Difference]:
    for name in dict.fromkeys([*a, *b]):
        values = [_as_text(of.get(name)) for of in (a, b)]
        if values[0] != values[1]:
            yield Difference(name=name, a=values[0], b=values[1])


def _as_text(value: Any) -> str:  # noqa: ANN401 (whatever JSON has)
    if value is None or value == {}:
        return _ABSENT
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_as_text(one) for one in value)
    if isinstance(value, dict):
        return " ".join(_as_text(one) for one in value.values())
    return str(value)


def _warnings(a: Result, b: Result) -> Iterator[str]:
    sizes = [f"{one.input.width}x{one.input.height}" for one in (a, b)]
    if sizes[0] != sizes[1]:
        yield f"A is of {sizes[0]} and B of {sizes[1]}: the ratios compare different work"
    elif a.input.sha256 != b.input.sha256:
        same = a.input.simulated is not None and a.input.simulated == b.input.simulated
        yield (
            "the inputs were made alike on two machines, but not bit by bit the same: small"
            " differences mean little"
            if same
            else "the inputs are different clips: the ratios compare different work"
        )
    for key, what in (("smoothing", "smoothing"), ("encoder", "encoder")):
        if a.settings.get(key) != b.settings.get(key):
            yield f"the settings of the {what} differ: see below"
    if a.engine is not None and b.engine is not None:
        for key in ("model", "precision"):
            if a.engine.get(key) != b.engine.get(key):
                yield f"A ran {key} {a.engine.get(key)}, B {b.engine.get(key)}"
