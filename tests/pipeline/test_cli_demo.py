import av
import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.cli import app


def demo(folder, *words):
    words = ["demo", "--out", str(folder), "--engine", "identity", "--size", "160x96", *words]
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, words)


def pictures(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = demo(folder, "--seconds", "0.3")
    assert done.exit_code == 0, done.output
    return folder, done


def test_demo_makes_clips_with_sound_and_a_picture(made):
    folder, _ = made
    for name in ("before.mp4", "after.mp4", "after.compare.mp4"):
        with av.open(str(folder / name)) as container:
            assert [stream.type for stream in container.streams] == ["video", "audio"]
            assert (container.streams.video[0].width, container.streams.video[0].height) == (
                160,
                96,
            )
        assert len(pictures(folder / name)) == 9
    (still,) = pictures(folder / "after.compare.png")
    assert still.shape == (96, 320, 3)


def test_demo_says_what_changed(made):
    _, done = made
    assert "PSNR to the truth" in done.stdout
    assert "moiré energy" in done.stdout


def test_same_seed_films_the_same(made, tmp_path):
    folder, _ = made
    assert demo(tmp_path, "--seconds", "0.1").exit_code == 0
    again = pictures(tmp_path / "before.mp4")[0].astype(int)
    assert np.abs(again - pictures(folder / "before.mp4")[0]).mean() < 4  # encoded apart


def test_demo_never_overwrites_unasked(made):
    folder, _ = made
    refused = demo(folder)
    assert refused.exit_code == 1
    assert "add --overwrite" in refused.stderr


@pytest.mark.parametrize("size", ["big", "64x64", "161x96"])
def test_wrong_size_is_refused(tmp_path, size):
    refused = demo(tmp_path, "--size", size)
    assert refused.exit_code == 2
    assert "--size" in refused.stderr
