"""Fringes without the panel's grid."""

from dataclasses import replace

import numpy as np
import pytest

from engines.evaluate.metrics import moire_energy
from engines.simulate.beat import Beat, add_beat, draw_beat, draw_slow_pose
from engines.simulate.conditions import Conditions
from engines.simulate.optics import Pose

GREY = np.full((128, 192, 3), 160, np.uint8)
STRONG = Beat(across=(0.3, 0.3, 0.3), down=(0.0, 0.0, 0.0))
NEAR = Conditions(pose=Pose(ratio=2.04))


def test_no_strength_leaves_the_picture_alone():
    none = Beat(across=(0.0, 0.0, 0.0), down=(0.0, 0.0, 0.0))
    assert np.array_equal(add_beat(GREY, NEAR, none), GREY)


def test_fringes_are_coloured_where_sub_pixels_are_apart():
    assert moire_energy(add_beat(GREY, NEAR, STRONG)) > 2


def test_fringes_are_grey_where_sub_pixels_share_a_place():
    together = replace(STRONG, offsets=(0.0, 0.0, 0.0))
    picture = add_beat(GREY, NEAR, together)
    assert np.array_equal(picture[..., 0], picture[..., 2])
    assert picture.std() > 5


def test_period_is_that_of_the_beat():
    """At ratio 2(1 + d) red's period is 2(1 + d) / d sensor pixels: 102 for d = 0.02."""
    row = add_beat(np.full((8, 816, 3), 160, np.uint8), NEAR, STRONG)[4, :, 0].astype(float)
    spectrum = np.abs(np.fft.rfft(row - row.mean()))
    assert 816 / int(spectrum.argmax()) == pytest.approx(102, rel=0.02)


def test_short_fringes_are_fainter_than_long_ones():
    def contrast(ratio):
        conditions = Conditions(pose=Pose(ratio=ratio))
        return int(np.ptp(add_beat(GREY, conditions, STRONG)[..., 0]))

    assert contrast(3.0) < contrast(2.3) < contrast(2.04)


def test_black_stays_black():
    black = np.zeros_like(GREY)
    assert not add_beat(black, NEAR, STRONG).any()


@pytest.mark.parametrize("seed", range(5))
def test_drawn_fringes_are_long_and_repeatable(seed):
    pose, beat = (draw(np.random.default_rng(seed)) for draw in (draw_slow_pose, draw_beat))
    again = [draw(np.random.default_rng(seed)) for draw in (draw_slow_pose, draw_beat)]
    assert [pose, beat] == again
    harmonic = max(1, round(2 / pose.ratio)) / 2
    assert abs(1 / pose.ratio - harmonic) < 0.1
