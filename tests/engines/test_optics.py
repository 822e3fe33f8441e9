"""Where the sensor looks, and how the lens blurs and shades."""

import numpy as np
import pytest

from engines.simulate.optics import (
    Lens,
    Pose,
    expose,
    homography,
    screen_points,
    swept_homography,
    vignette,
)


def look(pose, x, y, focal=3000.0):
    """Return the screen point behind a sensor point."""
    point = homography(pose, focal=focal) @ np.array([x, y, 1.0])
    return point[:2] / point[2]


@pytest.mark.parametrize("ratio", [0.6, 1.0, 2.06, 3.5])
def test_ratio_is_sensor_pixels_per_screen_pixel(ratio):
    assert look(Pose(ratio=ratio), 210, -42) == pytest.approx([210 / ratio, -42 / ratio])


def test_shift_is_where_the_middle_looks():
    pose = Pose(roll_deg=30, tilt_x_deg=20, shift_x=3.5, shift_y=-2)
    assert look(pose, 0, 0) == pytest.approx([3.5, -2])


def test_roll_turns_the_screen_in_the_picture():
    assert look(Pose(ratio=1, roll_deg=90), 100, 0) == pytest.approx([0, -100])
    turned = look(Pose(ratio=1, roll_deg=10), 100, 0)
    assert np.hypot(*turned) == pytest.approx(100)


@pytest.mark.parametrize(("tilt", "axis"), [("tilt_x_deg", 0), ("tilt_y_deg", 1)])
def test_tilt_shows_more_of_the_far_side(tilt, axis):
    pose, step = Pose(ratio=1, **{tilt: 20}), np.eye(2)[axis] * 300
    there, back = look(pose, *step)[axis], -look(pose, *-step)[axis]
    near, far = sorted((there, back))
    assert near < 300 / np.cos(np.deg2rad(20)) < far  # without perspective both were this
    assert look(pose, 1e-3, 1e-3)[axis] == pytest.approx(1e-3 / np.cos(np.deg2rad(20)), rel=1e-3)


def test_shorter_focal_length_means_stronger_perspective():
    def lopsided(focal):
        return abs(sum(look(Pose(tilt_x_deg=15), x, 0, focal)[0] for x in (-300, 300)))

    assert lopsided(1500) > 2 * lopsided(4500) > 0


def test_sample_points_are_centred_on_the_content():
    x, y = screen_points(
        homography(Pose(ratio=2), focal=3000), Lens(), height=40, width=60, oversampling=3
    )
    assert x.shape == y.shape == (120, 180)
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_allclose(x, -x[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(y, -y[::-1], atol=1e-5)
    # Three samples a sensor pixel, two sensor pixels a screen pixel.
    np.testing.assert_allclose(np.diff(x, axis=1), 1 / 6, atol=1e-5)
    np.testing.assert_allclose(np.diff(y, axis=0), 1 / 6, atol=1e-5)


def test_positive_distortion_sees_more_at_the_corners():
    def corner(k1):
        lens = Lens(k1=k1, field=100)
        x, _ = screen_points(
            homography(Pose(ratio=1), focal=3000), lens, height=80, width=80, oversampling=1
        )
        return x[0, -1]

    pincushion, none, barrel = corner(-0.08), corner(0), corner(0.08)
    assert pincushion < none < barrel
    # k1 times the squared share of the field that 39.5 px on both axes are.
    assert barrel == pytest.approx(39.5 * (1 + 0.08 * 2 * 0.395**2), rel=1e-5)


def test_distortion_spares_the_optical_axis():
    lens = Lens(k1=0.08, field=100, centre=(20.5, -9.5))
    to_screen = homography(Pose(ratio=1), focal=3000)
    x, y = screen_points(to_screen, lens, height=60, width=60, oversampling=1)
    row, column = 20, 50  # -9.5 and 20.5 from the middle
    assert (x[row, column], y[row, column]) == pytest.approx((20.5, -9.5))


def test_lens_keeps_the_mean_light():
    light = np.random.default_rng(0).random((120, 150, 3), np.float32)
    seen = expose(light, Lens(sigma=0.6, chromatic=(0.3, -0.2)), oversampling=3)
    assert seen.shape == (40, 50, 3)
    np.testing.assert_allclose(seen.mean((0, 1)), light.mean((0, 1)), rtol=0.01)


def test_wider_point_spread_lowers_the_contrast():
    light = np.random.default_rng(0).random((120, 120, 3), np.float32)
    contrast = [expose(light, Lens(sigma=s), oversampling=3).std() for s in (0.3, 0.5, 0.75)]
    assert contrast == sorted(contrast, reverse=True)


def test_chromatic_shift_moves_red_and_blue_apart():
    dot = np.zeros((90, 90, 3), np.float32)
    dot[45:48, 45:48] = 1
    seen = expose(dot, Lens(sigma=0.7, chromatic=(0.5, 0.0)), oversampling=3)
    centres = (seen.sum(0) * np.arange(30)[:, None]).sum(0) / seen.sum((0, 1))
    assert centres - centres[1] == pytest.approx([0.5, 0, -0.5], abs=0.02)


def test_vignette_falls_from_the_axis_to_its_corner_figure():
    lens = Lens(vignette=0.4, field=50)
    light = vignette(lens, like=np.empty((81, 101)))
    assert light.max() == light[40, 50] == 1
    assert light.min() == light[0, 0] == pytest.approx(0.6)
    assert (np.diff(light[40, 50:]) < 0).all()


def test_exposure_shades_the_corners():
    seen = expose(np.ones((240, 300, 3), np.float32), Lens(vignette=0.4, field=50), oversampling=3)
    assert seen[40, 50] == pytest.approx([1, 1, 1], abs=1e-3)
    assert seen[0, 0] == pytest.approx([0.6, 0.6, 0.6], abs=1e-3)


def points(to_screen, *, height=60, width=40):
    lens = Lens(k1=0.05, field=100)
    return np.stack(screen_points(to_screen, lens, height=height, width=width, oversampling=1))


def test_sweep_over_one_pose_is_that_pose():
    pose = Pose(ratio=2, roll_deg=3, tilt_x_deg=8)
    for poses in ([pose], [pose] * 4):
        swept = swept_homography(poses, focal=3000, rows=60)
        np.testing.assert_allclose(points(swept), points(homography(pose, focal=3000)), atol=1e-4)


def test_sweep_begins_with_the_first_pose_and_ends_with_the_last():
    poses = [Pose(ratio=2, shift_x=x, roll_deg=x) for x in (0.0, 1.0, 3.0)]
    swept = points(swept_homography(poses, focal=3000, rows=60))
    first, _, last = (points(homography(pose, focal=3000)) for pose in poses)
    np.testing.assert_allclose(swept[:, 0], first[:, 0], atol=1e-4)
    np.testing.assert_allclose(swept[:, -1], last[:, -1], atol=1e-4)


def test_sweep_of_a_straight_movement_shears():
    poses = [Pose(ratio=2, shift_x=x) for x in (0.0, 1.0, 2.0)]
    x = screen_points(
        swept_homography(poses, focal=3000, rows=61), Lens(), height=61, width=4, oversampling=1
    )[0]
    np.testing.assert_allclose(np.diff(x[:, 0]), 2 / 60, atol=1e-5)
