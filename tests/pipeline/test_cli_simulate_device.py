"""`demoire simulate --device`: a GPU where there is one, and a way out where there is none."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.cli.simulate_parts import Pictures, Screen


def simulate(folder, *words):
    words = ["simulate", str(folder), "--pictures", "1", "--size", "128x96", *words]
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, words)


def settings(device):
    screen = Screen(out=Path(), seed=0, photos=(), workers=1, device=device)
    return Pictures(screen, 1, width=128, height=96).settings


def test_without_torch_a_gpu_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    refused = simulate(tmp_path / "out", "--device", "cuda")
    assert refused.exit_code == 1
    assert refused.stderr == (
        "demoire: --device cuda needs torch; install with: pip install 'demoire[torch]'\n"
    )
    assert not (tmp_path / "out").exists()


def test_without_a_gpu_the_way_out_is_named(tmp_path):
    torch = pytest.importorskip("torch", reason="needs the extra `train`")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    refused = simulate(tmp_path / "out", "--device", "cuda")
    assert refused.exit_code == 1
    assert "--device cuda: torch finds no GPU" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_pictures_of_another_device_are_not_taken_for_the_same():
    assert settings("cuda") != settings("cpu")


def test_folders_made_before_there_was_a_choice_are_of_the_cpu():
    assert "device" not in settings("cpu")
