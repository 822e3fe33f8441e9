"""Motion between thumbnails, where it is known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.simulate.clip import Hand, Trajectory, simulate_clip
from engines.simulate.conditions import draw_conditions
from engines.simulate.content.motion import Still
from engines.simulate.film import content_size, sensor_size
from engines.simulate.optics import homography
from engines.smooth.motion import MotionEstimator, at_scale, mapped
from engines.smooth.tally import Sample

WIDTH, HEIGHT = 960, 540


def texture(seed=0, *, width=WIDTH + 400, height=HEIGHT + 400):
    """Blots of several sizes, uint8."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for cell in (6, 18, 60):
        noise = rng.normal(0, 1, (height // cell + 2, width // cell + 2)).astype(np.float32)
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 40 * total, 0, 255).astype(np.uint8)


def view(plane, matrix, *, width=WIDTH, height=HEIGHT):
    """What a camera sees whose pixels lie at matrix @ pixel of the plane, 200 px in."""
    inset = np.array([[1, 0, 200.0], [0, 1, 200.0], [0, 0, 1]])
    return cv2.warpPerspective(
        plane, inset @ matrix, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    )


def half(picture):
    height, width = picture.shape
    return cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)


def hand_moved(*, x=0.0, y=0.0, turn=0.0, scale=1.0, tilt=0.0, width=WIDTH, height=HEIGHT):
    """A small movement around the middle of the picture."""
    middle = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1.0]])
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    move = np.array([[cos, -sin, x], [sin, cos, y], [tilt / width, 0, 1]])
    return middle @ move @ np.linalg.inv(middle)


def errors(found, wanted, *, width=WIDTH, height=HEIGHT):
    x, y = np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 7))
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
    return np.linalg.norm(mapped(found, points) - mapped(wanted, points), axis=1)


def motion_between(before, after):
    height, width = before.shape
    estimator = MotionEstimator(width=width, height=height)
    assert estimator.follow(half(before)).cut
    estimator.anchor()
    return estimator.follow(half(after))


def test_a_filmed_plane_is_followed_as_the_simulated_hand_moves():
    rng = np.random.default_rng(4)
    drawn = draw_conditions(rng)
    conditions = replace(
        drawn,
        pose=replace(drawn.pose, ratio=1.7),
        lens=replace(drawn.lens, k1=0.0),
        shutter=replace(drawn.shutter, readout_ms=0.0),
        camera=replace(drawn.camera, shrink=1.0),
        flicker=None,
    )
    size = {"height": 270, "width": 480}
    rows, columns = content_size(conditions, **size)
    shown = Still(cv2.cvtColor(texture(1, width=columns, height=rows), cv2.COLOR_GRAY2RGB))
    hand, frames = Hand(tremor_px=2.0, drift_px_s=9.0, sway_deg=0.2), 10
    clip = simulate_clip(shown, conditions, hand, seed=5, frame_rate=30.0, frames=frames, **size)
    lumas = [cv2.cvtColor(frame.truth, cv2.COLOR_RGB2GRAY) for frame in clip]
    trajectory = Trajectory(hand, np.random.default_rng(5), ratio=conditions.pose.ratio)
    tall, wide = sensor_size(conditions, **size)
    centred = np.array([[1, 0, -(wide - 1) / 2], [0, 1, -(tall - 1) / 2], [0, 0, 1]])
    to_screen = [
        homography(trajectory.at(conditions, n / 30).pose, focal=conditions.focal) @ centred
        for n in range(frames)
    ]
    off, moved = [], []
    for n in range(1, frames):
        wanted = np.linalg.inv(to_screen[n - 1]) @ to_screen[n]
        found = motion_between(lumas[n - 1], lumas[n])
        assert not found.cut
        off.append(errors(found.homography, wanted, width=480, height=270))
        moved.append(errors(np.eye(3), wanted, width=480, height=270))
    assert np.median(moved) > 0.5
    assert np.median(off) < 0.1


