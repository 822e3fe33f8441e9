"""`demoire bench` as its users meet it: real children, tiny clips."""

import json
import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from media_files import make
from typer.testing import CliRunner

from pipeline.bench.result import read_result
from pipeline.cli import app

ROOT = Path(__file__).parents[2]
SMALL = ("--size", "192x128", "--frames", "6", "--warmup", "4")
ALL = ["decode", "transfer", "infer", "smooth", "encode", "whole_null", "whole_encoded"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One folder for the clips of all tests here."""
    return tmp_path_factory.mktemp("cache")


def run(cache, *words):
    environment = {"XDG_CACHE_HOME": str(cache), "COLUMNS": "200", "TERM": "dumb"}
    return CliRunner(env=environment).invoke(app, ["bench", *words])


@pytest.fixture(scope="module")
def measured(cache, tmp_path_factory):
    """Two repeats of everything with a real network, and what the terminal showed."""
    path = tmp_path_factory.mktemp("out") / "result.json"
    shown = run(cache, *SMALL, "--repeats", "2", "--engine", "openvino", "--json", str(path))
    assert shown.exit_code == 0, shown.output
    return path, shown


def test_every_part_is_measured_alone_and_all_together(measured):
    result = read_result(measured[0])
    assert list(result.stages) == ALL
    for name, part in result.stages.items():
        assert len(part.samples) == (0 if name == "transfer" else 2)
        for sample in part.samples:
            assert sample.frames == 6
            assert sample.fps > 0
            assert 0 < sample.frame_ms.p50 <= sample.frame_ms.p95 <= sample.frame_ms.p99
            assert sample.cpu_s >= 0
            assert sample.memory_peak_mb > sample.memory_growth_mb >= 0
            assert (sample.latency_ms is not None) == name.startswith("whole")


def test_back_end_without_a_device_has_no_transfer_and_says_so(measured):
    result = read_result(measured[0])
    assert result.stages["transfer"].skipped == "none: this back end works in the host's memory"
    assert "transfer: none: this back end works in the host's memory" in measured[1].stdout


def test_result_tells_what_really_ran_and_on_what(measured):
    result = read_result(measured[0])
    assert (result.engine["backend"], result.engine["model"]) == ("openvino", "nano")
    assert set(result.engine["precision"].split("+")) <= {"bf16", "f16", "f32", "int8"}
    assert result.machine["cores"] >= 1
    assert (result.gpus is None) == (result.gpus_reason is not None)
    assert result.settings["smoothing"] == "0.15 s"
    assert result.settings["decoder"] == "cpu"
    assert (result.input.width, result.input.height) == (192, 128)
    assert result.input.simulated["seed"] >= 0
    assert set(result.whole) == {"whole_null", "whole_encoded"}
    for verdict in result.whole.values():
        assert verdict.slowest_stage in ALL[:5]
        assert verdict.of_slowest.median > 0
        assert verdict.of_bound.median > 0


def test_no_file_is_left_but_the_clip(measured, cache):
    assert [path.suffix for path in (cache / "demoire" / "bench").iterdir()] == [".mp4"]


def test_compare_finds_nothing_in_one_result_twice(measured, cache):
    shown = run(cache, "compare", str(measured[0]), str(measured[0]))
    assert shown.exit_code == 0
    assert shown.stdout.count("no difference shown") == 6
    assert "nothing that was noted differs" in shown.stdout


def test_json_to_stdout_is_nothing_else(cache):
    words = ("--stages", "decode,infer", "--repeats", "1", "--engine", "identity", "--json", "-")
    shown = run(cache, *SMALL, *words)
    assert shown.exit_code == 0, shown.output
    result = json.loads(shown.stdout)
    assert list(result["stages"]) == ["decode", "infer"]
    assert result["whole"] == {}


def test_parts_without_an_engine_open_none(cache):
    words = ("--stages", "decode", "--repeats", "1", "--engine", "none", "--json", "-")
    shown = run(cache, *SMALL, *words)
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["engine"] is None


def test_smoothing_that_is_off_is_told_and_not_measured(cache):
    words = ("--stages", "smooth", "--repeats", "1", "--engine", "identity")
    shown = run(cache, *SMALL, *words)
    assert shown.exit_code == 0, shown.output
    assert "smooth: none: --smooth is off, or nothing is cleaned" in shown.stdout


def test_own_input_with_sound_and_own_settings(cache, tmp_path):
    pts = [number * 512 for number in range(60)]
    clip = make(tmp_path / "mine.mkv", pts=pts, audio="aac", pixel_format="yuv420p10le")
    words = ["--input", str(clip), "--frames", "4", "--warmup", "4", "--repeats", "1"]
    words += ["--stages", "transfer,smooth,encode,whole", "--engine", "identity"]
    words += ["--smooth", "0.2", "--codec", "ffv1", "--json", "-"]
    shown = run(cache, *words, "--set", "engine.options.batch=2")
    assert shown.exit_code == 0, shown.output
    result = json.loads(shown.stdout)
    assert result["input"]["name"] == "mine.mkv"
    assert result["input"]["pixel_format"] == "yuv420p10le"
    assert result["settings"]["engine"]["options"] == {"batch": 2}
    assert result["settings"]["smoothing"] == "0.2 s"
    assert [name for name, part in result["stages"].items() if part["skipped"]] == ["transfer"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.mkv"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--stages", "decode,fry"), 2, "decode,transfer,infer,smooth,encode,whole, got 'fry'"),
        (("--size", "huge"), 2, "--size: must be two even numbers"),
        (("--input", "x.mp4", "--size", "720p"), 2, "--input x.mp4 has its own; give one"),
        (("--input", "no-such.mp4"), 1, "no-such.mp4: No such file"),
        (("--json", "no/such/folder.json"), 1, "its folder does not exist"),
        ((*SMALL, "--engine", "none"), 1, "engine 'none': not one of auto"),
        ((*SMALL, "--set", "clean.strength=2"), 2, "clean.strength: must be a number from 0 to 1"),
        (("--frames", "1"), 2, "--frames"),
        (("--size", "720p", "compare", "a", "b"), 2, "bench compare: measures nothing, so --size"),
        (("compare", "no-such.json", "b"), 2, "no-such.json: cannot be read"),
    ],
)
def test_what_is_wrong_is_named(cache, tmp_path, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    shown = run(cache, *words)
    assert shown.exit_code == code
    assert said in shown.stderr
    assert not list(tmp_path.iterdir())


def test_input_that_is_no_video_and_one_too_short_are_refused(cache, tmp_path):
    text = tmp_path / "notes.mp4"
    text.write_text("not a video")
    shown = run(cache, "--input", str(text))
    assert (shown.exit_code, "is not a video" in shown.stderr) == (1, True)
    clip = make(tmp_path / "short.mp4")
    shown = run(cache, "--input", str(clip), "--stages", "decode")
    assert shown.exit_code == 2
    assert "short.mp4: has 8 frames, and" in shown.stderr


def test_ctrl_c_ends_the_children_and_leaves_no_file(cache, tmp_path):
    old = tmp_path / "result.json"
    old.write_text("old")
    # So many frames that only a signal ends it.
    words = ["--size", "192x128", "--stages", "infer", "--frames", "100000000", "--debug"]
    words += ["--engine", "identity", "--json", str(old)]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "bench", *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            (line,) = islice((x for x in process.stderr if "measuring infer" in x), 1)
            child = Path("/proc") / line.split()[-1]
            assert child.exists()
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert output == ""
    assert not child.exists()
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]
    assert [path.suffix for path in (cache / "demoire" / "bench").iterdir()] == [".mp4"]
