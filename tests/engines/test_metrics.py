"""Measures answer known pictures with known values, and are blind to what they should ignore."""

from importlib import import_module

import cv2
import numpy as np
import pytest
from lettered import lettered_page

from engines.evaluate import METRICS
from engines.evaluate.metrics import (
    aligned_psnr,
    colour_fit,
    detail_kept,
    flicker,
    ghosting,
    moire_band_error,
    moire_energy,
    moire_map,
    moving_psnr,
    psnr,
    relation_error,
    ssim,
    text_kept,
)
from engines.evaluate.text import find_text

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


def test_moire_map_averages_to_moire_energy_where_luma_is_flat_alike():
    picture = ripple(20, 10, (1, 0, -1))
    # The wave is the same everywhere: the half that is flat is like the whole.
    assert np.sqrt(moire_map(picture).mean()) == pytest.approx(moire_energy(picture), rel=0.03)


def test_moire_energy_is_the_mean_of_the_map_over_the_flat_half():
    picture = noise()
    picture[:, :100] = ripple(20, 10, (1, 0, -1))[:, :100]
    inside = np.sqrt(moire_map(picture)[:, :100].mean())
    assert moire_energy(picture) == pytest.approx(inside, rel=0.2)
    assert np.sqrt(moire_map(picture).mean()) > 1.5 * moire_energy(picture)


def test_moire_map_tells_where_the_ripple_is():
    picture = GREY.copy()
    picture[:, :100] = ripple(20, 10, (1, 0, -1))[:, :100]
    energy = moire_map(picture)
    assert (energy.shape, energy.dtype) == (picture.shape[:2], np.float32)
    assert energy[:, :80].mean() > 100 * energy[:, 160:].mean()


@pytest.mark.parametrize("measure", [aligned_psnr, moire_band_error, ssim])
def test_colours_fitted_before_give_the_same_figure(measure):
    truth = noise(low=60, high=200)
    picture = truth + (ripple(20, 10) - GREY)
    assert measure(picture, truth, fitted=colour_fit(picture, truth)) == measure(picture, truth)


@pytest.mark.parametrize(
    "measure", [psnr, aligned_psnr, moire_band_error, colour_fit, detail_kept, text_kept]
)
def test_pictures_of_different_shapes_are_refused(measure):
    with pytest.raises(ValueError, match=r"one shape, got .*160, 200.*160, 100"):
        measure(GREY, GREY[:, :100])


def test_ssim_of_equal_pictures_is_one_and_falls_with_noise():
    truth = ripple(20, 60)
    assert ssim(truth, truth) == pytest.approx(1)
    noisy = [np.clip(truth + noise(low=0, high=n), 0, 255).astype(np.uint8) for n in (10, 80)]
    assert 1 > ssim(noisy[0], truth) > ssim(noisy[1], truth) > 0


def test_ssim_ignores_colours_that_can_be_fitted():
    truth = noise(low=60, high=200)
    assert ssim((truth * 0.5 + 20).astype(np.uint8), truth) > 0.98


def lettering():
    """Bars of text-like contrast on the left half, nothing on the right."""
    picture = GREY.copy()
    picture[40:120:8, 10:90] = 20
    return picture


def test_detail_is_all_there_in_the_truth_itself():
    assert detail_kept(lettering(), lettering()) == pytest.approx(1)


def test_detail_falls_with_blur_and_rises_with_sharpening():
    truth = lettering()
    soft = cv2.GaussianBlur(truth, (0, 0), 1.5)
    sharp = np.clip(2.0 * truth - soft, 0, 255).astype(np.uint8)
    assert detail_kept(soft, truth) < 0.8 < 1 < detail_kept(sharp, truth)


def test_fringes_and_noise_are_no_detail():
    truth = lettering()
    fringed = np.clip(truth + (ripple(7, 30).astype(int) - 128), 0, 255).astype(np.uint8)
    assert detail_kept(fringed, truth) == pytest.approx(1, abs=0.05)
    assert abs(detail_kept(ripple(7, 30), truth)) < 0.05


