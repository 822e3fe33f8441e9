import json

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.cli import app


def evaluate(*words):
    words = ["evaluate", "--engine", "identity", *map(str, words)]
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, words)


def picture(seed=0):
    coarse = np.random.default_rng(seed).integers(60, 200, (8, 10, 3), dtype=np.uint8)
    return cv2.resize(coarse, (80, 64), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def pairs(tmp_path):
    folder = tmp_path / "pairs"
    folder.mkdir()
    for number in range(3):
        clean = picture(number)
        cv2.imwrite(str(folder / f"{number}_gt.png"), clean)
        fringe = 10 * np.sin(np.arange(80) / 3)[None, :, None] * np.array([1, 0, -1])
        fringed = np.clip(clean + fringe, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}_moire.png"), fringed)
    return folder


def test_pairs_are_judged_and_three_reports_written(pairs, tmp_path):
    out = tmp_path / "out"
    done = evaluate("--pairs", pairs, "-o", out)
    assert done.exit_code == 0, done.output
    assert "moiré-band error" in done.stdout
    assert "fft-notch" in done.stdout
    names = {path.name for path in out.iterdir()}
    assert names == {"evaluation.json", "evaluation.md", "evaluation.html"}
    report = json.loads((out / "evaluation.json").read_text())
    ratio = report["summary"]["all"]["model"]["moire_band_error_ratio"]
    assert ratio["mean"] == 1  # the identity engine changes nothing
    assert report["summary"]["do_no_harm_db"]["min"] == 80


def test_limit_and_no_baselines_are_followed(pairs, tmp_path):
    out = tmp_path / "out"
    assert evaluate("--pairs", pairs, "--limit", 2, "--no-baselines", "-o", out).exit_code == 0
    summary = json.loads((out / "evaluation.json").read_text())["summary"]["all"]
    assert summary["count"] == 2
    assert set(summary) == {"count", "input", "model"}


def test_photos_need_no_truth(pairs, tmp_path):
    done = evaluate("--photos", pairs, "-o", tmp_path / "out")
    assert done.exit_code == 0
    assert "moiré energy" in done.stdout
    assert "PSNR" not in done.stdout


def test_simulated_screens_are_judged(tmp_path):
    out = tmp_path / "out"
    assert evaluate("--simulated", 1, "--no-baselines", "-o", out).exit_code == 0
    report = json.loads((out / "evaluation.json").read_text())
    assert (report["kind"], report["source"]) == ("simulated", "own simulator")


def test_reports_are_never_overwritten_unasked(pairs, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "evaluation.md").write_text("mine")
    refused = evaluate("--pairs", pairs, "-o", out)
    assert refused.exit_code == 1
    assert "add --overwrite" in refused.stderr
    assert (out / "evaluation.md").read_text() == "mine"
    assert evaluate("--pairs", pairs, "-o", out, "--overwrite").exit_code == 0


@pytest.mark.parametrize("words", [(), ("--simulated", 1, "--photos", "here")])
def test_exactly_one_set_is_asked_for(words):
    refused = evaluate(*words)
    assert refused.exit_code == 2
    assert "give one of --pairs" in refused.stderr


def test_folder_without_pairs_is_an_error(tmp_path):
    refused = evaluate("--pairs", tmp_path, "-o", tmp_path / "out")
    assert refused.exit_code == 1
    assert "no pairs among 0 file(s)" in refused.stderr
    assert not (tmp_path / "out").exists()


def write_clip(path, pictures):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 20)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "bgr0"
        for shown in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, "rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    still = [picture()] * 8
    write_clip(folder / "1_gt.mkv", still)
    pulsing = [shown + np.uint8(2 * (number % 2)) for number, shown in enumerate(still)]
    write_clip(folder / "1_moire.mkv", pulsing)
    hand = {"tremor_px": 0.01, "drift_px_s": 0.0, "sway_deg": 0.0}
    take = {"scene": "scroll", "hand": hand}
    record = {"name": "1", "kind": "clip", "take": take}
    (folder / "conditions.jsonl").write_text(json.dumps(record) + "\n")
    return folder


def summary_of(out):
    return json.loads((out / "evaluation.json").read_text())["summary"]


def test_clips_are_judged_with_smoothing_and_by_scene(clips, tmp_path):
    out = tmp_path / "out"
    done = evaluate("--clips", clips, "--no-baselines", "-o", out)
    assert done.exit_code == 0, done.output
    assert "flicker, over model" in done.stdout
    assert "Tripod (1)" in done.stdout
    assert {path.name for path in out.iterdir()} == {
        "evaluation.json",
        "evaluation.md",
        "evaluation.html",
        "1_moire.row.png",
    }
    summary = summary_of(out)
    assert list(summary["all"]) == ["count", "input", "model", "smoothed"]
    assert list(summary["by_scene"]) == ["tripod", "scrolling"]
    assert summary["all"]["smoothed"]["flicker_over_model"]["mean"] < 0.6


def test_longer_smoothing_takes_more_flicker_and_off_leaves_it_out(clips, tmp_path):
    left = {}
    for smooth in ("auto", "1.5", "off"):
        out = tmp_path / smooth
        done = evaluate("--clips", clips, "--no-baselines", "--smooth", smooth, "-o", out)
        assert done.exit_code == 0, done.output
        left[smooth] = summary_of(out)["all"].get("smoothed", {}).get("flicker_over_model")
    assert left["1.5"]["mean"] < left["auto"]["mean"]
    assert left["off"] is None


@pytest.mark.parametrize("smooth", ["0", "soon"])
def test_smoothing_that_is_none_is_refused(clips, tmp_path, smooth):
    refused = evaluate("--clips", clips, "--smooth", smooth, "-o", tmp_path / "out")
    assert refused.exit_code == 2
    assert "smooth.seconds" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_picture_over_time_is_never_overwritten_unasked(clips, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "1_moire.row.png").write_text("mine")
    refused = evaluate("--clips", clips, "-o", out)
    assert refused.exit_code == 1
    assert "1_moire.row.png: already exists" in refused.stderr.replace("\n", "")
    assert (out / "1_moire.row.png").read_text() == "mine"
