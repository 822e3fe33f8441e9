"""Engines built ahead, several devices, and devices that are short of memory."""

import json
import os
import pty
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import av
import building_cli
import numpy as np
import pytest
import yaml
from media_files import make
from typer.testing import CliRunner

from engines.cache import EngineCache
from engines.engine import BACKENDS
from pipeline.cli import app, engines
from pipeline.cli.building import Build, BuildWatch
from pipeline.cli.progress import BarDisplay, JsonDisplay, QuietDisplay

HERE = Path(__file__).parent
TRIAL, HD = "an engine for 64x64", "an engine for 1920x1080"


def run(*words):
    words = [str(word) for word in words]
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, words)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Where engines are kept: apart from the user's."""
    monkeypatch.setitem(BACKENDS, "building", building_cli.ENGINE)
    monkeypatch.setenv("DEMOIRE_CACHE", str(tmp_path / "engines"))
    return EngineCache()


@pytest.fixture
def clip(tmp_path):
    return make(tmp_path / "talk.mp4")


EXAMPLES = {
    "list": engines.LIST_EXAMPLES,
    "build": engines.BUILD_EXAMPLES,
    "clear": engines.CLEAR_EXAMPLES,
}


@pytest.mark.parametrize(("name", "examples"), EXAMPLES.items())
def test_help_shows_examples_that_can_be_typed(name, examples):
    shown = run("engines", name, "--help").stdout
    for example in examples:
        assert example in shown
        assert all(word in shown for word in example.split() if word.startswith("-"))


