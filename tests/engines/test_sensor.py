"""The raw picture and what the camera's processor makes of it."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from engines.simulate.camera import Camera, Demosaic, Shrink, demosaic, develop, shrink
from engines.simulate.sensor import (
    Sensor,
    add_noise,
    filter_matrix,
    mosaic,
    quad_mosaic,
    read_out,
    remosaic,
)

DEMOSAICS = get_args(Demosaic)
SHRINKS = get_args(Shrink)
PLAIN = Camera(sharpen=0.0)
IDENTITY = np.eye(3, dtype=np.float32)


def noise_picture(height=32, width=32, seed=0):
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def ramps():
    """Red rises to the right, green downwards, blue falls to the right."""
    row, column = np.mgrid[:32, :32].astype(np.float32)
    return np.stack([0.1 + 0.01 * column, 0.2 + 0.01 * row, 0.8 - 0.01 * column], axis=2)


@pytest.mark.parametrize("crosstalk", [0.0, 0.12, 0.25])
def test_filters_let_white_through_unchanged(crosstalk):
    matrix = filter_matrix(Sensor(crosstalk=crosstalk))
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    assert (matrix.argmax(1) == [0, 1, 2]).all()


def test_mosaic_keeps_the_rggb_sites():
    signal = noise_picture()
    raw = mosaic(signal)
    assert raw.shape == (32, 32)
    for top, left, channel in [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)]:
        here = np.s_[top::2, left::2]
        np.testing.assert_array_equal(raw[here], signal[(*here, channel)])


def test_quad_mosaic_keeps_rggb_in_blocks():
    signal = noise_picture()
    raw = quad_mosaic(signal)
    for top, left, channel in [(0, 0, 0), (0, 2, 1), (2, 0, 1), (2, 2, 2)]:
        for row, column in np.ndindex(2, 2):
            here = np.s_[top + row :: 4, left + column :: 4]
            np.testing.assert_array_equal(raw[here], signal[(*here, channel)])


@pytest.mark.parametrize("size", [(4, 4), (6, 10), (32, 30)])
def test_remosaic_reproduces_flat_colour(size):
    colour = np.broadcast_to(np.float32([0.2, 0.5, 0.8]), (*size, 3))
    np.testing.assert_allclose(remosaic(quad_mosaic(colour)), mosaic(colour), atol=1e-6)


def test_remosaic_reproduces_ramps_away_from_the_borders():
    inner = np.s_[3:-3, 3:-3]
    found = remosaic(quad_mosaic(ramps()))
    np.testing.assert_allclose(found[inner], mosaic(ramps())[inner], atol=1e-6)


def test_remosaic_keeps_what_was_measured_in_the_right_colour():
    signal = noise_picture()
    found, wanted = remosaic(quad_mosaic(signal)), mosaic(signal)
    row, column = np.indices(found.shape)
    # Red, green and blue of both layouts share these places of every 4x4.
    same = np.isin(4 * (row % 4) + column % 4, [0, 3, 6, 9, 12, 15])
    np.testing.assert_array_equal(found[same], wanted[same])


def test_quad_sensor_makes_false_colour_of_detail_that_bayer_resolves():
    stripes = np.zeros((64, 64, 3), np.float32)
    stripes[:, ::4] = stripes[:, 1::4] = 1  # as wide as a block of one colour
    rng = np.random.default_rng(0)
    quiet = Sensor(shot=0.0, read=0.0)
    chroma = [
        np.ptp(demosaic(read_out(stripes, replace(quiet, filters=f), rng), "malvar"), axis=2)
        for f in ("bayer", "quad")
    ]
    assert chroma[1].mean() > 1.5 * chroma[0].mean()


def test_binned_sensor_differs_by_its_noise_alone():
    signal = np.full((200, 200, 3), 0.5, np.float32)
    noise = {"shot": 1e-3, "read": 1e-2, "row": 1e-2}
    single, binned = (
        read_out(signal, Sensor(filters=f, **noise), np.random.default_rng(1))
        for f in ("bayer", "quad_binned")
    )
    assert binned.mean() == pytest.approx(0.5, abs=2e-3)
    within_rows = [(raw - raw.mean(1, keepdims=True)).std() for raw in (single, binned)]
    assert within_rows[1] == pytest.approx(within_rows[0] / 2, rel=0.02)
    of_rows = [raw.mean(1).std() for raw in (single, binned)]
    assert of_rows[1] == pytest.approx(of_rows[0] / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("signal", [0.0, 0.1, 0.8])
def test_noise_variance_grows_with_the_signal(signal):
    sensor = Sensor(shot=2e-3, read=5e-3)
    noisy = add_noise(np.full((400, 400), signal, np.float32), sensor, np.random.default_rng(1))
    assert noisy.dtype == np.float32
    assert noisy.mean() == pytest.approx(signal, abs=5e-4)
    # 160,000 samples know a variance to 0.35 % (one sigma).
    assert noisy.var() == pytest.approx(2e-3 * signal + 5e-3**2, rel=0.02)


def test_row_noise_is_shared_by_a_row():
    sensor = Sensor(shot=0.0, read=0.0, row=0.01)
    noisy = add_noise(np.full((2000, 4), 0.5, np.float32), sensor, np.random.default_rng(1))
    assert np.ptp(noisy, axis=1).max() == 0
    assert noisy.std() == pytest.approx(0.01, rel=0.08)


def test_noise_repeats_itself_by_seed():
    raw, sensor = noise_picture()[..., 0], Sensor(row=0.01)
    first, second = (add_noise(raw, sensor, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("method", DEMOSAICS)
def test_demosaic_reproduces_flat_colour(method):
    colour = np.broadcast_to(np.float32([0.2, 0.5, 0.8]), (32, 32, 3))
    np.testing.assert_allclose(demosaic(mosaic(colour), method), colour, atol=1e-4)


@pytest.mark.parametrize("method", DEMOSAICS)
def test_demosaic_reproduces_ramps_away_from_the_borders(method):
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(demosaic(mosaic(ramps()), method)[inner], ramps()[inner], atol=1e-4)


def test_malvar_keeps_what_the_sensor_measured():
    raw = noise_picture()[..., 0]
    np.testing.assert_array_equal(mosaic(demosaic(raw, "malvar")), raw)


def test_fine_detail_in_grey_turns_to_false_colour():
    stripes = np.zeros((32, 32, 3), np.float32)
    stripes[:, ::2] = 1
    assert np.ptp(demosaic(mosaic(stripes), "bilinear")[8:-8, 8:-8], axis=2).max() > 0.5


@pytest.mark.parametrize(
    "camera",
    [
        Camera(),
        Camera(contrast=0.5, saturation=1.3),
        Camera(sharpen=1.2, sharpen_sigma=1.6, chroma_denoise=1.5),
    ],
)
def test_grey_stays_grey(camera):
    signal = noise_picture()[..., :1].repeat(3, axis=2)
    unmix = np.linalg.inv(filter_matrix(Sensor(crosstalk=0.2))).astype(np.float32)
    assert np.ptp(develop(signal, camera, unmix), axis=2).max() < 2e-3


def test_colour_correction_undoes_the_filters():
    light, matrix = noise_picture(), filter_matrix(Sensor(crosstalk=0.2))
    seen = develop(light @ matrix.T, PLAIN, np.linalg.inv(matrix))
    np.testing.assert_allclose(seen, develop(light, PLAIN, IDENTITY), atol=2e-3)


def test_tone_is_srgb_with_black_and_white_at_its_ends():
    levels = np.array([0.0, 0.002, 0.18, 1.0], np.float32).reshape(1, 4, 1).repeat(3, axis=2)
    seen = develop(levels, PLAIN, IDENTITY)[0, :, 1]
    assert seen == pytest.approx([0, 12.92 * 0.002, 0.4613, 1], abs=2e-3)


def test_contrast_darkens_shadows_and_lifts_lights():
    levels = np.array([0.05, 0.7], np.float32).reshape(1, 2, 1).repeat(3, axis=2)
    flat, steep = (
        develop(levels, replace(PLAIN, contrast=contrast), IDENTITY)[0, :, 0]
        for contrast in (0.0, 0.5)
    )
    assert steep[0] < flat[0]
    assert steep[1] > flat[1]


def test_saturation_and_white_balance_move_colours():
    colour = np.float32([[[0.5, 0.3, 0.2]]])
    base = develop(colour, PLAIN, IDENTITY)[0, 0]
    strong = develop(colour, replace(PLAIN, saturation=1.3), IDENTITY)[0, 0]
    warm = develop(colour, replace(PLAIN, white_balance=(1.1, 0.9)), IDENTITY)[0, 0]
    assert np.ptp(strong) > np.ptp(base)
    assert warm[0] > base[0]
    assert warm[1] == pytest.approx(base[1])
    assert warm[2] < base[2]


def test_sharpening_leaves_a_halo_beside_an_edge():
    edge = np.full((16, 16, 3), 0.1, np.float32)
    edge[:, 8:] = 0.5
    soft, crisp = (
        develop(edge, replace(PLAIN, sharpen=sharpen), IDENTITY)[8, :, 0] for sharpen in (0.0, 1.0)
    )
    assert crisp.min() < soft.min()
    assert crisp.max() > soft.max()
    assert crisp[0] == pytest.approx(soft[0], abs=1e-4)


def test_chroma_denoise_smooths_colour_but_not_luma():
    light = noise_picture()
    rough, smooth = (
        develop(light, replace(PLAIN, chroma_denoise=sigma), IDENTITY) for sigma in (0.0, 1.5)
    )
    chroma = [(picture[..., 0] - picture[..., 1]).std() for picture in (rough, smooth)]
    assert chroma[1] < 0.5 * chroma[0]
    assert smooth.mean(2).std() > 0.8 * rough.mean(2).std()


def test_luma_denoise_smooths_grain_but_keeps_edges():
    light = np.full((32, 32, 3), 0.2, np.float32)
    light[:, 16:] = 0.6
    light += np.float32(0.02) * (noise_picture()[..., :1] - 0.5)
    rough, smooth = (
        develop(light, replace(PLAIN, luma_denoise=step), IDENTITY)[..., 1] for step in (0.0, 0.06)
    )
    assert smooth[:, :12].std() < 0.6 * rough[:, :12].std()
    edges = [picture[:, 16].mean() - picture[:, 15].mean() for picture in (rough, smooth)]
    assert edges[1] > 0.95 * edges[0]


@pytest.mark.parametrize("method", SHRINKS)
def test_shrinking_leaves_everything_in_its_place(method):
    picture = ramps()
    small = shrink(picture, height=20, width=20, method=method)
    assert small.shape == (20, 20, 3)
    # Red is 0.1 + 0.01 x: how far samples lie from where 1.6 times coarser pixels have theirs.
    offset = (small[0, 2:-2, 0] - 0.1) / 0.01 - ((np.arange(20) + 0.5) * 1.6 - 0.5)[2:-2]
    assert abs(offset.mean()) < 0.15


@pytest.mark.parametrize("method", SHRINKS)
def test_picture_of_the_right_size_is_not_resampled(method):
    picture = noise_picture()
    assert shrink(picture, height=32, width=32, method=method) is picture


def test_only_area_shrinking_is_free_of_a_second_aliasing():
    checks = np.indices((64, 64)).sum(0) % 2
    picture = checks[..., None].repeat(3, axis=2).astype(np.float32)
    ripple = {m: shrink(picture, height=36, width=36, method=m).std() for m in SHRINKS}
    assert ripple["area"] < ripple["linear"] < ripple["nearest"]
