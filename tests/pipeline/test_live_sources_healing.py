"""Healed timestamps rise, follow the source where it is right and the clock where it is not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.live.sources import healing

STEP_S = 1 / 30
ANYTHING = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, 26 * 3600.0])),
        st.floats(0, 20),
    ),
    min_size=1,
    max_size=60,
)


def run(pictures, *, reconnect_at=()):
    """The timelines of pictures, each (source_s, arrival_s)."""
    timelines = []
    for number, (source_s, arrival_s) in enumerate(pictures):
        if not timelines:
            timelines.append(healing.begin(source_s, arrival_s))
            continue
        before = timelines[-1]
        if number in reconnect_at:
            before = healing.reconnected(before)
        timelines.append(healing.heal(before, source_s, arrival_s))
    return timelines


def seconds(timelines):
    return [timeline.pts / 90_000 for timeline in timelines]


def regular(count, *, begin_s=0.0, late=lambda number: 0.0):
    return [(begin_s + n * STEP_S, 1000 + n * STEP_S + late(n)) for n in range(count)]


@settings(max_examples=60)
@given(ANYTHING, st.sets(st.integers(0, 60)))
def test_timestamps_rise_whatever_the_source_says(pictures, reconnects):
    arrival_s, timed = 50.0, []
    for source_s, wait_s in pictures:
        arrival_s += wait_s
        timed.append((source_s, arrival_s))
    found = [timeline.pts for timeline in run(timed, reconnect_at=reconnects)]
    assert found == sorted(set(found))


@settings(max_examples=60)
@given(ANYTHING)
def test_time_never_runs_far_ahead_of_the_arrivals(pictures):
    arrival_s, timed = 50.0, []
    for source_s, wait_s in pictures:
        arrival_s += wait_s
        timed.append((source_s, arrival_s))
    ahead = [
        time_s - (arrival - timed[0][1])
        for time_s, (_, arrival) in zip(seconds(run(timed)), timed, strict=True)
    ]
    assert max(ahead) < 12.5


@settings(max_examples=40)
@given(st.lists(st.floats(0, 0.4), min_size=80, max_size=80))
def test_a_good_source_is_left_alone_whatever_the_network_does(delays):
    found = run(regular(80, begin_s=12_345.6, late=lambda number: delays[number]))
    steps = [b - a for a, b in zip(seconds(found), seconds(found)[1:], strict=False)]
    assert steps == pytest.approx([STEP_S] * 79, rel=0.011)
    assert not any(timeline.jumped for timeline in found[1:])


@pytest.mark.parametrize("jump_s", [-100_000.0, -3600.0, -1.5, 1.5, 26 * 3600.0])
def test_a_jump_is_replaced_by_the_clock(jump_s):
    first, second = regular(30), regular(60)[30:]
    found = run([*first, *((source + jump_s, arrival) for source, arrival in second)])
    assert [n for n, one in enumerate(found) if one.jumped] == [0, 30]
    assert seconds(found) == pytest.approx([n * STEP_S for n in range(60)], abs=0.01)


def test_missing_timestamps_are_those_of_the_arrivals():
    timed = regular(60)
    found = run([(None if 20 <= n < 40 else one[0], one[1]) for n, one in enumerate(timed)])
    assert seconds(found) == pytest.approx([n * STEP_S for n in range(60)], abs=0.01)
    assert [n for n, one in enumerate(found) if one.healed and n] == list(range(20, 41))
    assert not any(one.jumped for one in found[1:])


def test_a_repeated_timestamp_costs_one_picture_its_place():
    timed = regular(10)
    timed[5] = (timed[4][0], timed[5][1])
    found = run(timed)
    assert [n for n, one in enumerate(found) if one.healed and n] == [5]
    assert not any(one.jumped for one in found[1:])
    assert seconds(found) == pytest.approx([n * STEP_S for n in range(10)], abs=0.02)


def test_a_freeze_and_the_burst_behind_it_keep_their_times():
    timed = regular(120)
    thaw_s = timed[90][1]
    frozen = [(source, max(arrival, thaw_s) if n >= 30 else arrival) for n, (source, arrival) in
              enumerate(timed)]  # fmt: skip
    found = run(frozen)
    assert not any(one.jumped for one in found[1:])
    assert seconds(found) == pytest.approx([n * STEP_S for n in range(120)], abs=0.05)


def test_a_source_whose_clock_stood_still_is_brought_back_to_the_present():
    timed = [(s, a + (3 if n >= 30 else 0)) for n, (s, a) in enumerate(regular(150))]
    found = run(timed)
    assert [n for n, one in enumerate(found) if one.jumped][1:] == [91]
    assert seconds(found)[-1] == pytest.approx(timed[-1][1] - timed[0][1], abs=0.1)


def test_clocks_that_drift_apart_for_hours_are_no_jump():
    timed = [(n * 1.0005, 1000.0 + n) for n in range(4 * 3600)]
    found = run(timed)
    assert not any(one.jumped for one in found[1:])
    assert seconds(found)[-1] == pytest.approx(4 * 3600 - 1, abs=0.2)


def test_a_reconnect_goes_on_after_the_gap():
    again = [(7.0 + n * STEP_S, 1010 + n * STEP_S) for n in range(30)]
    found = run([*regular(30), *again], reconnect_at={30})
    assert seconds(found)[30] == pytest.approx(10, abs=0.01)
    assert seconds(found)[-1] == pytest.approx(10 + 29 * STEP_S, abs=0.01)