@given(
    x=st.floats(-8, 8),
    y=st.floats(-8, 8),
    turn=st.floats(-0.002, 0.002),
    scale=st.floats(0.998, 1.002),
    tilt=st.floats(-0.002, 0.002),
)
@settings(max_examples=25, deadline=None)
def test_any_movement_of_a_hand_is_found(x, y, turn, scale, tilt):
    plane, wanted = texture(2), hand_moved(x=x, y=y, turn=turn, scale=scale, tilt=tilt)
    found = motion_between(view(plane, np.eye(3)), view(plane, wanted))
    assert np.median(errors(found.homography, wanted)) < 0.1


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (320, 180), (3840, 2160)])
def test_sizes_from_small_to_4k_are_followed(size):
    width, height = size
    plane = texture(3, width=width + 400, height=height + 400)
    wanted = hand_moved(x=2.3, y=-1.4, turn=0.001, width=width, height=height)
    before, after = (view(plane, m, width=width, height=height) for m in (np.eye(3), wanted))
    found = motion_between(before, after)
    assert np.median(errors(found.homography, wanted, width=width, height=height)) < 0.1


def test_a_picture_that_stands_still_does_not_move_under_noise():
    picture, rng = view(texture(4), np.eye(3)).astype(float), np.random.default_rng(0)
    noisy = [
        np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)
        for _ in range(2)
    ]
    assert errors(motion_between(*noisy).homography, np.eye(3)).max() < 0.08


def test_what_plays_in_a_window_does_not_move_the_screen():
    screen, film = texture(5), texture(6)
    wanted = hand_moved(x=1.5, y=0.7)
    pictures = [view(screen, np.eye(3)), view(screen, wanted)]
    for number, picture in enumerate(pictures):  # four tenths of the picture
        window = view(film, hand_moved(x=9.0 * number, y=4.0 * number))
        picture[100:440, 200:800] = window[100:440, 200:800]
    found = motion_between(*pictures)
    assert np.median(errors(found.homography, wanted)) < 0.1


def test_a_jump_is_found():
    plane, wanted = texture(7), hand_moved(x=-70.0, y=45.0)
    found = motion_between(view(plane, np.eye(3)), view(plane, wanted))
    assert np.median(errors(found.homography, wanted)) < 0.1


def test_a_change_of_exposure_is_no_movement():
    picture = view(texture(8), np.eye(3))
    brighter = cv2.convertScaleAbs(picture, alpha=1.15, beta=6)
    found = motion_between(picture, brighter)
    assert not found.cut
    assert errors(found.homography, np.eye(3)).max() < 0.1


def test_another_picture_is_a_cut():
    before, after = view(texture(9), np.eye(3)), view(texture(10), np.eye(3))
    found = motion_between(before, after)
    assert found.cut
    np.testing.assert_array_equal(found.homography, np.eye(3))


