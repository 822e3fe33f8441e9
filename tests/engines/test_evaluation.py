"""What an evaluation leaves behind: the same figures as JSON, Markdown and a page."""

import json

import cv2
import numpy as np
import pytest
from fringed import clip, fringed, halve, judged, same, truth

from engines.evaluate.cases import Case, ClipCase
from engines.evaluate.judge import judge_clips
from engines.evaluate.report import (
    Evaluation,
    markdown,
    row_path,
    write_html,
    write_json,
    write_rows,
)
from engines.evaluate.strips import sheet, strips_of


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


@pytest.fixture
def harmful():
    """A model that darkens what has a dark corner, by as much as that corner says."""

    def darken(picture):
        return picture - np.minimum(picture, picture[0, 0, 0])

    pages = {}
    for name, corner in [("fine", 0), ("hurt | <i>", 9), ("dim", 3)]:
        pages[name] = truth()
        pages[name][0, 0] = corner
    cases = [Case(name, fringed(4, page), page) for name, page in pages.items()]
    return Evaluation("pairs", "here", "nano", "none", judged(darken, cases=cases))


def test_clean_pictures_that_were_changed_are_named_worst_first(harmful, tmp_path):
    write_json(harmful, tmp_path / "e.json")
    worst = json.loads((tmp_path / "e.json").read_text())["summary"]["do_no_harm_worst"]
    assert [case["name"] for case in worst] == ["hurt | <i>", "dim"]
    assert worst[0]["db"] == pytest.approx(20 * np.log10(255 / 9), abs=0.1)
    assert r"| hurt \| <i> | 29.0 |" in markdown(harmful)


def test_page_shows_what_clean_pictures_lost_before_what_is_left_of_moire(harmful, tmp_path):
    write_html(harmful, tmp_path / "e.html")
    tables, shown = (
        (tmp_path / "e.html").read_text().split("<h2>Clean pictures that the model", 2)[1:]
    )
    assert "hurt | &lt;i&gt;" in tables
    harm, left = shown.split("<h2>Where most moiré was")
    assert harm.count("data:image/jpeg;base64,") == 2 * 3
    assert "<b>hurt | &lt;i&gt;, clean</b>: 29.0 dB PSNR to itself" in harm
    assert left.count("data:image/jpeg;base64,") == 3 * 4


def test_measure_that_some_pictures_lack_says_how_many_have_it():
    flat = np.full((96, 130, 3), 128, np.uint8)
    cases = [Case("flat", flat, flat), Case("page", fringed(), truth())]
    text = markdown(Evaluation("pairs", "here", "nano", "none", judged(halve, cases=cases)))
    assert "| detail kept, of the truth's (1 of 2) |" in text
    assert "| detail kept, out/in |" in text


@pytest.fixture
def clips():
    """Two clips by two methods, of which one is known to be a film by hand."""
    still = np.stack([truth()] * 3)
    cases = [
        ClipCase("source/a_moire.mp4", clip([20, 4, 20]), still, 30.0, ("hand-held", "film")),
        ClipCase("source/b_moire.mp4", clip([9, 2, 9]), still),
    ]

    def clean(case):
        model = np.stack([halve(frame) for frame in case.clip])
        return {"model": model, "smoothed": np.stack([model.mean(axis=0).astype(np.uint8)] * 3)}

    return Evaluation("clips", "here", "nano", "none", list(judge_clips(cases, clean, {})))


def test_markdown_has_a_table_for_each_scene(clips):
    text = markdown(clips)
    assert "## Hand-held (1)" in text
    assert "## Film (1)" in text
    assert "| flicker, over model | - | - | 0.000 (0.000) |" in text


def test_json_says_which_scene_a_clip_is(clips, tmp_path):
    write_json(clips, tmp_path / "e.json")
    found = json.loads((tmp_path / "e.json").read_text())
    assert {case["name"]: case["groups"] for case in found["cases"]} == {
        "source/a_moire.mp4": ["hand-held", "film"],
        "source/b_moire.mp4": [],
    }
    assert found["summary"]["by_scene"]["film"]["smoothed"]["flicker_over_model"]["mean"] == 0
    # A still truth has no motion to tell ghosts in.
    assert found["cases"][0]["scores"]["smoothed"]["ghosting"] is None


def test_page_shows_each_clip_over_time(clips, tmp_path):
    write_html(clips, tmp_path / "e.html")
    page = (tmp_path / "e.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2 * (4 + 1)
    assert page.count("a column over time") == 2
    assert "nan" not in page.split("<figure>", 1)[1].split("base64", 1)[0]


def test_each_clip_has_a_picture_over_time_beside_the_page(clips, tmp_path):
    write_rows(clips, tmp_path)
    path = row_path(tmp_path, "source/a_moire.mp4")
    assert path == tmp_path / "source" / "a_moire.row.png"
    assert {found.name for found in path.parent.iterdir()} == {
        "a_moire.row.png",
        "b_moire.row.png",
    }
    shown = cv2.imread(str(path))[..., ::-1]
    np.testing.assert_array_equal(shown, sheet(clips.judgements[0].strips))


def test_strips_are_widened_and_stacked_under_their_names():
    strip = np.zeros((96, 4, 3), np.uint8)
    strip[:, 1] = 200
    shown = sheet({"input": strip, "truth": strip})
    assert shown.shape == (2 * (20 + 2 * 96), 4 * 160, 3)
    assert (shown[20:212, 160:320] == 200).all()
    assert (shown[20:212, :160] == 0).all()
    assert 0 < (shown[212:232] < 128).mean() < 0.1  # a name


def test_pictures_have_no_picture_over_time(evaluation, tmp_path):
    write_rows(evaluation, tmp_path)
    assert not list(tmp_path.iterdir())


def test_strip_of_a_tall_clip_is_the_rows_that_flicker():
    still = np.zeros((3, 700, 40, 3), np.uint8)
    flickering = still.copy()
    flickering[1, 500:540, 8:24] = 90
    strips = strips_of({"model": flickering, "truth": still}, flickers="model", truth="truth")
    assert strips["model"].shape == (256, 3, 3)
    assert np.count_nonzero(strips["model"][:, 1, 0]) == 40
