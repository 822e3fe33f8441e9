"""Judging: networks beside simple filters, sets of several kinds, and the reports."""

import json
import math

import av
import cv2
import numpy as np
import pytest

from engines.backends import create_engine
from engines.evaluate import BASELINES
from engines.evaluate.baselines import fft_notch
from engines.evaluate.cases import (
    Case,
    ClipCase,
    ClipCases,
    PairCases,
    PhotoCases,
    SimulatedCases,
    read_clip,
    read_picture,
)
from engines.evaluate.cleaner import PictureCleaner
from engines.evaluate.judge import (
    INPUT,
    judge_clips,
    judge_pictures,
    load_baselines,
    summarise,
)
from engines.evaluate.metrics import moire_energy
from engines.evaluate.report import Evaluation, markdown, write_html, write_json
from engines.pairs import PairsError

HEIGHT, WIDTH = 96, 130


def truth():
    """A page: light grey with dark bars, and fields in the primaries.

    On grey alone an affine fit of colours could cancel rainbow fringes.
    """
    picture = np.full((HEIGHT, WIDTH, 3), 190, np.uint8)
    picture[10:80:9, 10:70] = 60
    for channel in range(3):
        picture[30 * channel : 30 * channel + 30, 80:, channel] = 70
    return picture


GREY = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)


def fringed(amplitude=12, page=None):
    """A page under rainbow fringes of 20 pixels."""
    page = truth() if page is None else page
    columns = np.arange(WIDTH)[None, :, None]
    shift = np.array([0, 1, 2]) / 3
    wave = amplitude * np.sin(2 * np.pi * (columns / 20 + shift))
    return np.clip(page + wave, 0, 255).astype(np.uint8)


def halve(picture):
    """A model that takes half of the way from the fringes to the page."""
    return np.rint((picture.astype(float) + truth()) / 2).astype(np.uint8)


def same(picture):
    return picture


def judged(model, *, cases=None, baselines=()):
    cases = cases or [Case("page", fringed(), truth())]
    return list(judge_pictures(cases, model, load_baselines(baselines)))


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


def clip(amplitudes):
    return np.stack([fringed(amplitude) for amplitude in amplitudes])


def test_clips_are_judged_by_their_flicker():
    still = np.stack([truth()] * 4)
    case = ClipCase("talk", clip([20, 0, 20, 0]), still)
    (found,) = judge_clips([case], halve, {})
    for measure in ("relation_error", "flicker"):
        ratio = found.scores["model"][measure] / found.scores[INPUT][measure]
        assert ratio == pytest.approx(0.5, abs=0.1)


def write_picture(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1])


def test_pairs_are_read_as_they_are(tmp_path):
    write_picture(tmp_path / "1_moire.png", fringed())
    write_picture(tmp_path / "1_gt.png", truth())
    (case,) = PairCases(tmp_path, None)
    assert case.name == "1_moire.png"
    np.testing.assert_array_equal(case.picture, fringed())
    np.testing.assert_array_equal(case.truth, truth())


def test_pairs_of_two_sizes_are_an_error(tmp_path):
    write_picture(tmp_path / "1_moire.png", fringed())
    write_picture(tmp_path / "1_gt.png", truth()[:50])
    with pytest.raises(PairsError, match=r"1_moire\.png is 130x96 but .*1_gt\.png is 130x50"):
        list(PairCases(tmp_path, None))


def test_limit_counts_pictures(tmp_path):
    for number in range(3):
        write_picture(tmp_path / f"{number}.png", truth())
    cases = PhotoCases(tmp_path, 2)
    assert len(cases) == len(list(cases)) == 2


def test_folder_without_pictures_is_an_error(tmp_path):
    with pytest.raises(PairsError, match="no picture"):
        PhotoCases(tmp_path, None)
    with pytest.raises(PairsError, match="no such folder"):
        PhotoCases(tmp_path / "gone", None)


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_file_that_is_no_picture_is_named(tmp_path, content):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(PairsError, match=r"x\.png: cannot be decoded"):
        read_picture(path)


def write_clip(path, pictures):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgr0"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))


def test_clips_are_read_up_to_the_wanted_frames(tmp_path):
    write_clip(tmp_path / "a_moire.mkv", clip([5, 10, 15, 20]))
    write_clip(tmp_path / "a_gt.mkv", [truth()] * 3)
    (case,) = ClipCases(tmp_path, None, frames=9)
    assert case.clip.shape == case.truth.shape == (3, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(case.clip, clip([5, 10, 15]))
    assert len(read_clip(tmp_path / "a_moire.mkv", 2)) == 2


def test_file_that_is_no_clip_is_named(tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(b"not a clip")
    with pytest.raises(PairsError, match=r"x\.mp4: cannot be decoded"):
        read_clip(path, 3)


def test_simulated_pictures_repeat_themselves():
    first, again = (next(iter(SimulatedCases(1))) for _ in range(2))
    assert first.picture.tobytes() == again.picture.tobytes()
    assert first.picture.shape == first.truth.shape


def test_engine_cleans_rgb_of_several_sizes():
    engine = create_engine("identity")
    clean = PictureCleaner(engine)
    for side in (32, 40, 48, 56, 64, 32):
        picture = np.random.default_rng(side).integers(0, 256, (side, 50, 3), dtype=np.uint8)
        np.testing.assert_array_equal(clean(picture), picture)
    clean.close()
    engine.close()


@pytest.fixture
def evaluation():
    mild, bad = fringed(4), fringed(60)
    cases = [Case("mild <b>", mild, truth()), Case("bad", bad, truth())]
    judgements = judged(lambda p: p if np.array_equal(p, bad) else halve(p), cases=cases)
    return Evaluation("pairs", "here", "nano", "none", judgements)


def test_worst_come_first(evaluation):
    assert [found.name for found in evaluation.worst_first()] == ["bad", "mild <b>"]


def test_json_holds_every_figure_and_nothing_else(evaluation, tmp_path):
    write_json(evaluation, tmp_path / "e.json")
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["summary"]["all"]["count"] == len(found["cases"]) == 2
    assert found["summary"]["do_no_harm_db"]["min"] == 80
    assert found["cases"][0]["scores"]["model"]["moire_energy"] > 1
    assert [path.name for path in tmp_path.iterdir()] == ["e.json"]


def test_infinity_becomes_null(tmp_path):
    judgements = judged(same, cases=[Case("same", truth(), truth())])
    write_json(Evaluation("pairs", "x", "m", "e", judgements), tmp_path / "e.json")
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["cases"][0]["scores"]["model"]["psnr"] is None


def test_markdown_has_a_table_for_each_strength(evaluation):
    text = markdown(evaluation)
    assert "| moiré-band error, out/in |" in text
    assert text.count("Input with") == 2


def test_page_is_self_contained_and_escapes_names(evaluation, tmp_path):
    write_html(evaluation, tmp_path / "e.html")
    page = (tmp_path / "e.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2 * 4
    assert "http" not in page
    assert "mild &lt;b&gt;" in page
