"""The whole chain: fringes in the picture, none in its truth, everything else alike."""

import subprocess
import sys
from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.evaluate.metrics import aligned_psnr, moire_energy, psnr
from engines.simulate import optics
from engines.simulate.camera import Camera, Shrink
from engines.simulate.codec import Compression, compress, rescale
from engines.simulate.conditions import Conditions, draw_conditions
from engines.simulate.display import Panel
from engines.simulate.film import (
    Filmed,
    content_size,
    film,
    match_clip_colours,
    match_colours,
)
from engines.simulate.optics import Lens, Pose
from engines.simulate.sensor import Sensor
from engines.simulate.shutter import Flicker, Shutter, band_depth

SIZE = 128
QUIET = Sensor(shot=0.0, read=0.0)
# Two sensor pixels a screen pixel: there, screen grid and colour filters beat slowest.
FRINGED = Conditions(pose=Pose(ratio=2.06, roll_deg=1.2))
FREE = Conditions(pose=Pose(ratio=1.3, roll_deg=1.2), sensor=QUIET)

seeds = st.integers(0, 2**32 - 1)


def shoot(conditions, content=None, *, size=SIZE, seed=0):
    if content is None:
        content = white(conditions, size)
    return film(content, conditions, np.random.default_rng(seed), height=size, width=size)


def white(conditions, size=SIZE):
    return np.full((*content_size(conditions, height=size, width=size), 3), 255, np.uint8)


