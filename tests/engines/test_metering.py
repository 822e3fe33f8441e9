"""Exposure and white balance that follow the screen, late."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.simulate.conditions import Conditions
from engines.simulate.metering import Meter, Metering, draw_metering

GREY, WHITE, BLACK = (np.full((64, 80, 3), level, np.uint8) for level in (100, 255, 0))
ORANGE = np.full((64, 80, 3), (220, 120, 30), np.uint8)
CONDITIONS = Conditions()


def follow(metering, shown, *, step_s=0.1):
    """Return (exposure, red gain, blue gain) relative to the settings, one for each picture."""
    meter, found = Meter(metering), []
    for number, content in enumerate(shown):
        now = meter.follow(CONDITIONS, content, time_s=number * step_s)
        red, blue = now.camera.white_balance
        found.append((now.sensor.exposure / CONDITIONS.sensor.exposure, red, blue))
    return np.array(found)


def test_settled_camera_leaves_a_still_screen_alone():
    np.testing.assert_allclose(follow(Metering(), [GREY] * 5), 1)


def test_brighter_screen_is_exposed_less_after_a_lag():
    exposure = follow(Metering(lag_s=0.5, exposure=0.5), [GREY] + [WHITE] * 40)[:, 0]
    assert exposure[0] == 1
    assert exposure[1] > 0.8  # not at once
    assert (np.diff(exposure) <= 0).all()
    assert exposure[-1] < 0.5


def test_after_the_lag_two_thirds_of_the_way_are_gone():
    stops = np.log2(follow(Metering(lag_s=0.5), [GREY] + [WHITE] * 100)[:, 0])
    assert stops[5] / stops[-1] == pytest.approx(1 - np.exp(-1), abs=0.01)


def test_frame_rate_does_not_change_the_speed():
    slow = follow(Metering(), [GREY] + [WHITE] * 10, step_s=0.2)
    fast = follow(Metering(), [GREY] + [WHITE] * 40, step_s=0.05)
    np.testing.assert_allclose(fast[-1], slow[-1], rtol=0.02)


def test_white_balance_leans_against_the_screen_s_colour():
    *_, (_, red, blue) = follow(Metering(colour=0.3), [GREY] + [ORANGE] * 30)
    assert red < 0.95
    assert blue > 1.05


def test_unsettled_start_fades_away():
    found = follow(Metering(lag_s=0.4, start=(0.5, -0.2, 0.1)), [GREY] * 60)
    assert found[0] == pytest.approx(2 ** np.array([0.5, -0.2, 0.1]))
    assert found[-1] == pytest.approx([1, 1, 1], abs=1e-3)


def test_black_screen_is_not_made_day():
    exposure = follow(Metering(exposure=0.7), [WHITE] + [BLACK] * 200)[:, 0]
    assert 1 < exposure.max() <= 2**1.5 + 1e-9


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_drawn_metering_stays_within_the_documented_ranges(seed):
    drawn = draw_metering(np.random.default_rng(seed))
    assert 0.3 <= drawn.lag_s <= 1.5
    assert 0 <= drawn.exposure <= 1
    assert 0 <= drawn.colour <= 1
    assert max(map(abs, drawn.start)) <= 1
