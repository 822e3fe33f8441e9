"""Medians, percentiles and ratios; the few formulas that figures are made with."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pipeline.bench.result import Milliseconds, Ratio, Spread


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0..1) of the values do not exceed, one of them.

    Raises:
        ValueError: There are none, or the share is no share.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError(f"needs values and a share from 0 to 1, got {len(values)} and {share}")
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


def milliseconds(seconds: Sequence[float]) -> Milliseconds:
    """Return mean and percentiles of durations in seconds."""
    p50, p95, p99 = (1000 * percentile(seconds, share) for share in (0.5, 0.95, 0.99))
    return Milliseconds(mean=1000 * statistics.fmean(seconds), p50=p50, p95=p95, p99=p99)


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return median, least and largest; None where there is nothing, or not in every repeat."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return Spread(median=statistics.median(known), min=min(known), max=max(known))


def ratio(above: Spread, below: Spread) -> Ratio | None:
    """Return one figure over another, as far apart as their repeats allow.

    The spread reaches from the least of `above` over the largest of `below` to the reverse: any
    repeat of one over any of the other lies within. None where that divides by nothing.
    """
    if min(below.min, below.median) <= 0:
        return None
    return Ratio(
        median=above.median / below.median,
        min=above.min / below.max,
        max=above.max / below.min,
    )
