"""The simulator on tensors: the same pictures as on NumPy's arrays, with noise of their own."""

import os
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import torch
from libraries import assert_same, noise_picture

from engines.simulate import camera, display, optics, primitives_torch, sensor, shutter
from engines.simulate.beat import Beat, add_beat
from engines.simulate.camera import Camera, Demosaic
from engines.simulate.codec import Compression
from engines.simulate.conditions import Conditions
from engines.simulate.display import Panel, PanelKind
from engines.simulate.film import content_size, film, film_on
from engines.simulate.optics import Lens, Pose
from engines.simulate.sensor import Filters, Sensor
from engines.simulate.shutter import Flicker, Shutter

needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available() and os.environ.get("DEMOIRE_REQUIRE_CUDA") != "1",
    reason="needs a GPU",
)
QUIET = Sensor(shot=0.0, read=0.0)


@pytest.mark.parametrize("lens", [Lens(), Lens(k1=0.05, field=60, centre=(9.0, -4.0))])
@pytest.mark.parametrize("swept", [False, True])
def test_camera_looks_at_the_same_points(lens, swept):
    poses = [Pose(ratio=2, roll_deg=x, tilt_x_deg=9, shift_x=x) for x in (0.0, 1.0, 3.0)]
    to_screen = (
        optics.swept_homography(poses, focal=3000, rows=60)
        if swept
        else optics.homography(poses[1], focal=3000)
    )
    assert_same(
        optics.screen_points, to_screen, lens=lens, height=20, width=33, oversampling=3, atol=0
    )


@pytest.mark.parametrize("kind", get_args(PanelKind))
def test_screen_emits_the_same_light(kind):
    content = np.random.default_rng(0).integers(0, 256, (20, 23, 3), dtype=np.uint8)
    x, y = np.random.default_rng(1).uniform(-9, 30, (2, 40, 50)).astype(np.float32)
    mask = display.pattern(Panel(kind=kind), footprint=0.2)

    def shine(content, x, y):
        plain = display.emit(display.linear_light(content, 2.2), x, y)
        return display.patterned(plain, x, y, mask)

    assert_same(shine, content, x, y, atol=0)


def test_lens_exposes_alike():
    lens = Lens(sigma=0.8, chromatic=(0.25, -0.3125), vignette=0.4, field=20, centre=(3.0, 2.0))
    assert_same(optics.expose, noise_picture(60, 78, 3), lens=lens, oversampling=3)


@pytest.mark.parametrize("stage", [sensor.mosaic, sensor.quad_mosaic])
def test_filters_keep_the_same_photosites(stage):
    assert_same(stage, noise_picture(12, 18, 3), atol=0)


def test_remosaic_is_alike():
    assert_same(sensor.remosaic, noise_picture(12, 18))


@pytest.mark.parametrize("filters", get_args(Filters))
def test_sensor_has_noise_of_the_same_strength(filters):
    signal = np.full((2000, 40, 3), 0.5, np.float32)
    noisy = Sensor(shot=2e-3, read=5e-3, row=1e-2, filters=filters)
    raw, found = (
        sensor.read_out(like, noisy, np.random.default_rng(1))
        for like in (signal, torch.asarray(signal))
    )
    assert found.dtype == torch.float32
    assert float(found.mean()) == pytest.approx(0.5, abs=2e-3)
    assert float(found.std()) == pytest.approx(raw.std(), rel=0.03)
    assert float(found.mean(1).std()) == pytest.approx(raw.mean(1).std(), rel=0.06)


@pytest.mark.parametrize("method", get_args(Demosaic))
def test_demosaic_is_alike(method):
    assert_same(camera.demosaic, noise_picture(16, 22), method=method)


@pytest.mark.parametrize(
    "chosen",
    [
        Camera(sharpen=0.0),
        Camera(white_balance=(1.1, 0.9), saturation=1.3, contrast=0.5),
        Camera(chroma_denoise=2.5, luma_denoise=0.04, sharpen=1.2, sharpen_sigma=1.6),
    ],
)
def test_processor_develops_alike(chosen):
    unmix = np.linalg.inv(sensor.filter_matrix(Sensor())).astype(np.float32)
    rgb = noise_picture(20, 31, 3) * np.float32(1.2)
    # One step of the tone curve's table, where it is steepest, is 0.003.
    assert_same(camera.develop, rgb, camera=chosen, unmix=unmix, atol=4e-3)
    found = camera.develop(torch.asarray(rgb), chosen, unmix).numpy()
    assert np.abs(found - camera.develop(rgb, chosen, unmix)).mean() < 1e-5


def test_rows_are_lit_alike_by_a_light_that_flickers():
    begins = np.linspace(0, 0.02, 200)
    flicker = Flicker(frequency_hz=240, depth=0.6, dark_share=0.4)

    def lit(begins):
        return shutter.row_gain(flicker, begins, 2.0)

    assert_same(lit, begins)


def test_fringes_alone_are_alike():
    truth = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    conditions = Conditions(pose=Pose(ratio=2.04, tilt_x_deg=4), lens=Lens(k1=0.05, field=100))
    beat = Beat(across=(0.3, 0.2, 0.3), down=(0.1, 0.1, 0.2))
    found = add_beat(torch.asarray(truth), conditions, beat)
    assert found.dtype == torch.uint8
    assert_levels_agree(found.numpy(), add_beat(truth, conditions, beat))