def page(conditions, size=SIZE):
    """Dark bars and a coloured field on light grey, at display resolution."""
    content = white(conditions, size) - 30
    content[::12], content[1::12] = 40, 40
    content[: len(content) // 2, : content.shape[1] // 2, 0] //= 2
    return content


def waves(conditions, size=SIZE):
    """Smooth grey hills, wider than any lens blurs."""
    content = np.zeros_like(white(conditions, size))
    rows, columns = np.indices(content.shape[:2])
    content[:] = (150 + 80 * np.sin(rows / 60) * np.cos(columns / 50))[..., None]
    return content


def test_screens_are_filmed_without_torch():
    code = (
        "import sys, numpy as np; from engines.simulate import conditions, film\n"
        "content = np.zeros((64, 64, 3), np.uint8)\n"
        "rng, filmed = np.random.default_rng(0), conditions.Conditions()\n"
        "film.film(content, filmed, rng, height=16, width=16)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_same_seed_films_the_same_bytes():
    content = page(FRINGED)
    first, again, other = (shoot(FRINGED, content, seed=seed) for seed in (1, 1, 2))
    assert first.picture.tobytes() == again.picture.tobytes() != other.picture.tobytes()
    assert first.truth.tobytes() == again.truth.tobytes() == other.truth.tobytes()


@pytest.mark.parametrize("kind", ["stripe", "bgr", "pentile", "diamond", "wrgb", "led"])
def test_filmed_screen_has_fringes_and_its_truth_has_none(kind):
    filmed = shoot(replace(FRINGED, panel=Panel(kind=kind)))
    assert moire_energy(filmed.picture) > 4
    assert moire_energy(filmed.truth) < 0.01


def test_fringes_fade_away_from_resonance():
    near, far = (
        moire_energy(shoot(replace(FREE, pose=Pose(ratio=ratio))).picture) for ratio in (2.06, 1.3)
    )
    assert near > 2 * far


def test_screen_without_sub_pixels_is_filmed_as_its_truth():
    plain = replace(FRINGED, panel=Panel(leak=1.0), sensor=QUIET, camera=Camera(sharpen=0.0))
    filmed = shoot(plain, waves(plain))
    assert psnr(filmed.picture, filmed.truth) > 45


def test_weak_fringes_leave_the_mean_colour():
    filmed = shoot(FREE, waves(FREE))
    np.testing.assert_allclose(filmed.picture.mean((0, 1)), filmed.truth.mean((0, 1)), atol=1.0)


@pytest.mark.parametrize("shrink_filter", get_args(Shrink))
def test_picture_lies_exactly_on_its_truth(shrink_filter):
    camera = Camera(sharpen=0.0, shrink=1.6, shrink_filter=shrink_filter)
    conditions = replace(FREE, camera=camera, panel=Panel(leak=1.0), pose=Pose(ratio=0.3))
    filmed = shoot(conditions, waves(conditions))
    inner = np.s_[4:-4, 4:-4]
    steps = [
        psnr(np.roll(filmed.picture, step, (0, 1))[inner], filmed.truth[inner])
        for step in (-1, 0, 1)
    ]
    assert steps.index(max(steps)) == 1
    assert abs(steps[0] - steps[2]) < 3  # half a pixel of shift would favour one side


def test_camera_sees_the_middle_of_the_content():
    content = np.zeros_like(white(FREE))
    middle = tuple(side // 2 for side in content.shape[:2])
    content[middle[0] - 5 : middle[0] + 5, middle[1] - 10 : middle[1] + 10] = 255
    level = replace(FREE, pose=Pose(ratio=2.0))
    filmed = film(content, level, np.random.default_rng(0), height=SIZE, width=SIZE).truth
    rows, columns = np.nonzero(filmed[..., 1] > 128)
    assert (rows.min() + rows.max() + 1) / 2 == pytest.approx(SIZE / 2, abs=1.1)
    assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(SIZE / 2, abs=1.1)
    assert np.ptp(rows) + 1 == pytest.approx(20, abs=1)
    assert np.ptp(columns) + 1 == pytest.approx(40, abs=1)


def test_truth_shares_lens_exposure_and_colours():
    dim = replace(FREE, lens=Lens(vignette=0.4, field=90), sensor=replace(QUIET, exposure=0.4))
    bright, dark = shoot(FREE).truth, shoot(dim)
    assert dark.truth.mean() < bright.mean() - 40
    assert dark.truth[0, 0].mean() < dark.truth[64, 64].mean() - 10
    assert np.abs(dark.truth.mean((0, 1)) - dark.picture.mean((0, 1))).max() < 1


def test_overexposed_screen_is_white_in_both():
    filmed = shoot(replace(FREE, sensor=replace(QUIET, exposure=1.15)))
    assert filmed.truth.min() == 255
    assert filmed.picture.mean() > 250


@pytest.mark.parametrize(("height", "width"), [(33, 47), (1, 64), (90, 20)])
@pytest.mark.parametrize("shrink", [1.0, 1.37])
def test_pictures_of_any_size(height, width, shrink):
    conditions = replace(FRINGED, camera=Camera(shrink=shrink))
    content = np.full((80, 80, 3), 200, np.uint8)
    filmed = film(content, conditions, np.random.default_rng(0), height=height, width=width)
    for picture in (filmed.picture, filmed.truth):
        assert picture.shape == (height, width, 3)
        assert picture.dtype == np.uint8


def test_second_generation_goes_for_picture_and_truth_alike():
    first, second = shoot(FRINGED), shoot(replace(FRINGED, rescale=2.5))
    np.testing.assert_array_equal(second.picture, rescale(first.picture, 2.5))
    np.testing.assert_array_equal(second.truth, rescale(first.truth, 2.5))
    assert moire_energy(second.picture) > 4  # long fringes stay


@pytest.mark.parametrize("factor", [1.3, 2.0, 2.9])
def test_copy_of_a_smaller_copy_is_softer_and_in_its_place(factor):
    fine = np.random.default_rng(0).integers(0, 256, (64, 90, 3), dtype=np.uint8)
    assert rescale(fine, factor).std() < 0.9 * fine.std()
    coarse = cv2.GaussianBlur(fine, (0, 0), 6)
    assert np.abs(rescale(coarse, factor).astype(int) - coarse)[4:-4, 4:-4].max() <= 2


@pytest.mark.parametrize("compression", [Compression("jpeg", 60), Compression("h264", 30)])
def test_compression_goes_for_picture_and_truth_alike(compression):
    raw, packed = shoot(FRINGED), shoot(replace(FRINGED, compression=compression))
    np.testing.assert_array_equal(packed.truth, compress(raw.truth, compression))
    np.testing.assert_array_equal(packed.picture, compress(raw.picture, compression))


def test_copies_are_compressed_before_and_after_they_are_scaled():
    first, second = Compression("h264", 20), Compression("jpeg", 70)
    copy = replace(FRINGED, first_compression=first, rescale=2.0, compression=second)
    wanted = compress(rescale(compress(shoot(FRINGED).picture, first), 2.0), second)
    np.testing.assert_array_equal(shoot(copy).picture, wanted)


@pytest.mark.parametrize(("codec", "qualities"), [("jpeg", (98, 80, 55)), ("h264", (12, 24, 36))])
def test_compression_loses_more_at_lower_quality(codec, qualities):
    picture = shoot(FRINGED, page(FRINGED)).picture
    kept = [psnr(compress(picture, Compression(codec, q)), picture) for q in qualities]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] > 18


@pytest.mark.parametrize("compression", [Compression("jpeg", 95), Compression("h264", 12)])
def test_compression_keeps_flat_colour_and_halves_chroma(compression):
    red = np.full((32, 32, 3), (200, 30, 40), np.uint8)
    assert np.abs(compress(red, compression).astype(int) - red).max() < 5
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0], stripes[:, 1::2, 2] = 200, 200
    assert np.ptp(compress(stripes, compression)[16, 8:24, 0].astype(int)) < 120


BANDED = replace(
    FREE,
    lens=Lens(field=100),
    shutter=Shutter(readout_ms=20, exposure_ms=2),
    flicker=Flicker(frequency_hz=240, depth=0.4),
)


def rows_of(picture):
    """Return the light of each row, from its mean level."""
    return (picture.mean((1, 2)) / 255) ** 2.2


def test_flicker_bands_the_picture_and_not_its_truth():
    banded, steady = shoot(BANDED), shoot(replace(BANDED, flicker=None))
    np.testing.assert_array_equal(banded.truth, steady.truth)
    gain = rows_of(banded.picture) / rows_of(steady.picture)
    assert np.ptp(gain) == pytest.approx(band_depth(BANDED.flicker, 2), rel=0.15)
    assert gain.mean() == pytest.approx(1, abs=0.06)
    # The same along a row.
    row = (banded.picture / np.maximum(1, steady.picture))[40, 8:-8]
    assert row.std() < 0.02


def test_bands_move_with_time():
    first, later = (shoot(replace(BANDED, time_s=t)).picture for t in (0.0, 1 / 480))
    dark = rows_of(first).argmin()
    assert rows_of(later)[dark] > 1.15 * rows_of(first)[dark]


def test_without_a_rolling_shutter_flicker_dims_the_whole_picture():
    whole = replace(BANDED, shutter=Shutter(readout_ms=0, exposure_ms=2))
    ratio = rows_of(shoot(whole).picture) / rows_of(shoot(replace(whole, flicker=None)).picture)
    assert ratio.std() < 0.01
    assert abs(ratio.mean() - 1) > 0.05


def test_sweep_shears_picture_and_truth_alike():
    level = Pose(ratio=0.3)
    swept = replace(
        FREE,
        pose=level,
        panel=Panel(leak=1.0),
        camera=Camera(sharpen=0.0),
        sweep=(level, replace(level, shift_x=20.0)),
    )
    filmed = shoot(swept, waves(swept))
    assert psnr(filmed.picture, filmed.truth) > 45
    still = shoot(replace(swept, sweep=()), waves(swept))
    moved = np.abs(filmed.truth.astype(int) - still.truth).mean((1, 2))
    assert moved[:10].mean() < 0.3 * moved[-10:].mean()


@pytest.mark.parametrize("size", [(33, 47), (1, 64), (2, 2)])
def test_quad_sensor_films_pictures_of_any_size(size):
    height, width = size
    quad = replace(FRINGED, sensor=Sensor(filters="quad"))
    content = np.full((80, 80, 3), 200, np.uint8)
    filmed = film(content, quad, np.random.default_rng(0), height=height, width=width)
    assert filmed.picture.shape == filmed.truth.shape == (height, width, 3)


def test_quad_sensor_has_fringes_where_bayer_has_none():
    """Its filters repeat every four photosites: four to a screen pixel beat slowly."""
    wide = replace(FREE, pose=Pose(ratio=4.3, roll_deg=0.5), lens=Lens(sigma=0.9))
    bayer, quad = (
        coarse_ripple(shoot(replace(wide, sensor=replace(QUIET, filters=f))).picture)
        for f in ("bayer", "quad")
    )
    assert quad > 2 * bayer


def coarse_ripple(picture):
    """Return the spread of what is coarser than the panel's own grid, in levels."""
    return cv2.GaussianBlur(picture, (0, 0), 3)[8:-8, 8:-8].astype(float).std((0, 1)).mean()


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_drawn_conditions_stay_within_the_documented_ranges(seed):
    drawn = draw_conditions(np.random.default_rng(seed))
    panel, pose, lens = drawn.panel, drawn.pose, drawn.lens
    sensor, camera = drawn.sensor, drawn.camera
    assert 0.5 <= panel.fill <= 0.98
    assert 2.0 <= panel.gamma <= 2.4
    assert 0 <= panel.leak <= 0.1
    assert 0.4 < pose.ratio < (6 if panel.kind == "led" else 4)
    assert max(abs(pose.tilt_x_deg), abs(pose.tilt_y_deg)) <= 25
    assert abs(pose.roll_deg) <= 10
    assert 0.3 <= lens.sigma <= 1.2
    assert abs(lens.k1) <= 0.08
    assert np.hypot(*lens.chromatic) < 0.7
    assert 0 <= lens.vignette <= 0.4
    assert 0 <= sensor.crosstalk <= 0.25
    assert 1e-5 <= sensor.shot <= 6e-3
    assert 0.7 < min(camera.white_balance) <= max(camera.white_balance) < 1.3
    assert 0 <= camera.contrast <= 0.5
    assert 0 <= camera.chroma_denoise <= 4
    assert 0 <= camera.luma_denoise < 0.1
    assert 1 <= camera.shrink <= 2.2
    assert 1 <= drawn.rescale <= 3
    assert 8 <= drawn.shutter.readout_ms <= 25
    assert 1 <= drawn.shutter.exposure_ms <= 34
    if drawn.flicker is not None:
        assert band_depth(drawn.flicker, drawn.shutter.exposure_ms) <= 0.3 + 1e-6
    if drawn.compression is not None:
        best, worst = {"jpeg": (100, 1), "h264": (0, 51)}[drawn.compression.codec]
        assert min(best, worst) <= drawn.compression.quality <= max(best, worst)


def test_some_cameras_have_quad_sensors_and_some_screens_flicker():
    drawn = [draw_conditions(np.random.default_rng(seed)) for seed in range(200)]
    assert {conditions.sensor.filters for conditions in drawn} == {"bayer", "quad", "quad_binned"}
    assert 0.1 < np.mean([conditions.flicker is not None for conditions in drawn]) < 0.35


def test_drawn_conditions_repeat_themselves_by_seed():
    first, again, other = (draw_conditions(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first == again != other


@given(seeds, st.sampled_from([(384, 384), (270, 480), (64, 400)]))
@settings(max_examples=60, deadline=None)
def test_content_is_large_enough_for_everything_in_view(seed, size):
    conditions = draw_conditions(np.random.default_rng(seed))
    height, width = size
    rows, columns = content_size(conditions, height=height, width=width)
    shrink = conditions.camera.shrink
    to_screen = optics.homography(conditions.pose, focal=conditions.focal)
    x, y = optics.screen_points(
        to_screen,
        conditions.lens,
        height=round(height * shrink),
        width=round(width * shrink),
        oversampling=1,
    )
    assert 2 * np.abs(x).max() < columns
    assert 2 * np.abs(y).max() < rows


@pytest.mark.parametrize("seed", range(4))
def test_drawn_conditions_film_a_screen_that_can_be_recognised(seed):
    rng = np.random.default_rng(seed)
    conditions = draw_conditions(rng)
    filmed = shoot(conditions, page(conditions))
    assert 5 < filmed.truth.mean() < 254
    assert aligned_psnr(filmed.picture, filmed.truth) > 12


def test_matched_truth_has_the_mean_colours_of_the_picture():
    filmed = shoot(FRINGED, page(FRINGED))
    darker = (filmed.picture * 0.8).astype(np.uint8)
    matched = match_colours(filmed.truth, darker)
    assert np.abs(darker.mean((0, 1)) - filmed.truth.mean((0, 1))).max() > 10
    assert np.abs(darker.mean((0, 1)) - matched.mean((0, 1))).max() < 1


def test_matching_colours_brings_no_fringes_into_the_truth():
    filmed = shoot(FRINGED, waves(FRINGED))
    matched = match_colours(filmed.truth, filmed.picture)
    assert aligned_psnr(matched, filmed.truth) > 35
    assert moire_energy(matched) < 0.2 * moire_energy(filmed.picture)


def test_colours_that_match_already_stay():
    truth = shoot(FRINGED, page(FRINGED)).truth
    assert np.abs(match_colours(truth, truth).astype(int) - truth).max() <= 1


def darker_than_its_truth(*levels):
    """Yield waves of which the picture has 0.8 of the light, some of them brighter than others."""
    for level in levels:
        truth = (waves(FRINGED) * level).astype(np.uint8)
        yield Filmed((truth * 0.8).astype(np.uint8), truth)


def test_clip_s_truths_have_the_mean_colours_of_their_pictures():
    for filmed in match_clip_colours(darker_than_its_truth(1.0, 0.9, 0.5)):
        assert np.abs(filmed.picture.mean((0, 1)) - filmed.truth.mean((0, 1))).max() < 1.5


def test_one_strange_frame_hardly_changes_a_clip_s_colours():
    quiet, strange = ([0.8] * 3 for _ in range(2))
    frames = list(darker_than_its_truth(*quiet, *strange))
    frames[2] = Filmed(frames[2].picture // 2, frames[2].truth)
    levels = [filmed.truth.mean() for filmed in match_clip_colours(frames)]
    assert np.ptp(levels) < 0.1 * levels[0]
