"""A filmed screen over time: repeatable, in order, and moved by the hand alone."""

import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest

from engines.simulate.clip import Hand, Trajectory, draw_hand, draw_tripod, simulate_clip
from engines.simulate.conditions import Conditions
from engines.simulate.content import scene
from engines.simulate.metering import Metering
from engines.simulate.optics import Pose
from engines.simulate.sensor import Sensor
from engines.simulate.shutter import Flicker, Shutter

TRIPOD = Hand(tremor_px=0, drift_px_s=0, sway_deg=0)
CONDITIONS = Conditions(pose=Pose(ratio=2.06, roll_deg=1.2))


@dataclass
class Clock:
    """A screen whose brightness tells the number of the frame."""

    frame_rate: float

    def frame(self, time_s):
        return np.full((60, 80, 3), 40 + 20 * round(time_s * self.frame_rate), np.uint8)


def clip(shown, *, hand=TRIPOD, seed=1, frames=5, workers=2, conditions=CONDITIONS, metering=None):
    return list(
        simulate_clip(
            shown,
            conditions,
            hand,
            seed=seed,
            height=48,
            width=64,
            frame_rate=25,
            frames=frames,
            workers=workers,
            metering=metering,
        )
    )


def still():
    return scene(np.random.default_rng(2), 96, 96, kind="static")


def moving():
    return scene(np.random.default_rng(2), 96, 96, kind="film")


def raw(frames):
    return [frame.picture.tobytes() + frame.truth.tobytes() for frame in frames]


def poses(hand, times, *, seed=1, ratio=2.0):
    conditions = replace(CONDITIONS, pose=replace(CONDITIONS.pose, ratio=ratio))
    trajectory = Trajectory(hand, np.random.default_rng(seed), ratio=ratio)
    return [trajectory.at(conditions, time).pose for time in times]


def test_same_seed_films_the_same_clip():
    assert raw(clip(moving(), hand=Hand())) == raw(clip(moving(), hand=Hand()))
    assert raw(clip(moving(), hand=Hand())) != raw(clip(moving(), hand=Hand(), seed=2))


@pytest.mark.parametrize("workers", [1, 3, 9])
def test_number_of_workers_changes_nothing(workers):
    alone = raw(clip(moving(), hand=Hand(), workers=1))
    assert raw(clip(moving(), hand=Hand(), workers=workers)) == alone


@pytest.mark.parametrize("frames", [0, 1, 2, 7])
def test_every_frame_comes_once_and_in_order(frames):
    levels = [frame.truth.mean() for frame in clip(Clock(25), frames=frames)]
    assert len(levels) == frames
    assert levels == sorted(levels)
    assert len(set(levels)) == frames


def test_on_a_tripod_a_still_screen_is_the_same_every_time():
    frames = clip(still())
    assert len({frame.truth.tobytes() for frame in frames}) == 1
    # The noise is new in each.
    assert len({frame.picture.tobytes() for frame in frames}) == len(frames)


def test_on_a_tripod_without_noise_pictures_repeat_too():
    quiet = replace(CONDITIONS, sensor=Sensor(shot=0, read=0))
    assert len(set(raw(clip(still(), conditions=quiet)))) == 1


def test_hand_moves_the_picture():
    frames = clip(still(), hand=Hand(tremor_px=3))
    assert len({frame.truth.tobytes() for frame in frames}) == len(frames)


def test_leaving_a_clip_early_leaves_no_thread():
    before = threading.active_count()
    frames = simulate_clip(
        still(), CONDITIONS, TRIPOD, seed=1, height=48, width=64, frame_rate=25, frames=50
    )
    next(frames)
    frames.close()
    assert threading.active_count() == before


def test_tripod_keeps_the_pose():
    assert set(poses(TRIPOD, [0, 0.3, 17])) == {replace(CONDITIONS.pose, ratio=2.0)}


@pytest.mark.parametrize("ratio", [0.7, 2.0])
def test_tremor_has_its_root_mean_square_in_sensor_pixels(ratio):
    hand = Hand(tremor_px=2.0, drift_px_s=0, sway_deg=0)
    track = poses(hand, np.arange(0, 60, 0.01), ratio=ratio)
    shifts = np.array([(pose.shift_x, pose.shift_y) for pose in track]) * ratio
    shifts -= shifts.mean(0)
    assert np.sqrt((shifts**2).sum(1).mean()) == pytest.approx(2.0, rel=0.05)