FILMED = {
    "plain": Conditions(pose=Pose(ratio=2.06, roll_deg=1.2)),
    "tilted": Conditions(
        panel=Panel(kind="pentile", rotated=True),
        pose=Pose(ratio=1.3, tilt_x_deg=20, tilt_y_deg=-12),
        lens=Lens(sigma=1.1, k1=0.08, chromatic=(0.375, 0.25), vignette=0.4, field=120),
        camera=Camera(demosaic="edge", contrast=0.4, saturation=1.2),
    ),
    "quad": Conditions(
        panel=Panel(kind="led"),
        pose=Pose(ratio=4.2),
        sensor=Sensor(filters="quad"),
        camera=Camera(demosaic="bilinear", shrink=1.4, shrink_filter="linear"),
    ),
    "smooth": Conditions(
        pose=Pose(ratio=2.7, roll_deg=-4),
        sensor=Sensor(exposure=1.6, filters="quad_binned"),
        camera=Camera(chroma_denoise=2.0, luma_denoise=0.03, shrink=1.7, sharpen=1.1),
    ),
    "flickers": Conditions(
        pose=Pose(ratio=1.0, roll_deg=5),
        shutter=Shutter(readout_ms=20, exposure_ms=2),
        flicker=Flicker(frequency_hz=240, depth=0.4),
        sweep=(Pose(ratio=1.0, roll_deg=5), Pose(ratio=1.0, roll_deg=5, shift_x=4.0)),
        camera=Camera(shrink=1.9, shrink_filter="nearest"),
    ),
}


def shown(conditions, *, height, width):
    """Bars and a gradient of colours, as large as the camera sees."""
    rows, columns = content_size(conditions, height=height, width=width)
    row, column = np.indices((rows, columns))
    content = np.stack([row % 256, column % 256, (row + 2 * column) % 256], axis=2)
    content[::12] = 40
    return content.astype(np.uint8)


def shoot(conditions, *, as_library=np.asarray, seed=0, height=72, width=96):
    content = as_library(shown(conditions, height=height, width=width))
    return film(content, conditions, np.random.default_rng(seed), height=height, width=width)


def assert_levels_agree(found, wanted):
    """Assert that rounding may have moved a few pixels by one level."""
    steps = np.abs(found.astype(int) - wanted)
    assert steps.max() <= 1
    assert (steps > 0).mean() < 2e-3


@pytest.mark.parametrize("name", FILMED)
def test_film_without_noise_is_the_same_to_a_level(name):
    drawn = FILMED[name]
    conditions = replace(drawn, sensor=replace(drawn.sensor, shot=0.0, read=0.0))
    wanted, found = shoot(conditions), shoot(conditions, as_library=torch.asarray)
    assert_levels_agree(found.picture, wanted.picture)
    assert_levels_agree(found.truth, wanted.truth)


def test_film_of_a_tensor_repeats_itself_by_seed():
    first, again, other = (
        shoot(FILMED["plain"], as_library=torch.asarray, seed=seed) for seed in (1, 1, 2)
    )
    assert first.picture.tobytes() == again.picture.tobytes() != other.picture.tobytes()
    assert first.truth.tobytes() == again.truth.tobytes() == other.truth.tobytes()


def test_film_of_a_tensor_is_compressed_and_returned_on_the_host():
    packed = replace(FILMED["plain"], sensor=QUIET, compression=Compression("jpeg", 80))
    wanted, found = shoot(packed), shoot(packed, as_library=torch.asarray)
    for side in (found.picture, found.truth):
        assert isinstance(side, np.ndarray)
        assert (side.shape, side.dtype) == ((72, 96, 3), np.uint8)
    np.testing.assert_allclose(found.truth.astype(int), wanted.truth, atol=8)


@pytest.mark.parametrize(("height", "width"), [(33, 47), (1, 64), (2, 2)])
@pytest.mark.parametrize("filters", ["bayer", "quad"])
def test_tensors_make_pictures_of_any_size(height, width, filters):
    conditions = replace(FILMED["plain"], sensor=replace(QUIET, filters=filters))
    wanted, found = (
        shoot(conditions, as_library=library, height=height, width=width)
        for library in (np.asarray, torch.asarray)
    )
    assert_levels_agree(found.picture, wanted.picture)
    assert_levels_agree(found.truth, wanted.truth)


def test_filming_on_the_cpu_is_numpys():
    conditions, rng = FILMED["plain"], np.random.default_rng(0)
    content = shown(conditions, height=72, width=96)
    found = film_on("cpu", content, conditions, rng, height=72, width=96)
    assert found.picture.tobytes() == shoot(conditions).picture.tobytes()


@pytest.mark.parametrize("name", FILMED)
def test_nothing_leaves_the_device_before_the_codec(name, monkeypatch):
    """Torch's device `meta` has no data, and refuses to meet any that is on the host."""

    def without_data(like, rng, *, shape):
        return torch.empty(shape, dtype=torch.float32, device=like.device)

    def zeros(side):
        assert side.device.type == "meta"
        return np.zeros(side.shape, np.uint8)

    monkeypatch.setattr(primitives_torch, "standard_normal", without_data)
    monkeypatch.setattr("engines.simulate.film.to_host", zeros)
    filmed = shoot(FILMED[name], as_library=lambda content: torch.asarray(content, device="meta"))
    assert filmed.picture.shape == filmed.truth.shape == (72, 96, 3)


@needs_cuda
@pytest.mark.parametrize("name", FILMED)
def test_filming_on_a_gpu_is_the_same_to_a_level(name):
    drawn = FILMED[name]
    conditions = replace(drawn, sensor=replace(drawn.sensor, shot=0.0, read=0.0))
    content = shown(conditions, height=72, width=96)
    rng = np.random.default_rng(0)
    found = film_on("cuda", content, conditions, rng, height=72, width=96)
    wanted = shoot(conditions)
    assert_levels_agree(found.picture, wanted.picture)
    assert_levels_agree(found.truth, wanted.truth)
