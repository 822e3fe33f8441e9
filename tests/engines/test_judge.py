"""Judging: networks beside doing nothing and simple filters, on pictures and clips."""

import math

import cv2
import numpy as np
import pytest
from fringed import GREY, HEIGHT, WIDTH, clip, fringed, halve, judged, same, truth
from lettered import lettered_page

from engines.backends import create_engine
from engines.evaluate import BASELINES
from engines.evaluate.baselines import fft_notch
from engines.evaluate.cases import Case, ClipCase
from engines.evaluate.cleaner import PictureCleaner
from engines.evaluate.judge import INPUT, judge_clips, load_baselines
from engines.evaluate.metrics import moire_energy
from engines.evaluate.summary import summarise


def test_doing_nothing_scores_one_and_gains_nothing():
    figures = summarise(judged(same))["all"]["model"]
    assert figures["moire_band_error_ratio"]["mean"] == pytest.approx(1)
    assert figures["moire_energy_ratio"]["mean"] == pytest.approx(1)
    assert figures["psnr_gain"]["mean"] == 0


def test_half_of_the_fringes_gone_is_seen_by_every_measure():
    figures = summarise(judged(halve))["all"]["model"]
    assert figures["moire_band_error_ratio"]["mean"] == pytest.approx(0.5, abs=0.05)
    assert figures["psnr_gain"]["mean"] == pytest.approx(6, abs=0.3)
    assert figures["ssim_gain"]["mean"] > 0
    assert figures["detail_kept"]["mean"] == pytest.approx(1, abs=0.02)


def test_harm_is_what_the_model_does_to_the_truth():
    untouched, darkened = (
        judged(model)[0].harm_db for model in (same, lambda p: p - np.uint8(p.min() > 9) * 2)
    )
    assert untouched == 80
    assert darkened == pytest.approx(20 * math.log10(255 / 2), abs=0.1)


def test_harm_is_shown_where_the_truth_changed_most():
    page = np.tile(truth(), (4, 3, 1))

    def blot(picture):
        blotted = picture.copy()
        blotted[300:320, 350:380] = 0
        return blotted

    (found,) = judged(blot, cases=[Case("page", page, page)])
    assert found.harm_crop.before.shape == (256, 256, 3)
    assert np.count_nonzero((found.harm_crop.after == 0).all(axis=2)) >= 20 * 30
    assert (found.harm_crop.removed != 128).any(axis=2).sum() == 20 * 30


def test_truth_that_comes_back_as_it_was_has_no_harm_to_show():
    assert judged(same)[0].harm_crop is None


def test_strength_follows_the_input():
    names = [judged(same, cases=[Case("x", fringed(a), truth())])[0].strength for a in (60, 15, 2)]
    assert names == ["strong", "medium", "weak"]


def test_pictures_without_a_truth_have_an_energy_only():
    paler = fringed(6, GREY)
    (found,) = judged(lambda _: paler, cases=[Case("photo", fringed(12, GREY))])
    assert found.scores[INPUT].keys() == {"moire_energy"}
    ratio = found.scores["model"]["moire_energy"] / found.scores[INPUT]["moire_energy"]
    assert ratio == pytest.approx(0.5, abs=0.05)
    assert (found.harm_db, found.strength, found.crop.truth) == (None, None, None)


def test_flat_truth_is_judged_without_detail():
    flat = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    (found,) = judged(same, cases=[Case("flat", fringed(), flat)])
    assert "detail_kept" not in found.scores["model"]


def test_saturated_field_without_detail_is_judged():
    blue = np.full((HEIGHT, WIDTH, 3), (20, 40, 200), np.uint8)
    (found,) = judged(same, cases=[Case("blue", blue, blue)])
    assert found.harm_db == 80
    assert not {"detail_kept", "text_kept"} & found.scores["model"].keys()


def test_what_is_kept_of_text_is_told_against_the_truth_and_against_the_input():
    page = lettered_page()
    pale, paler = (page // part + np.uint8(200 - 200 // part) for part in (2, 4))
    flat = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    cases = [Case("no text", flat, flat), Case("text", pale, page)]
    found = summarise(judged(lambda p: paler if p is pale else p, cases=cases))["all"]
    assert found["input"]["text_kept"]["mean"] == pytest.approx(1 / 2, abs=0.01)
    assert found["model"]["text_kept"]["mean"] == pytest.approx(1 / 4, abs=0.01)
    for measure in ("text_kept", "detail_kept"):
        assert found["model"][f"{measure}_ratio"]["mean"] == pytest.approx(1 / 2, abs=0.02)
        assert found["model"][measure]["count"] == 1


def test_pictures_with_nothing_to_remove_do_not_decide_a_ratio():
    page = truth()
    cases = [Case("fringed", fringed(), page), Case("clean", page, page)]
    spoiled = np.clip(page + np.random.default_rng(0).normal(0, 2, page.shape), 0, 255)
    model = {fringed().tobytes(): fringed(), page.tobytes(): spoiled.astype(np.uint8)}
    found = summarise(judged(lambda picture: model[picture.tobytes()], cases=cases))
    ratio = found["all"]["model"]["moire_band_error_ratio"]
    assert ratio["max"] == pytest.approx(1)
    assert 1 < ratio["mean"] < 1.2


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("shape", [(96, 130), (33, 64), (7, 5)])
def test_baselines_take_every_size_and_keep_flat_colour(name, shape):
    (clean,) = load_baselines([name]).values()
    flat = np.full((*shape, 3), (200, 40, 90), np.uint8)
    assert clean(flat).shape == flat.shape
    assert np.abs(clean(flat).astype(int) - flat).max() <= 2


def test_chroma_blur_takes_colour_and_leaves_luma():
    (clean,) = load_baselines(["chroma-blur"]).values()
    picture = fringed(20, GREY)
    assert moire_energy(clean(picture)) < 0.3 * moire_energy(picture)


def test_notch_takes_a_pure_wave_away():
    columns = np.arange(128)[None, :, None]
    wave = np.broadcast_to(128 + 40 * np.sin(2 * np.pi * columns / 8), (128, 128, 3))
    left = fft_notch(wave.astype(np.uint8))[32:-32, 32:-32].astype(float)
    assert left.std() < 0.2 * wave.std()


def test_notch_windows_add_up_to_the_picture():
    smooth = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (96, 130, 3), dtype=np.uint8), (0, 0), 0.7
    )
    # White noise has next to no peaks to take.
    assert np.abs(fft_notch(smooth).astype(int) - smooth).mean() < 3