def test_flat_truth_has_no_detail_to_keep():
    assert np.isnan(detail_kept(noise(), GREY))


def transfer_of_blur(page, sigma):
    """Return what a Gaussian leaves of the energy of central differences: their mean, weighted."""
    down, across = (np.fft.fftfreq(side) for side in page.shape[:2])
    slope = np.sin(2 * np.pi * down)[:, None] ** 2 + np.sin(2 * np.pi * across) ** 2
    energy = slope * np.abs(np.fft.fft2(page[..., 0])) ** 2
    passed = np.exp(-2 * (np.pi * sigma) ** 2 * (down[:, None] ** 2 + across**2))
    return np.average(passed, weights=energy)


@pytest.mark.parametrize("sigma", [0.8, 1.0, 1.5])
def test_blur_takes_from_text_what_its_transfer_function_says(sigma):
    page = lettered_page()
    soft = cv2.GaussianBlur(page, (0, 0), sigma)
    assert text_kept(soft, page) == pytest.approx(transfer_of_blur(page, sigma), abs=0.002)


def test_text_keeps_its_share_of_contrast():
    page = lettered_page()
    assert text_kept(page, page) == 1
    assert text_kept(page // 2 + 100, page) == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("period", [7, 12, 20])
def test_fringe_over_text_changes_nothing_over_its_phases(period):
    page = lettered_page()
    phase = 2 * np.pi * np.arange(page.shape[1])[:, None] / period
    waves = [np.rint(25 * np.sin(phase + quarter * np.pi / 2)).astype(int) for quarter in range(4)]
    kept = [text_kept((page + wave).astype(np.uint8), page) for wave in waves]
    assert kept == pytest.approx([1] * 4, abs=0.005)
    assert np.mean(kept) == pytest.approx(1, abs=1e-5)


def test_noise_is_no_text():
    page = lettered_page()
    grain = np.random.default_rng(0).integers(-20, 21, page.shape)
    assert text_kept((page + grain).astype(np.uint8), page) == pytest.approx(1, abs=0.01)


def test_what_happens_beside_the_text_does_not_count():
    cloth = noise(low=90, high=160)
    truth = np.hstack([lettered_page()[:160], cloth])
    picture = np.hstack([lettered_page()[:160], cv2.GaussianBlur(cloth, (0, 0), 2)])
    assert text_kept(picture, truth) == 1
    assert text_kept(picture, truth, text=find_text(truth)) == 1


def test_picture_without_text_has_none_to_keep():
    assert np.isnan(text_kept(lettered_page()[:160, :200], noise(low=90, high=160)))


def pulsing(amplitude, frames=5):
    """Grey that goes up and down by `amplitude` levels from frame to frame."""
    return np.stack([GREY + np.uint8(amplitude * (number % 2)) for number in range(frames)])


def test_flicker_of_a_still_region_that_pulses_by_one_level_is_one():
    still = pulsing(0)
    assert flicker(still, still) == 0
    assert flicker(pulsing(1), still) == pytest.approx(1)
    assert flicker(pulsing(4), still) == pytest.approx(4)


def test_flicker_looks_only_where_the_truth_stands_still():
    truth = pulsing(0).copy()
    truth[:, :, 96:] = pulsing(9)[:, :, 96:]
    assert flicker(truth, truth) == 0
    output = truth.copy()
    output[1::2, :, :96] += 2
    assert flicker(output, truth) == pytest.approx(2)
    assert np.isnan(flicker(pulsing(2), pulsing(9)))


def test_relation_error_is_zero_for_a_constant_difference():
    assert relation_error(pulsing(3) + 20, pulsing(3)) == 0
    assert relation_error(pulsing(3), pulsing(0)) == pytest.approx(3)


def test_relation_error_counts_pulses_more_than_noise():
    rng = np.random.default_rng(0)
    grain = pulsing(0) + rng.choice([0, 3], pulsing(0).shape).astype(np.uint8)
    assert relation_error(grain, pulsing(0)) < relation_error(pulsing(3), pulsing(0))


def sliding(speed=3, frames=6, low=40, high=216):
    """Soft texture that moves to the right by `speed` pixels a frame."""
    wide = cv2.GaussianBlur(noise(low=low, high=high), (0, 0), 1.5)
    return np.stack([np.roll(wide, speed * number, axis=1) for number in range(frames)])


def mixed(clip, share):
    """Each picture with so much of the one before."""
    before = np.concatenate([clip[:1], clip[:-1]])
    return np.rint((1 - share) * clip + share * before.astype(float)).astype(np.uint8)


def blinking():
    return np.stack([noise(number % 2) for number in range(4)])


def fading():
    return np.stack([GREY + np.uint8(10 * number) for number in range(5)])


@pytest.mark.parametrize("share", [0, 0.2, 0.5, 1])
@pytest.mark.parametrize("moving", [sliding, lambda: sliding(frames=2), blinking, fading])
def test_ghosting_is_the_share_of_the_picture_before(moving, share):
    truth = moving()
    assert ghosting(mixed(truth, share), truth) == pytest.approx(share, abs=0.02)


def test_ghosting_counts_only_where_the_truth_moves():
    truth = sliding()
    truth[:, :96] = truth[0, :96]
    output = mixed(truth, 0.3)
    output[:, :96] = pulsing(9, 6)[:, :96]
    assert ghosting(output, truth) == pytest.approx(0.3, abs=0.01)
    assert np.isnan(ghosting(pulsing(9), pulsing(0)))


@pytest.mark.parametrize("speed", [1, 3])
def test_what_is_soft_pale_noisy_or_fringed_is_no_ghost(speed):
    truth = sliding(speed, frames=10)
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in truth])
    pale = truth // 2 + np.uint8(70)
    noisy = truth + np.random.default_rng(1).integers(-20, 21, truth.shape)
    fringed = truth + (ripple(12, 15, (1, 0, -1)).astype(int) - 128)
    for output in (soft, pale, noisy.astype(np.uint8), fringed.astype(np.uint8)):
        assert ghosting(output, truth) == pytest.approx(0, abs=0.03)


