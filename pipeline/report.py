"""What a run did and how long it took, for people and for machines."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from engines.engine import WHOLE

if TYPE_CHECKING:
    from engines.engine import EngineInfo, Flicker
    from pipeline.frame import ColourTags


_SEEN_LEVELS = 0.05
"""Mean pulsing, in 8-bit levels, below which nobody saw any."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds from leaving the source to having been written."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, kw_only=True)
class StageReport:
    """What one stage moved and waited for."""

    name: str
    frames_in: int | None
    """Frames it was offered; None for the source."""
    frames_out: int | None
    """Frames it passed on; None for the sink."""
    get_blocked_s: float
    """Seconds it waited for frames: what is upstream is slower."""
    put_blocked_s: float
    """Seconds it waited for room: what is downstream is slower."""
    peak_waiting: int
    """Most frames that ever waited in front of it."""


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """One finished run.

    `Pipeline.run` fills the required fields. What only a source, a sink or the command knows is
    None until that adds it with `dataclasses.replace`.
    """

    frames_in: int
    """Frames that left the source, the dropped ones included."""
    frames_out: int
    """Frames written."""
    dropped: int
    """Frames dropped because the pipeline was too slow; always 0 for files."""
    stopped_early: bool
    """Whether `stop` ended the source before its own end."""
    wall_s: float
    """Seconds from the start until the output was finished."""
    fps: float
    """`frames_out / wall_s`, so the start-up counts."""
    first_frame_s: float | None
    """Seconds from the start until the first frame was written; None without one."""
    latency: Latency | None
    """None when no frame came through."""
    stages: tuple[StageReport, ...]
    """From the source to the sink."""

    input: str | None = None
    output: str | None = None
    decode_errors: int | None = None
    """Packets that the decoder refused."""
    max_pts_change_ms: float | None = None
    """Largest difference between a frame's time in the input and in the output."""
    av_drift_ms: float | None = None
    """How much longer (+) or shorter (-) sound lasts beside the picture than in the input."""
    colour_in: ColourTags | None = None
    colour_out: ColourTags | None = None
    decoder: str | None = None
    """Where pictures were decoded: `cpu`, or `cuda:0` and so on."""
    encoder: str | None = None
    """FFmpeg's name for what encoded them, as `libx264`."""
    engine: EngineInfo | None = None
    flicker: Flicker | None = None
    """What smoothing did; None where it was off or had nothing to compare."""

    def to_json(self) -> str:
        """Return one JSON object with every field; what is not known is `null`."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False)

    def one_line(self) -> str:
        """Return a summary for the terminal; only what is worth a look is mentioned."""
        parts = [f"{self.frames_out} frames in {self.wall_s:.1f} s ({self.fps:.1f} fps)"]
        if self.latency is not None:
            parts.append(f"latency {self.latency.p50_ms:.0f} ms (p99 {self.latency.p99_ms:.0f})")
        if self.engine is not None:
            parts.append(f"{self.engine.model} on {self.engine.backend} {self.engine.precision}")
            if self.engine.fit != WHOLE:
                parts.append(self.engine.fit)
        if self.flicker is not None and self.flicker.before >= _SEEN_LEVELS:
            parts.append(f"flicker {self.flicker.after / self.flicker.before - 1:+.0%}")
        if self.dropped:
            parts.append(f"{self.dropped} dropped")
        if self.decode_errors:
            parts.append(f"{self.decode_errors} decode errors")
        if self.stopped_early:
            parts.append("stopped early")
        return ", ".join(parts)


class LatencyHistogram:
    """Percentiles of any number of durations in constant memory.

    Buckets grow by 2 %, so a percentile is within 1 % of a true sample between 10 µs and 10 000 s;
    durations beyond these count as the nearest end.
    """

    _SHORTEST_S = 1e-5
    _GROWTH = math.log(1.02)
    _BUCKETS = 1048  # 10 µs * 1.02 ** 1047 is 10 000 s

    def __init__(self) -> None:
        self._counts = [0] * self._BUCKETS
        self._total = 0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        ratio = max(seconds / self._SHORTEST_S, 1.0)
        index = min(round(math.log(ratio) / self._GROWTH), self._BUCKETS - 1)
        self._counts[index] += 1
        self._total += 1

    def percentile(self, share: float) -> float:
        """Return the duration in seconds that `share` (0..1) of the counted ones do not exceed.

        Raises:
            ValueError: Nothing was counted yet.
        """
        if not self._total:
            raise ValueError("no duration was counted, so there is no percentile")
        rank = max(1, math.ceil(share * self._total))
        passed = 0
        for index, count in enumerate(self._counts):
            passed += count
            if passed >= rank:
                return self._SHORTEST_S * math.exp(index * self._GROWTH)
        raise AssertionError(f"share must be 0..1, got {share=}")

    def summary(self) -> Latency | None:
        """Return the usual percentiles, None when nothing was counted."""
        if not self._total:
            return None
        p50, p95, p99 = (self.percentile(share) * 1000 for share in (0.5, 0.95, 0.99))
        return Latency(p50_ms=p50, p95_ms=p95, p99_ms=p99)