def frame_by_frame(model, **others):
    """What cleans clips as `model` cleans pictures, beside other methods on whole clips."""

    def clean(case):
        outputs = {"model": np.stack([model(frame) for frame in case.clip])}
        return outputs | {name: method(case.clip) for name, method in others.items()}

    return clean


def steady(clip):
    """All pictures are their mean."""
    return np.broadcast_to(np.rint(clip.mean(axis=0)), clip.shape).astype(np.uint8)


def pulses(groups=(), name="talk"):
    return ClipCase(name, clip([20, 0, 20, 5]), np.stack([truth()] * 4), groups=groups)


def test_clips_are_judged_by_their_flicker():
    still = np.stack([truth()] * 4)
    case = ClipCase("talk", clip([20, 0, 20, 0]), still)
    (found,) = judge_clips([case], frame_by_frame(halve), {})
    for measure in ("relation_error", "flicker"):
        ratio = found.scores["model"][measure] / found.scores[INPUT][measure]
        assert ratio == pytest.approx(0.5, abs=0.1)


def test_smoothing_is_told_against_the_model_too():
    clean = frame_by_frame(halve, smoothed=steady)
    figures = summarise(list(judge_clips([pulses()], clean, {})))["all"]
    assert figures["smoothed"]["flicker_over_model"]["mean"] == 0
    assert figures["smoothed"]["relation_error_over_model"]["mean"] == 0
    assert "flicker_over_model" not in figures["model"]


def test_smoothing_that_ghosts_is_seen_where_the_truth_moves():
    page = np.tile(truth(), (1, 2, 1))
    moving = np.stack([np.roll(page, 4 * number, axis=1) for number in range(5)])
    case = ClipCase("scroll", moving ^ np.uint8(3), moving)

    def smear(clip):
        return np.concatenate([clip[:1], (clip[1:] // 2 + clip[:-1] // 2)])

    clean = frame_by_frame(same, smoothed=smear)
    smoothed = summarise(list(judge_clips([case], clean, {})))["all"]["smoothed"]
    assert smoothed["ghosting_less_model"]["mean"] == pytest.approx(0.5, abs=0.02)
    assert smoothed["moving_psnr_less_model"]["mean"] < -10
    assert smoothed["psnr_less_model"]["mean"] < -10
    assert smoothed["moving_psnr_gain"] == smoothed["moving_psnr_less_model"]


def test_clip_counts_under_each_of_its_groups():
    cases = [pulses(("hand-held", "film"), "a"), pulses(("tripod",), "b"), pulses(("hand-held",))]
    summary = summarise(list(judge_clips(cases, frame_by_frame(halve), {})))
    counts = {name: figures["count"] for name, figures in summary["by_scene"].items()}
    assert counts == {"tripod": 1, "hand-held": 2, "film": 1}
    assert list(counts) == ["tripod", "hand-held", "film"]


def test_clips_that_nothing_is_known_of_have_no_groups():
    found = list(judge_clips([pulses()], frame_by_frame(halve), {"notch": fft_notch}))
    assert "by_scene" not in summarise(found)
    assert list(found[0].scores) == [INPUT, "model", "notch"]


def test_clip_shows_the_column_that_flickers_over_time():
    still = np.stack([truth()] * 4)
    flickering = still.copy()
    flickering[1::2, :, 100:108] += 40
    case = ClipCase("talk", flickering, still)
    (found,) = judge_clips([case], frame_by_frame(same, smoothed=steady), {"notch": fft_notch})
    assert list(found.strips) == ["input", "model", "smoothed", "truth"]
    assert {strip.shape for strip in found.strips.values()} == {(HEIGHT, 4, 3)}
    assert (found.strips["model"][:, 1] == found.strips["truth"][:, 1] + 40).all()
    assert (np.ptp(found.strips["smoothed"], axis=1) == 0).all()


def test_engine_cleans_rgb_of_several_sizes():
    engine = create_engine("identity")
    clean = PictureCleaner(engine)
    for side in (32, 40, 48, 56, 64, 32):
        picture = np.random.default_rng(side).integers(0, 256, (side, 50, 3), dtype=np.uint8)
        np.testing.assert_array_equal(clean(picture), picture)
    clean.close()
    engine.close()