def test_faint_ghost_of_what_is_faint_is_seen_beside_strong_motion():
    truth = sliding()
    truth[:, :, 96:] = 60 + truth[:, :, 96:] // 2  # moves by a few levels
    output = truth.copy()
    output[:, :, 96:] = mixed(truth, 0.8)[:, :, 96:]
    # A third of all steps, though but a fifth of their energy.
    assert ghosting(output, truth) == pytest.approx(0.8 / 3, abs=0.05)


def test_past_that_dies_away_counts_more_the_longer_it_lasts():
    truth = sliding(speed=1, frames=12)
    scores = []
    for kept in (0.2, 0.5, 0.8):
        past, output = truth[0].astype(float), []
        for frame in truth:
            past = kept * past + (1 - kept) * frame
            output.append(np.rint(past).astype(np.uint8))
        scores.append(ghosting(np.stack(output), truth))
    assert 0.15 < scores[0] < scores[1] < scores[2]


def test_moving_psnr_is_that_of_the_cells_that_move():
    truth = sliding()
    truth[:, :96] = truth[0, :96]
    output = truth.copy()
    output[:, :96] = 0
    assert moving_psnr(output, truth) == float("inf")
    output[:, 96:] += 5
    assert moving_psnr(output, truth) == pytest.approx(10 * np.log10(255**2 / 25), abs=0.01)
    assert np.isnan(moving_psnr(pulsing(9), pulsing(0)))


@pytest.mark.parametrize("measure", [flicker, relation_error, ghosting, moving_psnr])
def test_clips_of_one_frame_or_different_shapes_are_refused(measure):
    with pytest.raises(ValueError, match="two frames or more, got 1"):
        measure(GREY[None], GREY[None])
    with pytest.raises(ValueError, match="one shape"):
        measure(pulsing(1), pulsing(1)[:3])