def test_help_lists_the_commands():
    shown = run("engines", "--help").stdout
    assert all(name in shown for name in EXAMPLES)


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in EXAMPLES)])
def test_help_imports_nothing_heavy(words):
    code = (
        f"import sys, atexit; sys.argv = ['demoire', 'engines', *{words!r}]\n"
        "heavy = ('torch', 'openvino', 'cv2', 'numpy', 'av', 'yaml')\n"
        "atexit.register(lambda: print('heavy:', [m for m in heavy if m in sys.modules]))\n"
        "from pipeline.cli import main; main()"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_nothing_kept_is_said(cache):
    assert run("engines", "list").stdout == f"no engine is kept in {cache.root}\n"
    assert run("engines", "list", "--json").stdout == "[]\n"


def test_build_list_clear(cache):
    done = run("engines", "build", "--engine", "building", "--size", "1920x1080")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(
        f"building, nano, 1920x1080 yuv420p: built {TRIAL} in 0.0 s, built {HD} in 0.0 s"
    )
    assert done.stderr.splitlines() == [
        f"demoire: building {TRIAL}; it is kept for the next time",
        f"demoire: built {TRIAL} in 0 s",
        f"demoire: building {HD}; it is kept for the next time",
        f"demoire: built {HD} in 0 s",
    ]
    listed = run("engines", "list").stdout
    assert HD in listed
    assert listed.endswith(f"2 engines (0.0 MB) in {cache.root}\n")
    entries = json.loads(run("engines", "list", "--json").stdout)
    assert {entry["what"] for entry in entries} == {TRIAL, HD}
    kept = {entry.key: entry for entry in cache.entries()}
    for entry in entries:
        assert entry["size_bytes"] == kept[entry["key"]].size == len(b"engine")
        assert entry["origin"] == dict(kept[entry["key"]].origin)
        assert entry["key"] in listed
    cleared = run("engines", "clear")
    assert cleared.stdout == f"removed 2 engines (0.0 MB) from {cache.root}\n"
    assert not cache.entries()


def test_what_is_kept_is_not_built_again():
    assert run("engines", "build", "--engine", "building").exit_code == 0
    again = run("engines", "build", "--engine", "building")
    assert "nothing to build, it was kept from before; ready in" in again.stdout
    assert again.stderr == ""


def test_build_speaks_json():
    done = run("engines", "build", "--engine", "building", "--progress", "json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    builds = [line for line in lines if line["event"] == "build"]
    assert [(line["what"], line["share"]) for line in builds] == [
        (TRIAL, 0.0),
        (TRIAL, 1.0),
        (HD, 0.0),
        (HD, 1.0),
    ]
    report = lines[-1]["report"]
    assert lines[-1]["event"] == "done"
    assert report["engine"] == "building"
    assert [built["what"] for built in report["built"]] == [TRIAL, HD]


def test_a_build_that_fails_is_one_sentence():
    done = run("engines", "build", "--engine", "building", "--size", "666x480")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == "demoire: the compiler gave up"


@pytest.mark.parametrize("name", ["openvino", "identity"])
def test_a_back_end_that_builds_nothing_says_so(name, clip):
    words = f"demoire: engine {name} builds nothing ahead: it is ready without"
    for command in (("engines", "build"), ("clean", clip, "--build-only")):
        done = run(*command, "--engine", name)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.splitlines()[-1] == words


@pytest.mark.parametrize("size", ["big", "95x96", "1920x1081"])
def test_a_size_that_is_none_is_refused(size):
    done = run("engines", "build", "--engine", "building", "--size", size)
    assert done.exit_code == 2
    assert f"--size: must be two even numbers from 96 up, as 960x540; got {size}" in done.stderr


def test_build_only_builds_for_the_input_and_writes_nothing(clip, cache, tmp_path):
    done = run("clean", clip, "--engine", "building", "--build-only")
    assert done.exit_code == 0, done.output
    with_size = {entry.origin["size"] for entry in cache.entries()}
    assert with_size == {"64x64", "64x48"}
    assert done.stdout.startswith(f"{clip}: built an engine for 64x64 in 0.0 s, built an engine")
    assert not (tmp_path / "talk.clean.mp4").exists()
    again = run("clean", clip, "--engine", "building", "--build-only", "--progress", "json")
    (line,) = [json.loads(line) for line in again.stdout.splitlines()]
    assert line["report"]["input"] == str(clip)
    assert line["report"]["built"] == []


def test_build_only_needs_an_input_that_can_be_read(tmp_path):
    done = run("clean", tmp_path / "none.mp4", "--engine", "building", "--build-only")
    assert done.exit_code == 1
    assert "none.mp4" in done.stderr


def test_a_run_says_that_it_builds(clip, tmp_path):
    done = run("clean", clip, "--engine", "building")
    assert done.exit_code == 0, done.output
    assert "demoire: building an engine for 64x48; it is kept for the next time" in done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'talk.clean.mp4'}: 8 frames in ")


def test_a_terminal_shows_how_far_a_build_is(tmp_path):
    """In a process of its own, on a terminal of its own."""
    leader, follower = pty.openpty()
    command = [sys.executable, HERE / "building_cli.py", "engines", "build", "--engine", "building"]
    environment = {
        "PYTHONPATH": str(HERE.parents[1]),
        "PATH": "",
        "DEMOIRE_CACHE": str(tmp_path / "other"),
        "TERM": "xterm",
        "COLUMNS": "120",
    }
    process = subprocess.Popen(
        command, stdin=follower, stdout=subprocess.PIPE, stderr=follower, env=environment
    )
    os.close(follower)
    drawn = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        drawn += part
    os.close(leader)
    output, _ = process.communicate()
    assert process.returncode == 0, drawn.decode()
    assert f"building {HD}:" in drawn.decode()
    assert "0 %, 0 s" in drawn.decode()
    assert output.decode().startswith("building, nano, 1920x1080 yuv420p: built")


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def watched(show, steps):
    """Tell of (seconds, share) steps and return the watch."""
    clock = Clock()
    watch = BuildWatch(show, clock_s=clock)
    for elapsed_s, share in steps:
        clock.now_s = 100.0 + elapsed_s
        watch("TensorRT engine for nano, f16", share)
    return watch


def test_a_watch_adds_the_time_and_keeps_what_was_built():
    shown = []
    watch = watched(shown.append, [(0, 0.0), (12, 0.34), (34.2, 1.0), (34.3, 1.0)])
    assert [build.figures for build in shown] == ["0 %, 0 s", "34 %, 12 s", "100 %, 34 s"]
    (built,) = watch.built
    assert (built.what, built.done) == ("TensorRT engine for nano, f16", True)
    assert built.elapsed_s == pytest.approx(34.2)


def test_a_log_tells_of_a_long_build_every_half_minute(caplog):
    caplog.set_level("INFO", logger="pipeline")
    steps = [(second, second / 100) for second in range(100)]
    watched(QuietDisplay().build, [*steps, (100, 1.0)])
    what = "TensorRT engine for nano, f16"
    assert [record.getMessage() for record in caplog.records] == [
        f"building {what}; it is kept for the next time",
        f"building {what}: 30 %, 30 s",
        f"building {what}: 60 %, 60 s",
        f"building {what}: 90 %, 90 s",
        f"built {what} in 100 s",
    ]


def test_json_tells_of_a_build_four_times_a_second(capsys):
    display = JsonDisplay()
    watched(display.build, [*((n / 100, n / 100) for n in range(100)), (1.0, 1.0)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["elapsed_s"] for line in lines] == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])
    assert lines[-1]["share"] == 1.0
    assert lines[-1]["what"] == "TensorRT engine for nano, f16"