def test_tremor_is_smooth_from_frame_to_frame():
    hand = Hand(tremor_px=2.0, drift_px_s=0, sway_deg=0)
    shifts = np.array([(p.shift_x, p.shift_y) for p in poses(hand, np.arange(0, 10, 0.001))]) * 2
    # 12 Hz at most: no step of a millisecond exceeds the amplitude of all waves in phase.
    assert np.abs(np.diff(shifts, axis=0)).max() < 2 * np.pi * 12 * 0.001 * 2 * 3


def test_drift_goes_straight_at_its_speed():
    hand = Hand(tremor_px=0, drift_px_s=6.0, sway_deg=0)
    start, later = poses(hand, [0, 2.0])
    way = np.hypot(later.shift_x - start.shift_x, later.shift_y - start.shift_y)
    assert way * 2.0 == pytest.approx(12.0)


def test_sway_turns_slowly_within_its_angle():
    hand = Hand(tremor_px=0, drift_px_s=0, sway_deg=0.5)
    track = poses(hand, np.arange(0, 20, 0.1))
    rolls = np.array([pose.roll_deg for pose in track]) - CONDITIONS.pose.roll_deg
    assert np.abs(rolls).max() == pytest.approx(0.5, rel=0.02)
    assert np.abs(np.diff(rolls)).max() < 0.15
    assert np.ptp([pose.ratio for pose in track]) < 0.01


ROLLING = replace(CONDITIONS, shutter=Shutter(readout_ms=25, exposure_ms=2))


def trajectory(hand):
    return Trajectory(hand, np.random.default_rng(1), ratio=2.0)


def test_rolling_shutter_sees_the_poses_until_the_last_row():
    moving_hand = trajectory(Hand(tremor_px=4))
    posed = moving_hand.during(CONDITIONS, 0.3, 0.02)
    assert posed.time_s == 0.3
    assert posed.pose == posed.sweep[0] == moving_hand.at(CONDITIONS, 0.3).pose
    assert posed.sweep[-1] == moving_hand.at(CONDITIONS, 0.32).pose


def test_rolling_shutter_on_a_tripod_or_a_global_one_sees_one_pose():
    assert trajectory(TRIPOD).during(CONDITIONS, 0.3, 0.02).sweep == ()
    assert trajectory(Hand()).during(CONDITIONS, 0.3, 0.0).sweep == ()


def test_rolling_shutter_changes_what_a_hand_films_but_not_a_tripod():
    for hand, same in ((Hand(tremor_px=5), False), (TRIPOD, True)):
        rolling, still_one = (
            clip(still(), hand=hand, conditions=conditions, frames=2)[1].truth
            for conditions in (ROLLING, CONDITIONS)
        )
        assert np.array_equal(rolling, still_one) is same


def test_bands_move_at_the_beat_of_light_and_frame_rate():
    quiet = replace(ROLLING, sensor=Sensor(shot=0, read=0))

    def frames(hz):
        flicker = Flicker(frequency_hz=hz, depth=0.5)
        return clip(still(), conditions=replace(quiet, flicker=flicker), frames=3)

    # At 25 frames a second 100 Hz stands still.
    standing = [frame.picture.astype(int) for frame in frames(100)]
    moving_bands = frames(110)
    assert np.abs(standing[2] - standing[0]).max() <= 1
    assert not np.array_equal(moving_bands[2].picture, moving_bands[0].picture)
    assert len({frame.truth.tobytes() for frame in moving_bands}) == 1


def test_metering_changes_picture_and_truth_alike():
    metering = Metering(lag_s=0.3, exposure=0.6)
    levels = [
        [(frame.picture.mean(), frame.truth.mean()) for frame in clip(Clock(25), metering=chosen)]
        for chosen in (None, metering)
    ]
    fixed, followed = np.array(levels)
    np.testing.assert_allclose(followed[0], fixed[0])
    assert (followed[-1] < fixed[-1] - 5).all()
    np.testing.assert_allclose(followed[:, 0] - fixed[:, 0], followed[:, 1] - fixed[:, 1], atol=6)


@pytest.mark.parametrize("workers", [1, 3])
def test_metering_does_not_depend_on_the_number_of_workers(workers):
    metering = Metering(start=(0.5, 0.1, -0.1))
    alone = raw(clip(moving(), metering=metering, workers=2))
    assert raw(clip(moving(), metering=metering, workers=workers)) == alone


@pytest.mark.parametrize("seed", range(5))
def test_drawn_hands_and_tripods_stay_within_the_documented_ranges(seed):
    rng = np.random.default_rng(seed)
    hand, tripod = draw_hand(rng), draw_tripod(rng)
    assert 0.3 <= hand.tremor_px <= 6
    assert tripod.tremor_px <= 0.05
    assert tripod.drift_px_s == tripod.sway_deg == 0
