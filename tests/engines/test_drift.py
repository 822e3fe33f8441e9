"""Slow changes of tone, told from flicker and from content."""

import numpy as np
import pytest

from engines.smooth.drift import Drift, tone_change

LEVELS = np.random.default_rng(0).uniform(40, 220, 2000).astype(np.float32)


def noise(seed):
    return np.random.default_rng(seed).normal(0, 0.5, LEVELS.shape).astype(np.float32)


def test_a_gain_and_an_offset_are_found():
    assert tone_change(LEVELS, LEVELS * 1.01 + noise(1), "brightness") == pytest.approx(
        0.01, abs=3e-4
    )
    assert tone_change(LEVELS, LEVELS - 1.5 + noise(2), "tint") == pytest.approx(-1.5, abs=0.05)


def test_a_part_that_shows_something_else_does_not_count():
    after = LEVELS * 1.01 + noise(3)
    after[:500] += 60
    assert tone_change(LEVELS, after, "brightness") == pytest.approx(0.01, abs=1e-3)


def test_a_past_that_is_a_little_blurred_does_not_fade():
    blurred = LEVELS + 0.1 * (LEVELS.mean() - LEVELS)
    assert abs(tone_change(blurred, LEVELS, "brightness")) < 2e-3


def test_a_picture_that_tells_nothing_changes_nothing():
    black = np.zeros(100, np.float32)
    assert tone_change(black, black, "brightness") == 0


def rates_after(changes, elapsed_s=1 / 30):
    drift = Drift(["brightness"])
    for change in changes:
        drift.learn(0, LEVELS, LEVELS * (1 + change), elapsed_s=elapsed_s)
    return drift.step(elapsed_s)[0].gain - 1


def test_a_steady_change_is_foretold_and_a_pulse_is_not():
    assert rates_after([0.004] * 20) == pytest.approx(0.004, rel=0.02)
    assert abs(rates_after([0.004, -0.004] * 10)) < 0.0008


def test_a_change_is_foretold_by_time_and_not_by_pictures():
    drift = Drift(["brightness"])
    drift.learn(0, LEVELS, LEVELS * 1.002, elapsed_s=1 / 60)
    assert drift.step(1 / 30)[0].gain == pytest.approx(1.004, abs=1e-4)


def test_another_scene_begins_anew():
    drift = Drift(["brightness", "tint", "tint"])
    drift.learn(1, LEVELS, LEVELS + 2, elapsed_s=1 / 30)
    assert drift.step(1 / 30)[1].offset == pytest.approx(2, abs=0.1)
    drift.forget()
    assert all(tone.gain == 1 and tone.offset == 0 for tone in drift.step(1 / 30))
