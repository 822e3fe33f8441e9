import json
import signal

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from engines.pairs import CLIPS, find_pairs
from pipeline.cli import app, simulate_run
from pipeline.cli.simulate_ledger import Ledger


def simulate(folder, *words):
    words = ["simulate", str(folder), "--size", "128x96", "--workers", "1", *words]
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, words)


def records(folder):
    text = (folder / "conditions.jsonl").read_text(encoding="utf-8")
    return {record["name"]: record for record in map(json.loads, text.splitlines())}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    words = ["--pictures", "2", "--clips", "2", "--seconds", "0.2", "--frame-rate", "25"]
    done = simulate(folder, *words, "--shards", "1", "--samples", "2")
    assert done.exit_code == 0, done.output
    return folder, done


def test_everything_asked_for_is_there_and_nothing_else(made):
    folder, done = made
    assert names(folder) == [
        "0000-static_gt.mp4",
        "0000-static_moire.mp4",
        "000000_gt.png",
        "000000_moire.png",
        "000001_gt.png",
        "000001_moire.png",
        "0001-scroll_gt.mp4",
        "0001-scroll_moire.mp4",
        "conditions.jsonl",
        "shard-00000.npy",
    ]
    assert "2 picture(s) made" in done.stdout


def test_pictures_are_pairs_of_the_size_asked_for(made):
    pairs = find_pairs(made[0])
    assert len(pairs) == 2
    for pair in pairs:
        moire, clean = (cv2.imread(str(path)) for path in (pair.moire, pair.clean))
        assert moire.shape == clean.shape == (96, 128, 3)
        assert not np.array_equal(moire, clean)


def test_clips_are_pairs_of_the_length_and_rate_asked_for(made):
    pairs = find_pairs(made[0], CLIPS)
    assert len(pairs) == 2
    for path in (path for pair in pairs for path in (pair.moire, pair.clean)):
        with av.open(str(path)) as container:
            (stream,) = container.streams
            assert stream.average_rate == 25
            assert (stream.width, stream.height) == (128, 96)
            assert sum(1 for _ in container.decode(stream)) == 5


def test_shard_holds_its_samples(made):
    shard = np.load(made[0] / "shard-00000.npy")
    assert (shard.shape, shard.dtype) == ((2, 2, 576, 384), np.uint8)


def test_conditions_say_how_each_was_filmed(made):
    found = records(made[0])
    assert list(found) == ["0000-static", "000000", "000001", "0001-scroll", "shard-00000"]
    assert 0.4 < found["000001"]["take"]["conditions"]["pose"]["ratio"] < 6
    assert found["0001-scroll"]["take"]["scene"] == "scroll"
    assert found["0001-scroll"]["take"]["generations"][0]["mbit_s"] >= 4
    assert found["shard-00000"]["settings"]["samples"] == 2


def test_same_seed_makes_the_same_pictures(made, tmp_path):
    again, other = tmp_path / "again", tmp_path / "other"
    assert simulate(again, "--pictures", "1").exit_code == 0
    assert simulate(other, "--pictures", "1", "--seed", "9").exit_code == 0
    first, second, third = (
        (folder / "000000_moire.png").read_bytes() for folder in (made[0], again, other)
    )
    assert first == second != third


def test_second_run_goes_on_and_leaves_what_is_there(tmp_path):
    assert simulate(tmp_path, "--pictures", "1").exit_code == 0
    before = (tmp_path / "000000_gt.png").stat().st_mtime_ns
    more = simulate(tmp_path, "--pictures", "3")
    assert "2 picture(s) made, 1 there already" in more.stdout
    assert (tmp_path / "000000_gt.png").stat().st_mtime_ns == before
    assert len(records(tmp_path)) == 3


def test_half_a_pair_is_made_whole(tmp_path):
    assert simulate(tmp_path, "--pictures", "1").exit_code == 0
    whole = contents(tmp_path)
    (tmp_path / "000000_gt.png").unlink()
    assert simulate(tmp_path, "--pictures", "1").exit_code == 0
    assert contents(tmp_path) == whole


def test_other_settings_overwrite_only_when_asked(tmp_path):
    assert simulate(tmp_path, "--pictures", "1").exit_code == 0
    before = contents(tmp_path)
    refused = simulate(tmp_path, "--pictures", "2", "--seed", "1")
    assert refused.exit_code == 1
    assert "000000_moire.png: already exists, made with other settings" in refused.stderr
    assert contents(tmp_path) == before
    assert simulate(tmp_path, "--pictures", "1", "--seed", "1", "--overwrite").exit_code == 0
    assert contents(tmp_path)["000000_moire.png"] != before["000000_moire.png"]
    assert records(tmp_path)["000000"]["settings"]["seed"] == 1


def test_files_of_somebody_else_are_refused(tmp_path):
    (tmp_path / "shard-00000.npy").write_bytes(b"mine")
    refused = simulate(tmp_path, "--shards", "1")
    assert refused.exit_code == 1
    assert "add --overwrite or give another folder" in refused.stderr
    assert (tmp_path / "shard-00000.npy").read_bytes() == b"mine"


class PressesCtrlC(Ledger):
    """A real Ctrl-C, at a moment that is always the same: when the second record is written."""

    def add(self, record):
        super().add(record)
        if len(self._records) == 2:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("kind", ["pictures", "clips"])
def test_ctrl_c_leaves_complete_files_only_and_the_next_run_goes_on(tmp_path, monkeypatch, kind):
    words = [f"--{kind}", "4", "--seconds", "0.1"]
    with monkeypatch.context() as patched:
        patched.setattr(simulate_run, "Ledger", PressesCtrlC)
        stopped = simulate(tmp_path, *words)
    assert stopped.exit_code == 130
    found = names(tmp_path)
    assert not [name for name in found if name.endswith(".part")]
    whole = len(records(tmp_path))
    assert 2 <= whole < 4
    assert len(found) == 2 * whole + 1
    rest = simulate(tmp_path, *words)
    assert f"{4 - whole} {kind[:-1]}(s) made, {whole} there already" in rest.stdout


def test_nothing_asked_for_is_a_usage_error(tmp_path):
    refused = simulate(tmp_path)
    assert refused.exit_code == 2
    assert "--pictures, --clips or --shards" in refused.stderr


@pytest.mark.parametrize("size", ["big", "64x64", "161x96"])
def test_wrong_size_is_refused(tmp_path, size):
    refused = simulate(tmp_path, "--pictures", "1", "--size", size)
    assert refused.exit_code == 2
    assert "--size" in refused.stderr


def test_missing_photos_are_named(tmp_path):
    refused = simulate(tmp_path, "--pictures", "1", "--photos", str(tmp_path / "gone"))
    assert refused.exit_code == 1
    assert "gone: no such folder" in refused.stderr


def test_photos_are_shown_on_the_screen(tmp_path, made):
    photos = tmp_path / "photos"
    photos.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert cv2.imwrite(str(photos / "a.png"), noise)
    assert simulate(tmp_path / "out", "--pictures", "1", "--photos", str(photos)).exit_code == 0
    settings = records(tmp_path / "out")["000000"]["settings"]
    assert settings["photos"] == [str(photos)]


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    refused = simulate(tmp_path / "file" / "out", "--pictures", "1")
    assert refused.exit_code == 1
    assert "cannot be made a folder" in refused.stderr
