"""`demoire clean` on real clips, with the back end that changes nothing."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest
import yaml
from media_files import make
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.cli.options import ProgressMode
from pipeline.cli.progress import BarDisplay, JsonDisplay, create_display
from pipeline.media import SourceInfo
from pipeline.runner import Progress


def demoire(*words):
    words = [str(word) for word in words]
    return CliRunner().invoke(app, [*words])


def clean(*words):
    return demoire("clean", *words, "--engine", "identity")


def size_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.width, stream.height


def kinds_in(path):
    with av.open(str(path)) as container:
        return [stream.type for stream in container.streams]


def codec_of(path):
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.name


@pytest.fixture
def clip(tmp_path):
    return make(tmp_path / "talk.mp4", audio="aac")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "still.png"
    picture = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_result_lies_beside_the_input_and_is_summed_up_in_one_line(clip, tmp_path):
    done = clean(clip)
    assert done.exit_code == 0, done.output
    target = tmp_path / "talk.clean.mp4"
    assert kinds_in(target) == ["video", "audio"]
    assert done.stdout.startswith(f"{target}: 8 frames in ")
    assert done.stdout.count("\n") == 1


def test_existing_output_stays_unless_overwriting(clip, tmp_path):
    target = tmp_path / "talk.clean.mp4"
    target.write_bytes(b"mine")
    refused = clean(clip)
    assert (refused.exit_code, target.read_bytes()) == (1, b"mine")
    assert "add --overwrite" in refused.stderr
    assert clean(clip, "--overwrite").exit_code == 0
    assert kinds_in(target) == ["video", "audio"]


def test_photo_keeps_its_kind(photo, tmp_path):
    done = clean(photo)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "still.clean.png").read_bytes()[:4] == b"\x89PNG"


def test_folder_is_cleaned_into_a_new_folder_without_earlier_results(clip, photo, tmp_path):
    make(tmp_path / "old.clean.mp4")
    make(tmp_path / "old.compare.mp4")
    done = clean(tmp_path, "-o", tmp_path / "made" / "here")
    assert done.exit_code == 0, done.output
    names = sorted(path.name for path in (tmp_path / "made" / "here").iterdir())
    assert names == ["still.clean.png", "talk.clean.mp4"]


def test_one_failure_does_not_stop_the_others(clip, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video" * 100)
    missing = tmp_path / "missing.mp4"
    done = clean(broken, missing, clip)
    assert done.exit_code == 1
    assert (tmp_path / "talk.clean.mp4").exists()
    assert done.stderr.splitlines()[-1] == (f"demoire: 2 of 3 inputs failed: {broken}, {missing}")


def test_engine_that_does_not_open_ends_the_batch_at_once(clip, tmp_path):
    other = make(tmp_path / "other.mp4")
    failed = demoire("clean", clip, other, "--engine", "nonsense")
    assert failed.exit_code == 1
    assert failed.stderr.count("nonsense") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no INPUT given"),
        (["talk.mp4", "--strength", "2"], "clean.strength: must be a number from 0 to 1, got 2"),
        (["talk.mp4", "--codec", "vp9"], "encoder.codec: must be 'h264'"),
        (["talk.mp4", "--crf", "99"], "encoder.crf: must be a number from 0 to 63, got 99"),
        (["talk.mp4", "--start", "soon"], "source.start: must be"),
        (["talk.mp4", "--start", "3", "--end", "1"], "end must be after start (3 s), got 1 s"),
        (["talk.mp4", "--compare", "both"], "compare.layout: must be 'split', 'side' or 'wipe'"),
        (["talk.mp4", "--compare-only"], "compare.only needs compare.layout"),
        (["talk.mp4", "--preset", "best"], "no preset named 'best'"),
        (["talk.mp4", "--set", "x"], "must look like group.key=value"),
        (["talk.mp4", "--config", "none.yaml"], "none.yaml: cannot be read"),
        (["talk.mp4", "-o", "talk.png"], "is a video and cannot become a photo"),
        (["talk.mp4", "talk.mkv", "-o", "x.mp4"], "several inputs need a folder"),
        (["a/talk.mp4", "b/talk.mp4", "-o", "out/"], "would both become"),
    ],
)
def test_wrong_option_is_one_sentence_and_exit_code_two(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed = demoire("clean", *words)
    assert failed.exit_code == 2
    assert failed.stderr.startswith("demoire: ")
    assert message in failed.stderr


def test_printed_configuration_shows_what_won(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("encoder: {crf: 30}\nclean: {strength: 0.25}\n")
    shown = demoire("clean", "--print-config", "--config", file, "--preset", "fast", "--crf", "21")
    settings = yaml.safe_load(shown.stdout)
    assert shown.exit_code == 0
    assert settings["encoder"]["preset"] == "ultrafast"
    assert settings["encoder"]["crf"] == 21
    assert settings["clean"]["strength"] == 0.25


def test_dry_run_says_what_would_be_done_and_writes_nothing(clip, tmp_path):
    before = sorted(tmp_path.iterdir())
    done = clean(clip, "--dry-run", "--codec", "hevc", "-o", tmp_path / "x.mkv")
    assert done.exit_code == 0, done.output
    assert "h264 64x48 yuv420p, 30 fps" in done.stdout
    assert "identity" in done.stdout
    assert str(tmp_path / "x.mkv") in done.stdout
    assert "libx265 yuv420p" in done.stdout
    assert sorted(tmp_path.iterdir()) == before


def test_dry_run_fails_where_the_run_would(clip, tmp_path):
    (tmp_path / "talk.clean.mp4").write_bytes(b"mine")
    failed = clean(clip, "--dry-run")
    assert failed.exit_code == 1
    assert "already exists" in failed.stderr


@pytest.mark.parametrize(("layout", "size"), [("split", (64, 48)), ("side", (128, 48))])
def test_compare_writes_a_second_clip_with_sound(clip, tmp_path, layout, size):
    done = clean(clip, "--compare", layout)
    assert done.exit_code == 0, done.output
    assert size_of(tmp_path / "talk.clean.mp4") == (64, 48)
    assert size_of(tmp_path / "talk.compare.mp4") == size
    assert kinds_in(tmp_path / "talk.compare.mp4") == ["video", "audio"]


def test_compare_only_writes_one_clip(clip, tmp_path):
    done = clean(clip, "--compare", "side", "--compare-only")
    assert done.exit_code == 0, done.output
    assert size_of(tmp_path / "talk.clean.mp4") == (128, 48)
    assert not (tmp_path / "talk.compare.mp4").exists()


def test_photo_can_be_compared(photo, tmp_path):
    done = clean(photo, "--compare", "side")
    assert done.exit_code == 0, done.output
    assert size_of(tmp_path / "still.compare.png") == (128, 48)


@pytest.mark.parametrize(
    ("codec", "suffix"), [("h264", "mp4"), ("hevc", "mp4"), ("prores", "mov"), ("ffv1", "mkv")]
)
def test_codec_decides_the_container(clip, tmp_path, codec, suffix):
    done = clean(clip, "--codec", codec)
    assert done.exit_code == 0, done.output
    assert codec_of(tmp_path / f"talk.clean.{suffix}") == codec


def test_only_the_wanted_seconds_are_cleaned(clip, tmp_path):
    report = tmp_path / "report.json"
    done = clean(clip, "--start", "0:00.1", "--end", "0.2", "--report", report)
    assert done.exit_code == 0, done.output
    assert json.loads(report.read_text())["frames_out"] == 3


def test_report_tells_what_really_ran(clip, tmp_path):
    report = tmp_path / "report.json"
    assert clean(clip, "--report", report).exit_code == 0
    told = json.loads(report.read_text())
    assert (told["frames_in"], told["frames_out"], told["decode_errors"]) == (8, 8, 0)
    assert (told["decoder"], told["encoder"]) == ("cpu", "libx264")
    assert told["engine"]["backend"] == "identity"
    assert told["max_pts_change_ms"] == pytest.approx(0, abs=0.1)
    assert told["av_drift_ms"] == pytest.approx(0, abs=0.1)
    assert told["colour_in"] == told["colour_out"]
    assert [stage["name"] for stage in told["stages"]] == ["source", "clean", "sink"]
    assert told["input"] == str(clip)


def test_report_of_several_inputs_is_a_list_with_the_failures(clip, tmp_path):
    report = tmp_path / "report.json"
    clean(clip, tmp_path / "missing.mp4", "--report", report)
    first, second = json.loads(report.read_text())
    assert first["frames_out"] == 8
    assert "missing.mp4" in second["error"]


def test_report_in_a_missing_folder_is_refused_before_any_work(clip, tmp_path):
    failed = clean(clip, "--report", tmp_path / "none" / "report.json")
    assert failed.exit_code == 1
    assert "create it first" in failed.stderr
    assert not (tmp_path / "talk.clean.mp4").exists()


def test_json_progress_is_one_object_a_line(clip, tmp_path):
    done = clean(clip, tmp_path / "missing.mp4", "--progress", "json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events][:2] == ["start", "progress"]
    by_kind = {event["event"]: event for event in events}
    assert by_kind["start"]["frames_expected"] == 8
    assert by_kind["progress"]["frames"] >= 1
    assert by_kind["done"]["report"]["frames_out"] == 8
    assert by_kind["failed"]["input"] == str(tmp_path / "missing.mp4")


def test_progress_bar_only_draws_on_a_terminal():
    assert not isinstance(create_display(ProgressMode.AUTO), BarDisplay | JsonDisplay)


def info(**changes):
    return SourceInfo(
        url="a [b].mp4",
        width=64,
        height=48,
        pixel_format="yuv420p",
        time_base=Fraction(1, 30),
        **changes,
    )


@pytest.mark.parametrize("count", [None, 8])
def test_progress_bar_survives_two_runs_and_names_its_input(count, capsys, tmp_path):
    bar = BarDisplay()
    for _ in range(2):
        bar.start(info(frame_count=count), tmp_path / "x.mp4")
        for frames in range(1, 4):
            bar.update(Progress(frames=frames, dropped=0, time_s=0.1, elapsed_s=0.3 * frames))
        bar.succeed("all done", {})
    bar.start(info(frame_count=count), tmp_path / "x.mp4")
    bar.fail(tmp_path / "x.mp4", "broken")
    assert capsys.readouterr().out == "all done\nall done\n"


def test_json_progress_speaks_at_most_four_times_a_second(capsys, tmp_path):
    display = JsonDisplay()
    display.start(info(frame_count=100), tmp_path / "x.mp4")
    for frames in range(1, 101):
        display.update(
            Progress(frames=frames, dropped=0, time_s=frames / 30, elapsed_s=frames / 100)
        )
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [line["frames"] for line in lines if line["event"] == "progress"]
    assert told == [1, 26, 51, 76]
    assert lines[-1]["eta_s"] == pytest.approx(0.2, abs=0.05)


@pytest.fixture
def still_clip(tmp_path):
    """Eight frames of a ramp under noise."""
    path, rng = tmp_path / "page.mkv", np.random.default_rng(0)
    ramp = np.linspace(60, 200, 128)[None, :, None] + np.zeros((96, 1, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for _ in range(8):
            noisy = (ramp + rng.normal(0, 2, ramp.shape)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, "rgb24")))
        container.mux(stream.encode(None))
    return path


def test_smoothing_is_told_in_the_report(still_clip, tmp_path):
    report = tmp_path / "report.json"
    assert clean(still_clip, "--smooth", "0.3", "--report", report).exit_code == 0
    flicker = json.loads(report.read_text())["flicker"]
    assert flicker["frames"] == 7
    assert 0 < flicker["after"] < 0.7 * flicker["before"]


def test_nothing_is_smoothed_where_nothing_is_cleaned(clip, tmp_path):
    report = tmp_path / "report.json"
    assert clean(clip, "--report", report).exit_code == 0
    assert json.loads(report.read_text())["flicker"] is None


def test_a_dry_run_says_how_it_would_be_smoothed(clip):
    assert "smoothing" in clean(clip, "--dry-run", "--smooth", "0.3").stdout
    assert "0.3 s" in clean(clip, "--dry-run", "--smooth", "0.3").stdout


def test_smoothing_that_means_nothing_is_refused(clip):
    failed = clean(clip, "--smooth", "maybe")
    assert failed.exit_code == 2
    assert "smooth.seconds: must be off, auto, or seconds" in failed.stderr
    assert "'maybe'" in failed.stderr
