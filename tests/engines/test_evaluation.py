"""What an evaluation leaves behind: the same figures as JSON, Markdown and a page."""

import json

import numpy as np
import pytest
from fringed import fringed, halve, judged, same, truth

from engines.evaluate.cases import Case
from engines.evaluate.report import Evaluation, markdown, write_html, write_json


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