def test_a_bar_for_a_build_stands_beside_that_of_a_run_and_goes_with_it(clip, capsys, tmp_path):
    from pipeline.sources import open_source

    source = open_source(clip)
    bar = BarDisplay()
    begun = Build(what="x", share=0.1, elapsed_s=1.0)
    bar.build(begun)
    bar.start(source.info, tmp_path / "x.mp4")
    bar.build(Build(what="x", share=1.0, elapsed_s=2.0))
    bar.build(begun)
    bar.fail(clip, "broken")
    bar.build(begun)
    bar.succeed("all done", {})
    source.close()
    assert capsys.readouterr().out == "all done\n"


def test_a_device_goes_to_the_back_end(clip, tmp_path):
    report = tmp_path / "report.json"
    done = run("clean", clip, "--engine", "building", "--device", "1", "--report", report)
    assert done.exit_code == 0, done.output
    assert json.loads(report.read_text())["engine"]["device"] == "GPU 1"


def test_several_devices_share_the_frames_and_keep_their_order(clip, tmp_path):
    report = tmp_path / "report.json"
    shared, single = tmp_path / "shared.mkv", tmp_path / "single.mkv"
    # Without loss: of so small a picture x264 does not write the same bytes every time.
    words = ("clean", clip, "--engine", "building", "--codec", "ffv1")
    done = run(*words, "-o", shared, "--device", "0,1", "--report", report)
    assert done.exit_code == 0, done.output
    told = json.loads(report.read_text())
    assert told["engine"]["device"] == "GPU 0, GPU 1"
    assert told["frames_out"] == 8
    assert run(*words, "-o", single).exit_code == 0
    assert frames_of(shared) == frames_of(single)


@pytest.mark.skipif(find_spec("torch") is None, reason="needs the extra `torch`")
@pytest.mark.parametrize("smooth", ["off", "auto"])
def test_frames_through_two_real_engines_are_those_of_one(clip, tmp_path, smooth):
    targets = []
    for device in ("cpu", "cpu,cpu"):
        targets.append(tmp_path / f"{device}.mkv")
        words = ("--engine", "torch", "--device", device, "--codec", "ffv1", "--smooth", smooth)
        done = run("clean", clip, "-o", targets[-1], *words)
        assert done.exit_code == 0, done.output
    one, two = (frames_of(path) for path in targets)
    assert len(one) == 8
    if smooth == "off":
        assert one == two
    else:  # smoothed in torch by the one, on the host by the other
        levels = [np.frombuffer(b"".join(frames), np.uint8).astype(int) for frames in (one, two)]
        assert np.abs(levels[0] - levels[1]).mean() < 0.1


def frames_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("assignment", "device"),
    [("engine.device=1", "1"), ("engine.device=0,1", "0,1"), ("engine.device=[0, 1]", "0,1")],
)
def test_devices_are_a_setting(assignment, device):
    shown = run("clean", "--set", assignment, "--print-config").stdout
    assert yaml.safe_load(shown)["engine"]["device"] == device


def test_live_takes_a_device():
    shown = run("live", "test://", "--device", "0,1", "--print-config").stdout
    assert yaml.safe_load(shown)["engine"]["device"] == "0,1"


def test_short_memory_is_said_in_the_log_the_line_and_the_report(tmp_path, monkeypatch):
    monkeypatch.setitem(BACKENDS, "short", building_cli.SHORT)
    clip = make(tmp_path / "wide.mkv", size=(1856, 160))
    report, target = tmp_path / "report.json", tmp_path / "out.mkv"
    words = ("--codec", "ffv1", "--report", report, "-o", target)
    done = run("clean", clip, "--engine", "short", *words)
    assert done.exit_code == 0, done.output
    fit = "tiles of 1408x192 with 896 of overlap"
    assert (
        f"demoire: warning: CPU has too little memory for 1856x160 420 of 8 bits at once: {fit}"
        in (done.stderr)
    )
    assert fit in done.stdout
    assert json.loads(report.read_text())["engine"]["fit"] == fit
    whole = tmp_path / "whole.mkv"
    assert run("clean", clip, "--engine", "identity", "--codec", "ffv1", "-o", whole).exit_code == 0
    assert frames_of(target) == frames_of(whole)
