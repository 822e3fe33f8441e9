"""Measures answer known pictures with known values, and are blind to what they should ignore."""

from importlib import import_module

import numpy as np
import pytest

from engines.evaluate import METRICS
from engines.evaluate.metrics import (
    aligned_psnr,
    colour_fit,
    moire_band_error,
    moire_energy,
    psnr,
)

GREY = np.full((160, 200, 3), 128, np.uint8)


def noise(seed=0, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, (160, 200, 3), dtype=np.uint8)


def ripple(period, amplitude, channels=(1, 1, 1)):
    """Grey with a sine of `period` pixels along both axes, `amplitude` levels on each channel."""
    rows, columns = np.indices((160, 200))
    wave = np.sin(2 * np.pi * (rows + columns) / (period * 2**0.5))
    return np.rint(128 + amplitude * wave[..., None] * np.array(channels)).astype(np.uint8)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_can_be_found_by_its_name(name):
    module, function = METRICS[name].split(":")
    assert callable(getattr(import_module(module), function))


def test_psnr_of_a_constant_difference_is_known():
    assert psnr(GREY + 5, GREY) == pytest.approx(10 * np.log10(255**2 / 25))
    assert psnr(np.zeros_like(GREY), np.full_like(GREY, 255)) == pytest.approx(0)


def test_psnr_does_not_wrap_around():
    assert psnr(GREY, GREY + 5) == psnr(GREY + 5, GREY)


def test_psnr_of_equal_pictures_is_infinite():
    assert psnr(noise(), noise()) == float("inf")


def test_colour_fit_removes_an_affine_change_of_colours():
    truth = noise(low=60, high=200)
    mix = np.array([[0.8, 0.15, 0], [0.05, 0.9, 0.1], [0, 0.1, 0.7]])
    changed = np.rint(truth @ mix.T + [5, -3, 12]).astype(np.uint8)
    assert psnr(changed, truth) < 27
    # What is left comes from rounding.
    assert np.abs(colour_fit(changed, truth) - truth).max() < 1.5
    assert aligned_psnr(changed, truth) > 48


def test_colour_fit_leaves_detail_alone():
    truth, flat = noise(), GREY
    fitted = colour_fit(flat, truth)
    assert fitted.dtype == np.float32
    np.testing.assert_allclose(fitted, np.broadcast_to(truth.mean((0, 1)), truth.shape), atol=0.01)


def test_moire_band_error_sees_a_ripple_of_20_pixels():
    truth = noise(low=60, high=200)
    rippled = truth + (ripple(20, 10) - GREY)  # wraps around, and back
    error = moire_band_error(rippled, truth)
    # RMS of the sine, less what the band's edges take.
    assert 0.45 * 10 / 2**0.5 < error < 10 / 2**0.5


def test_moire_band_error_ignores_shading_texture_and_colour_shift():
    truth = noise(low=60, high=200)
    fringe = moire_band_error(truth + (ripple(20, 10) - GREY), truth)
    assert moire_band_error(truth + 12, truth) < 0.01
    assert moire_band_error(truth + (ripple(2.5, 10) - GREY), truth) < 0.05 * fringe
    assert moire_band_error(truth + (ripple(900, 10) - GREY), truth) < 0.2 * fringe


def test_moire_energy_of_grey_is_zero():
    assert moire_energy(GREY) == pytest.approx(0, abs=1e-3)
    assert moire_energy(ripple(20, 20)) < 0.05  # brightness is no colour


def test_moire_energy_grows_with_the_ripple():
    energies = [moire_energy(ripple(20, amplitude, (1, 0, -1))) for amplitude in (2, 5, 10, 20)]
    assert energies == sorted(energies)
    assert energies[3] == pytest.approx(4 * energies[1], rel=0.1)
    assert energies[1] > 1


def test_moire_energy_looks_at_the_flat_half():
    picture = GREY.copy()
    picture[:, :80] = noise()[:, :80]  # colourful, but busy
    assert moire_energy(picture) < 0.2 * moire_energy(noise())


@pytest.mark.parametrize("measure", [psnr, aligned_psnr, moire_band_error, colour_fit])
def test_pictures_of_different_shapes_are_refused(measure):
    with pytest.raises(ValueError, match=r"one shape, got .*160, 200.*160, 100"):
        measure(GREY, GREY[:, :100])
