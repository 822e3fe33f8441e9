"""The formulas behind the figures, and the verdict on the whole."""

import math
import statistics

import pytest
from bench_results import part, sample
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bench.figures import milliseconds, percentile, ratio, spread
from pipeline.bench.result import GpuUse, Spread
from pipeline.bench.verdict import BAR, summary, verdicts

SPEEDS = st.lists(st.floats(0.1, 1000), min_size=1, max_size=8)


@given(SPEEDS, st.floats(0, 1))
def test_percentile_is_a_value_that_so_many_do_not_exceed(values, share):
    found = percentile(values, share)
    below = sum(value < found for value in values)
    at_most = sum(value <= found for value in values)
    assert found in values
    assert at_most / len(values) >= share
    assert below == 0 or below / len(values) < share


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.1), ([1.0], -0.1)])
def test_percentile_of_nothing_or_of_no_share_is_refused(values, share):
    with pytest.raises(ValueError, match="needs values and a share"):
        percentile(values, share)


def test_milliseconds_are_of_seconds():
    found = milliseconds([0.001 * number for number in range(1, 101)])
    assert (found.p50, found.p95, found.p99) == pytest.approx((50, 95, 99))
    assert found.mean == pytest.approx(50.5)


@given(SPEEDS)
def test_spread_has_median_least_and_largest(values):
    found = spread(values)
    assert (found.min, found.max) == (min(values), max(values))
    assert found.median == statistics.median(values)


@pytest.mark.parametrize("values", [[], [None], [1.0, None]])
def test_spread_of_what_not_every_repeat_has_is_none(values):
    assert spread(values) is None


@given(SPEEDS, SPEEDS)
def test_every_pair_of_repeats_lies_within_the_ratio_s_spread(a, b):
    found = ratio(spread(b), spread(a))
    for one in a:
        for other in b:
            assert found.min <= other / one <= found.max
    assert found.min <= found.median <= found.max


@given(SPEEDS)
def test_a_result_over_itself_shows_no_difference(values):
    found = ratio(spread(values), spread(values))
    assert found.median == 1
    assert found.includes_one


def test_no_ratio_over_nothing():
    assert ratio(Spread(median=1, min=1, max=1), Spread(median=1, min=0, max=2)) is None


STAGES = {
    "decode": part(100.0, 120.0, cpu_s=0.01),
    "transfer": part(skipped="none"),
    "infer": part(50.0, 40.0, cpu_s=0.02),
    "smooth": part(80.0, 90.0, cpu_s=0.01),
    "encode": part(20.0, 30.0, cpu_s=0.06),
}


def test_verdict_compares_the_whole_with_its_slowest_stage_repeat_by_repeat():
    found = verdicts(STAGES | {"whole_null": part(45.0, 38.0)}, cores=2)
    assert list(found) == ["whole_null"]
    verdict = found["whole_null"]
    assert verdict.slowest_stage == "infer"
    assert (verdict.of_slowest.max, verdict.of_slowest.min) == (38 / 40, 45 / 50)
    assert verdict.bar == BAR


def test_only_the_whole_with_an_encoder_counts_encoding():
    wholes = {"whole_null": part(40.0, 40.0), "whole_encoded": part(15.0, 15.0)}
    found = verdicts(STAGES | wholes, cores=2)
    assert [verdict.slowest_stage for verdict in found.values()] == ["infer", "encode"]
    bounds = [verdict.bound_fps.median for verdict in found.values()]
    assert bounds == pytest.approx([2 / 0.04, 2 / 0.10])
    assert found["whole_encoded"].of_bound.median == pytest.approx(15 / 20)


def test_no_verdict_where_a_stage_was_not_asked_for():
    stages = {name: of for name, of in STAGES.items() if name != "smooth"}
    assert verdicts(stages | {"whole_null": part(40.0, 40.0)}, cores=2) == {}


def test_a_stage_that_shows_no_time_is_never_the_slowest():
    stages = STAGES | {"smooth": part(None, 90.0), "whole_null": part(40.0, 40.0)}
    assert verdicts(stages, cores=2)["whole_null"].slowest_stage == "infer"


def test_summary_tells_of_the_gpu_that_was_at_work():
    idle = GpuUse(memory_peak_mb=900, memory_growth_mb=0, power_w=30, power_peak_w=31)
    busy = GpuUse(memory_peak_mb=700, memory_growth_mb=500, power_w=200, power_peak_w=250)
    found = summary([sample(10.0, gpus=[idle, busy]), sample(20.0, gpus=[idle, busy])])
    assert found.gpu_memory_peak_mb.median == 700
    assert found.gpu_power_w.median == 200
    assert math.isclose(found.fps.median, 15)
