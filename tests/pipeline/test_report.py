import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.engine import EngineInfo, Flicker
from pipeline.frame import ColourTags
from pipeline.report import Latency, LatencyHistogram, RunReport, StageReport

REPORT = RunReport(
    frames_in=300,
    frames_out=300,
    dropped=0,
    stopped_early=False,
    wall_s=12.345,
    fps=24.3,
    first_frame_s=0.8,
    latency=Latency(p50_ms=31.0, p95_ms=40.0, p99_ms=55.4),
    stages=(
        StageReport(
            name="source",
            frames_in=None,
            frames_out=300,
            get_blocked_s=0.0,
            put_blocked_s=1.5,
            peak_waiting=0,
        ),
    ),
)
ENGINE = EngineInfo(
    backend="openvino", model="nano", device="CPU: a CPU", precision="bf16", version="2026.4"
)


def test_json_has_every_field_and_null_for_the_unknown():
    parsed = json.loads(REPORT.to_json())
    assert set(parsed) == set(RunReport.__dataclass_fields__)
    assert parsed["latency"] == {"p50_ms": 31.0, "p95_ms": 40.0, "p99_ms": 55.4}
    assert parsed["stages"][0]["frames_in"] is None
    assert parsed["av_drift_ms"] is None


def test_json_has_what_is_filled_in_later():
    filled = replace(
        REPORT, engine=ENGINE, colour_in=ColourTags(space=1), decode_errors=2, output="größe.mp4"
    )
    parsed = json.loads(filled.to_json())
    assert parsed["engine"]["precision"] == "bf16"
    assert parsed["colour_in"] == {"space": 1, "primaries": 2, "transfer": 2, "range": 0}
    assert (parsed["decode_errors"], parsed["output"]) == (2, "größe.mp4")


def test_json_refuses_what_json_cannot_say():
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(REPORT, fps=math.nan).to_json()


def test_one_line_of_a_good_run_is_short():
    assert REPORT.one_line() == "300 frames in 12.3 s (24.3 fps), latency 31 ms (p99 55)"


def test_one_line_says_how_much_flicker_went_where_there_was_some():
    assert "flicker -75%" in replace(REPORT, flicker=Flicker(299, 0.4, 0.1)).one_line()
    assert "flicker" not in replace(REPORT, flicker=Flicker(299, 0.01, 0.005)).one_line()


def test_one_line_mentions_what_is_worth_a_look():
    line = replace(
        REPORT, engine=ENGINE, dropped=4, decode_errors=2, stopped_early=True, latency=None
    ).one_line()
    assert line == (
        "300 frames in 12.3 s (24.3 fps), nano on openvino bf16,"
        " 4 dropped, 2 decode errors, stopped early"
    )


@given(
    st.lists(st.floats(1e-5, 1e4), min_size=1, max_size=200),
    st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]),
)
def test_percentile_is_within_one_percent_of_a_sample(seconds, share):
    histogram = LatencyHistogram()
    for duration in seconds:
        histogram.add(duration)
    exact = sorted(seconds)[max(1, math.ceil(share * len(seconds))) - 1]
    assert histogram.percentile(share) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize(("seconds", "kept"), [(0.0, 1e-5), (-1.0, 1e-5), (1e9, 1e4)])
def test_duration_beyond_the_range_counts_as_its_end(seconds, kept):
    histogram = LatencyHistogram()
    histogram.add(seconds)
    assert histogram.percentile(0.5) == pytest.approx(kept, rel=0.02)


def test_summary_is_in_milliseconds():
    histogram = LatencyHistogram()
    for milliseconds in range(1, 101):
        histogram.add(milliseconds / 1000)
    summary = histogram.summary()
    assert summary.p50_ms == pytest.approx(50, rel=0.01)
    assert summary.p95_ms == pytest.approx(95, rel=0.01)
    assert summary.p99_ms == pytest.approx(99, rel=0.01)


def test_histogram_of_nothing_has_no_summary():
    assert LatencyHistogram().summary() is None
    with pytest.raises(ValueError, match="no duration was counted"):
        LatencyHistogram().percentile(0.5)
