"""When a chain that is too slow does less, and when it does more again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.live.ladder import Ladder

STEPS = ("full", "half", "nothing")


def overloaded(ladder, start_s, *, times=20):
    """Report late pictures, a thirtieth of a second apart; return the time after."""
    for index in range(times):
        ladder.late(start_s + index / 30)
    return start_s + times / 30


def worked(ladder, start_s, costs_s, *, interval_s=1 / 30):
    """Report what pictures cost; return how long that took."""
    for index, cost_s in enumerate(costs_s):
        ladder.worked(cost_s, start_s + index * interval_s, interval_s)
    return len(costs_s) * interval_s


def calm(ladder, start_s, seconds, *, interval_s=1 / 30):
    """Report pictures in time; return whether a step up was taken, and when."""
    for index in range(round(seconds / interval_s)):
        now_s = start_s + index * interval_s
        if ladder.kept_up(now_s, interval_s):
            return now_s
    return None


def test_begins_with_all_of_the_work():
    assert Ladder(STEPS, start_s=0).step == "full"


def test_a_hiccup_changes_nothing():
    ladder = Ladder(STEPS, start_s=0)
    for start_s in (5, 8, 11):
        overloaded(ladder, start_s, times=9)
    assert ladder.step == "full"


def test_pictures_that_stay_late_take_it_a_step_down():
    ladder = Ladder(STEPS, start_s=0)
    overloaded(ladder, 5)
    assert (ladder.step, ladder.changes) == ("half", 1)


def test_first_moments_after_a_step_judge_nothing():
    ladder = Ladder(STEPS, start_s=0)
    overloaded(ladder, 0, times=20)
    assert ladder.step == "full"
    after_s = overloaded(ladder, 5)
    overloaded(ladder, after_s, times=20)
    assert ladder.step == "half"


def test_nothing_is_judged_while_something_else_takes_the_cores():
    ladder = Ladder(STEPS, start_s=0)
    for index in range(300):
        now_s = 5 + index / 30
        ladder.settle(now_s)
        ladder.late(now_s)
        ladder.worked(0.1, now_s, 1 / 30)
    assert ladder.step == "full"


def test_the_last_step_is_the_last():
    ladder = Ladder(STEPS, start_s=0)
    for start_s in range(5, 60, 5):
        overloaded(ladder, start_s)
    assert ladder.step == "nothing"
    assert ladder.changes == 2


def test_room_takes_it_up_again():
    ladder = Ladder(STEPS, start_s=0)
    after_s = overloaded(ladder, 5)
    assert calm(ladder, after_s, 20) == pytest.approx(after_s + 5, abs=0.5)
    assert ladder.step == "full"


def test_a_step_that_proved_too_much_is_tried_later_each_time():
    ladder = Ladder(STEPS, start_s=0)
    now_s, waits = 20.0, []
    for _ in range(4):
        down_s = overloaded(ladder, now_s)
        up_s = calm(ladder, down_s, 200)
        waits.append(up_s - down_s)
        now_s = up_s + 2  # too much at once
    assert waits == pytest.approx([5, 10, 20, 40], abs=0.5)


def test_a_step_known_to_be_too_dear_is_not_tried_at_once():
    ladder = Ladder(STEPS, start_s=0)
    after_s = 5 + worked(ladder, 5, [0.05] * 45)
    assert ladder.step == "half"
    assert calm(ladder, after_s, 9) is None
    assert calm(ladder, after_s + 9, 60) is not None  # what made it dear may be gone


def test_a_step_that_takes_all_the_time_there_is_is_left_before_it_is_late():
    ladder = Ladder(STEPS, start_s=0)
    worked(ladder, 2, [0.029] * 90)
    assert ladder.step == "full"
    worked(ladder, 5, [0.031] * 45)
    assert ladder.step == "half"


def test_slow_first_pictures_of_a_step_are_not_what_it_costs():
    ladder = Ladder(STEPS, start_s=0)
    worked(ladder, 2, (0.5, 0.2, 0.2, *[0.01] * 42))
    after_s = overloaded(ladder, 5)
    assert calm(ladder, after_s, 6) is not None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["late", "in time", "rest"]), max_size=300), st.randoms())
def test_whatever_happens_a_step_is_one_of_its_own(happened, random):
    ladder, now_s = Ladder(STEPS, start_s=0), 0.0
    for what in happened:
        before = STEPS.index(ladder.step)
        now_s += random.uniform(0, 0.2) if what != "rest" else 3
        if what == "late":
            ladder.late(now_s)
        elif what == "in time":
            ladder.worked(random.uniform(0, 0.1), now_s, 1 / 30)
            ladder.kept_up(now_s, 1 / 30)
        assert abs(STEPS.index(ladder.step) - before) <= (2 if what == "in time" else 1)


def test_no_steps_are_a_mistake():
    with pytest.raises(ValueError, match="a ladder needs a step"):
        Ladder((), start_s=0)