@pytest.mark.parametrize("size", [(960, 540), (2, 2), (17, 9), (1, 1)])
def test_an_empty_or_tiny_picture_stands_still(size):
    width, height = size
    estimator = MotionEstimator(width=width, height=height)
    thumbnail = np.full((max(1, height // 2), max(1, width // 2)), 200, np.uint8)
    estimator.follow(thumbnail)
    estimator.anchor()
    found = estimator.follow(thumbnail)
    assert not found.cut
    np.testing.assert_array_equal(found.homography, np.eye(3))


def test_motion_is_told_since_the_anchor():
    plane = texture(11)
    estimator = MotionEstimator(width=WIDTH, height=HEIGHT)
    estimator.follow(half(view(plane, np.eye(3))))
    estimator.anchor()
    for x in (0.6, 1.2, 1.8):
        found = estimator.follow(half(view(plane, hand_moved(x=x))))
        assert np.median(errors(found.homography, hand_moved(x=x))) < 0.1


def test_steps_of_a_hand_are_told_one_by_one():
    plane, estimator = texture(12), MotionEstimator(width=WIDTH, height=HEIGHT)
    rng, place = np.random.default_rng(1), np.eye(3)
    estimator.follow(half(view(plane, place)))
    estimator.anchor()
    for _ in range(14):  # longer than an anchor serves
        step = hand_moved(x=rng.normal(0, 2), y=rng.normal(0, 2), turn=rng.normal(0, 5e-4))
        place = place @ step
        found = estimator.follow(half(view(plane, place)))
        estimator.mark()
        assert np.median(errors(found.homography, step)) < 0.1


def test_steps_are_told_while_a_film_plays():
    screen, film, estimator = texture(13), texture(14), MotionEstimator(width=WIDTH, height=HEIGHT)
    for number in range(10):
        picture = view(screen, hand_moved(x=1.5 * number, y=0.7 * number))
        window = view(film, hand_moved(x=7.0 * number, y=-3.0 * number))
        picture[100:440, 200:800] = window[100:440, 200:800]
        found = estimator.follow(half(picture))
        estimator.mark()
        if number:
            assert np.median(errors(found.homography, hand_moved(x=1.5, y=0.7))) < 0.15


def test_steps_are_told_while_one_picture_fades_into_another():
    first, second = texture(17), texture(18)
    estimator, rng, place = MotionEstimator(width=WIDTH, height=HEIGHT), np.random.default_rng(2), 0
    estimator.follow(half(view(first, np.eye(3))))
    estimator.anchor()
    for share in np.linspace(0, 1, 10)[1:]:
        step = rng.normal(0, 2)
        place += step
        shown = cv2.addWeighted(first, 1 - share, second, share, 0)
        found = estimator.follow(half(view(shown, hand_moved(x=place))))
        estimator.mark()
        assert not found.cut
        assert np.median(errors(found.homography, hand_moved(x=step))) < 0.15


def test_a_step_after_a_cut_is_told_since_the_cut():
    first, second = texture(15), texture(16)
    estimator = MotionEstimator(width=WIDTH, height=HEIGHT)
    shown = [(first, 0.0), (first, 1.0), (second, 1.0), (second, 2.5)]
    cuts = []
    for plane, x in shown:
        found = estimator.follow(half(view(plane, hand_moved(x=x))))
        estimator.anchor() if found.cut else estimator.mark()
        cuts.append(found.cut)
    assert cuts == [True, False, True, False]
    assert np.median(errors(found.homography, hand_moved(x=1.5))) < 0.1


def test_samples_of_blocks_take_all_in_turn():
    blocks = np.arange(7 * 10, dtype=np.float32).reshape(7, 10)
    taken = np.concatenate([Sample.at(turn).of(blocks).ravel() for turn in range(9)])
    np.testing.assert_array_equal(np.sort(taken), blocks.ravel())


@pytest.mark.parametrize("turn", [0, 5])
@pytest.mark.parametrize("shape", [(30, 40), (2, 1)])
def test_a_sample_of_blocks_is_taken_where_the_picture_is_now(turn, shape):
    across = np.tile(np.arange(shape[1], dtype=np.float32), (shape[0], 1))
    now = Sample.at(turn).of(across)
    past = Sample.at(turn).of(across, np.array([[1, 0, 16.0], [0, 1, 0], [0, 0, 1]]))
    np.testing.assert_allclose(past, np.minimum(now + 2, shape[1] - 1), atol=0.05)


def test_a_homography_of_chroma_moves_its_samples_with_the_pixels_they_stand_for():
    full = hand_moved(x=3.0, y=-2.0, turn=0.003, scale=1.01)
    pixel = np.array([[101.5, 61.5]], np.float32)  # the middle of 2x2 pixels from (101, 61)
    sample = np.array([[50.5, 30.5]], np.float32)
    moved = mapped(full, pixel)
    np.testing.assert_allclose(mapped(at_scale(full, 2, 2), sample), (moved - 0.5) / 2, atol=1e-3)


def test_noise_of_an_empty_page_is_no_movement():
    rng = np.random.default_rng(3)
    pages = [np.clip(180 + rng.normal(0, 5, (HEIGHT, WIDTH)), 0, 255) for _ in range(2)]
    found = motion_between(*(page.astype(np.uint8) for page in pages))
    np.testing.assert_array_equal(found.homography, np.eye(3))
