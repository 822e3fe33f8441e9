"""Bands of a flickering light: how deep, how far apart, and when they move."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.simulate.shutter import (
    Flicker,
    Shutter,
    band_depth,
    draw_flicker,
    draw_shutter,
    row_delays_s,
    row_gain,
)

PWM = Flicker(frequency_hz=240, depth=0.6, dark_share=0.4)

seeds = st.integers(0, 2**32 - 1)
flickers = st.builds(
    Flicker,
    frequency_hz=st.floats(50, 960),
    depth=st.floats(0, 1),
    dark_share=st.floats(0.02, 0.9),
    phase=st.floats(0, 1),
)
exposures_ms = st.floats(0.5, 40)


def over_a_second(flicker, exposure_ms):
    """Gains at beginnings over a second: as many whole periods as the frequency says."""
    return row_gain(flicker, np.arange(200_000) / 200_000, exposure_ms)


def test_rows_of_the_full_picture_take_the_readout():
    rows = 980  # of a 16:9 picture with a half diagonal of 1000
    delays = row_delays_s(Shutter(readout_ms=20), rows=rows, field=1000)
    assert delays[0] == 0
    assert delays[-1] == pytest.approx(0.020, rel=2e-3)
    assert np.ptp(np.diff(delays)) < 1e-12


def test_rows_of_a_window_take_their_share_of_the_readout():
    half = row_delays_s(Shutter(readout_ms=20), rows=490, field=1000)
    assert half[-1] == pytest.approx(0.010, rel=3e-3)


def test_global_shutter_has_no_delays():
    assert not row_delays_s(Shutter(), rows=50, field=1000).any()


@given(flickers, exposures_ms)
@settings(max_examples=50, deadline=None)
def test_flicker_leaves_the_mean_light(flicker, exposure_ms):
    whole = replace(flicker, frequency_hz=round(flicker.frequency_hz))
    gain = over_a_second(whole, exposure_ms)
    assert gain.min() >= 0
    assert gain.mean() == pytest.approx(1, abs=0.02)


@given(flickers, exposures_ms)
@settings(max_examples=50, deadline=None)
def test_band_depth_is_from_the_darkest_to_the_brightest_row(flicker, exposure_ms):
    found = np.ptp(over_a_second(flicker, exposure_ms))
    assert found == pytest.approx(band_depth(flicker, exposure_ms), rel=0.05, abs=0.01)


def test_exposure_of_whole_periods_has_no_bands():
    assert np.ptp(over_a_second(PWM, 1000 / 60)) < 1e-5
    assert band_depth(PWM, 1000 / 60) < 1e-6
    assert np.ptp(over_a_second(PWM, 1000 / 1000)) > 0.5


def test_bands_are_one_period_of_the_light_apart():
    shutter = Shutter(readout_ms=20, exposure_ms=1)
    gain = row_gain(PWM, row_delays_s(shutter, rows=980, field=1000), 1)
    spectrum = np.abs(np.fft.rfft(gain - gain.mean(), 8 * 980))
    assert 8 * 980 / spectrum.argmax() == pytest.approx(980 / (0.020 * 240), rel=0.03)


def test_bands_stand_still_when_the_frame_rate_divides_the_light():
    begins = row_delays_s(Shutter(readout_ms=20), rows=100, field=1000)
    first = row_gain(PWM, begins, 2)
    np.testing.assert_allclose(row_gain(PWM, begins + 1 / 30, 2), first, atol=1e-5)
    assert np.abs(row_gain(PWM, begins + 1 / 29.97, 2) - first).max() > 1e-3


def test_light_that_does_not_flicker_is_steady():
    steady = replace(PWM, depth=0.0)
    np.testing.assert_array_equal(over_a_second(steady, 3.0), 1)


@given(seeds)
@settings(max_examples=80, deadline=None)
def test_drawn_flicker_stays_within_the_documented_ranges(seed):
    rng = np.random.default_rng(seed)
    shutter = draw_shutter(rng)
    assert 8 <= shutter.readout_ms <= 25
    assert 1 <= shutter.exposure_ms <= 34
    flicker = draw_flicker(rng, shutter.exposure_ms)
    assert 50 <= flicker.frequency_hz <= 960
    assert 0 <= flicker.depth <= 1
    assert band_depth(flicker, shutter.exposure_ms) <= 0.3 + 1e-6


def test_drawn_bands_are_faint_and_deep():
    rng = np.random.default_rng(1)
    depths = [band_depth(draw_flicker(rng, exposure), exposure) for exposure in [2.0] * 100]
    assert min(depths) < 0.05
    assert max(depths) > 0.25
