"""Sets to judge on: pairs, photos, clips and simulated screens, read as they are."""

import json
from dataclasses import asdict

import av
import cv2
import numpy as np
import pytest
from fringed import HEIGHT, WIDTH, clip, fringed, truth
from vast_png import vast

from engines.evaluate.cases import (
    ClipCases,
    PairCases,
    PhotoCases,
    SimulatedCases,
    read_clip,
    read_picture,
)
from engines.evaluate.scenes import GROUPS, Ledger
from engines.pairs import PairsError
from engines.simulate.content import SCENES
from engines.simulate.takes import draw_clip


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


@pytest.mark.parametrize(
    "content",
    [b"", b"not a picture", vast(cv2.imencode(".png", truth())[1].tobytes())],
    ids=["empty", "text", "vast"],
)
def test_file_that_is_no_picture_is_named(tmp_path, content):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(PairsError, match=r"x\.png: cannot be decoded"):
        read_picture(path)


def write_clip(path, pictures, rate=25):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate)
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
    assert len(read_clip(tmp_path / "a_moire.mkv", 2).pictures) == 2
    assert case.groups == ()


@pytest.mark.parametrize("rate", [10, 50])
def test_frame_rate_is_the_files(tmp_path, rate):
    write_clip(tmp_path / "a_moire.mkv", clip([5, 10]), rate)
    write_clip(tmp_path / "a_gt.mkv", [truth()] * 2, rate)
    (case,) = ClipCases(tmp_path, None, frames=9)
    assert case.frame_rate == rate


def record(name, scene, **hand):
    hand = {"tremor_px": 0.02, "drift_px_s": 0.0, "sway_deg": 0.0, **hand}
    return {"name": name, "kind": "clip", "take": {"scene": scene, "hand": hand}}


def write_ledger(folder, *records):
    lines = [json.dumps(record) if isinstance(record, dict) else record for record in records]
    (folder / "conditions.jsonl").write_text("\n".join(lines) + "\n")


def test_clips_are_of_the_groups_that_the_simulator_noted(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    write_clip(folder / "0-film_moire.mkv", clip([5, 10]))
    write_clip(folder / "0-film_gt.mkv", [truth()] * 2)
    write_ledger(folder, record("0-film", "film", sway_deg=0.1))
    (case,) = ClipCases(tmp_path, None, frames=9)
    assert case.groups == ("hand-held", "film")


@pytest.mark.parametrize(
    ("scene", "plays"),
    [
        ("static", ()),
        ("scroll", ("scrolling",)),
        ("film", ("film",)),
        ("player", ("film",)),
        ("cuts", ("cut",)),
    ],
)
def test_ledger_tells_holding_and_content(tmp_path, scene, plays):
    picture = {"name": "9", "kind": "picture", "take": {}}
    write_ledger(tmp_path, record("1", scene), picture, record("2", scene, drift_px_s=3.0))
    ledger = Ledger(tmp_path)
    assert ledger.groups(tmp_path / "1_moire.mp4") == ("tripod", *plays)
    assert ledger.groups(tmp_path / "2_moire.mp4") == ("hand-held", *plays)
    assert ledger.groups(tmp_path / "3_moire.mp4") == ()


def test_ledger_agrees_with_what_the_simulator_draws(tmp_path):
    takes = [draw_clip(0, number) for number in range(len(SCENES) * 3)]
    records = [
        {"name": str(number), "kind": "clip", "take": asdict(take)}
        for number, take in enumerate(takes)
    ]
    write_ledger(tmp_path, *records)
    groups = [Ledger(tmp_path).groups(tmp_path / f"{name}_moire.mp4") for name in range(len(takes))]
    on_tripod = [take.hand.tremor_px <= 0.05 for take in takes]
    assert [group[0] == "tripod" for group in groups] == on_tripod
    assert {name for group in groups for name in group} == set(GROUPS)


def test_ledger_ends_where_a_run_was_killed(tmp_path):
    write_ledger(tmp_path, record("1", "static"), '{"name": "2", "ki')
    assert Ledger(tmp_path).groups(tmp_path / "1_moire.mp4") == ("tripod",)


@pytest.mark.parametrize("line", ["mine", '{"name": "1", "kind": "clip"}', "[]"])
def test_ledger_line_that_is_no_record_is_named(tmp_path, line):
    write_ledger(tmp_path, line, record("2", "static"))
    with pytest.raises(PairsError, match=r"conditions\.jsonl: line 1 is no record"):
        Ledger(tmp_path)


def test_file_that_is_no_clip_is_named(tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(b"not a clip")
    with pytest.raises(PairsError, match=r"x\.mp4: cannot be decoded"):
        read_clip(path, 3)


def test_simulated_pictures_repeat_themselves():
    first, again = (next(iter(SimulatedCases(1))) for _ in range(2))
    assert first.picture.tobytes() == again.picture.tobytes()
    assert first.picture.shape == first.truth.shape
