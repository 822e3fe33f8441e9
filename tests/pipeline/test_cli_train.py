"""`demoire train`: real runs of a tiny network."""

import csv
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from train_cli import TINY
from typer.testing import CliRunner

from engines.models import MODELS
from engines.train.config import TrainConfig
from pipeline.cli import app
from pipeline.cli import train as command
from pipeline.config import presets
from pipeline.layers import as_yaml, file_layer, merge

HERE = Path(__file__).parent
CONFIGS = HERE.parents[1] / "configs"
SIDE = 64
SETTINGS = {
    "model": "tiny",
    "batch": 2,
    "crop": SIDE,
    "steps": 4,
    "validate_every": 2,
    "threads": 1,
    "device": "cpu",
}


@pytest.fixture
def trains():
    """For tests that need the extra `train`."""
    for name in command._NEEDED:
        pytest.importorskip(name, reason="needs the extra `train`")


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A configuration file for a tiny network."""
    monkeypatch.setitem(MODELS, "tiny", TINY)
    return written(tmp_path, SETTINGS)


def written(folder, settings):
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        samples = rng.integers(0, 256, (4, 2, SIDE * 3 // 2, SIDE), dtype=np.uint8)
        np.save(folder / f"shard-{number:05d}.npy", samples)
    return folder


@pytest.fixture
def pairs(tmp_path):
    folder = tmp_path / "pairs"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name in "abc":
        truth = rng.integers(0, 200, (80, 96, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{name}_gt.png"), truth)
        cv2.imwrite(str(folder / f"{name}_moire.png"), truth + 9)
    return folder


def train(*words):
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, ["train", *map(str, words)])


def steps(run):
    with (run / "log.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


@pytest.mark.usefixtures("trains")
def test_run_is_told_in_one_line_for_each_validation_and_one_at_the_end(config, shards, tmp_path):
    run = tmp_path / "run"
    done = train(config, "--shards", shards, "--out", run)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{run}/best.safetensors: done after 4 steps\n"
    told = done.stderr.splitlines()
    assert [line.partition(",")[0] for line in told] == ["demoire: step 2", "demoire: step 4"]
    assert all("validation_loss" in line for line in told)
    assert steps(run) == [2, 4]
    assert list(run.glob("events.out.tfevents.*"))


@pytest.mark.usefixtures("trains")
def test_same_command_goes_on_where_the_run_ended(config, shards, tmp_path):
    run = tmp_path / "run"
    words = (config, "--shards", shards, "--out", run)
    ended = train(*words, "--minutes", 0)
    assert ended.exit_code == 0
    assert ended.stdout == f"{run}: out of time at step 1 of 4; the same command goes on\n"
    resumed = train(*words)
    assert resumed.exit_code == 0, resumed.output
    assert f"demoire: {run}: going on at step 1\n" in resumed.stderr
    assert steps(run) == [1, 2, 4]


@pytest.mark.usefixtures("trains")
def test_settings_that_a_run_has_kept_go_on_with_it(config, shards, tmp_path):
    run = tmp_path / "run"
    train(config, "--shards", shards, "--out", run, "--set", "steps=2")
    kept = run / "config.yaml"
    assert yaml.safe_load(kept.read_text())["steps"] == 2
    assert train(kept, "--set", "steps=4").exit_code == 0
    assert steps(run) == [2, 4]


@pytest.mark.usefixtures("trains")
def test_pairs_alone_and_with_shards_are_learned_from(config, shards, pairs, tmp_path):
    for number, words in enumerate([(), ("--shards", shards, "--set", "pairs_share=0.7")]):
        run = tmp_path / f"run{number}"
        done = train(config, "--pairs", pairs, *words, "--out", run)
        assert done.exit_code == 0, done.output
        assert steps(run) == [2, 4]
        assert (run / "best.safetensors").exists()


@pytest.mark.usefixtures("trains")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_saves_and_the_same_command_goes_on(shards, tmp_path, number):
    run = tmp_path / "run"
    endless = {**SETTINGS, "steps": 10**9, "validate_every": 1}
    program = [sys.executable, str(HERE / "train_cli.py"), "train"]
    words = [str(written(tmp_path, endless)), "--shards", str(shards), "--out", str(run)]
    with subprocess.Popen(
        [*program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=HERE.parents[1],
        env={"PYTHONPATH": str(HERE.parents[1]), "PATH": ""},
        text=True,
    ) as process:
        try:
            first = process.stderr.readline()
            assert first.startswith("demoire: step 1,"), first + process.stderr.read()
            process.send_signal(number)
            output, errors = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert "stopping after the step on its way; press Ctrl-C again to abort" in errors
    import torch

    step = torch.load(run / "last.pt", weights_only=True)["progress"][0]
    assert output == f"{run}: stopped at step {step} of 1000000000; the same command goes on\n"
    assert not list(run.glob("*.part"))


def test_option_wins_over_assignment_and_assignment_over_file(config, tmp_path):
    words = ("--set", "steps=9", "--set", "out=there", "--set", "rate=1e-4", "--out", "here")
    shown = train(config, *words, "--pairs", "a", "--pairs", "b", "--print-config")
    assert shown.exit_code == 0
    printed = yaml.safe_load(shown.stdout)
    wanted = {"steps": 9, "out": "here", "rate": 1e-4, "batch": 2, "pairs": ["a", "b"]}
    assert {key: printed[key] for key in wanted} == wanted


def test_printed_configuration_reads_back_the_same(config, tmp_path):
    shown = train(config, "--set", "start_from=nano", "--pairs", "a", "--print-config")
    printed = tmp_path / "printed.yaml"
    printed.write_text(shown.stdout)
    read = merge([file_layer(printed)], TrainConfig)
    assert as_yaml(read) == shown.stdout
    assert (read.start_from, read.pairs, read.steps) == ("nano", (Path("a"),), 4)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("stepps=3", "stepps: unknown key; did you mean steps? (--set stepps=3)"),
        ("a.b=3", "a: unknown key; allowed: model, start_from, out, "),
        ("steps=0", "steps: must be a number from 1 up, got 0 (--set steps=0)"),
        ("copied=1.5", "copied: must be a number from 0 to 1, got 1.5 (--set copied=1.5)"),
        ("average=1", "average: must be a number from 0 to less than 1, got 1"),
        ("crop=100", "crop: must be a multiple of 64, got 100"),
        ("crop=0", "crop: must be a number from 64 up, got 0"),
        ("precision=f16", "precision: must be 'auto', 'bf16' or 'f32', got 'f16'"),
        ("model=giant", "model: must be one of nano, base, tiny, got 'giant' (--set model=giant)"),
        ("pairs=3", "pairs: must be a valid tuple, got 3 (--set pairs=3)"),
        ("pairs=[3]", "pairs.0: "),
        ("rate", "--set rate: must look like key=value, e.g. steps=30000"),
    ],
)
def test_wrong_setting_is_one_sentence_and_code_2(config, assignment, message):
    refused = train(config, "--set", assignment)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"demoire: {message}")
    assert refused.stderr.count("\n") == 1


def test_missing_file_is_named(tmp_path):
    refused = train(tmp_path / "none.yaml")
    assert refused.exit_code == 2
    assert "none.yaml: cannot be read: No such file" in refused.stderr


@pytest.mark.usefixtures("trains")
def test_run_needs_a_folder(config, shards):
    refused = train(config, "--shards", shards)
    assert refused.exit_code == 2
    assert refused.stderr == "demoire: out: no folder to write to; add --out RUN_FOLDER\n"


@pytest.mark.usefixtures("trains")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to learn from; give --shards DIR, --pairs DIR or both"),
        (("--shards", "none"), "none: needs two shards or more"),
        (("--pairs", "none"), "none: no such folder"),
    ],
)
def test_nothing_is_written_where_there_is_nothing_to_learn_from(config, tmp_path, words, message):
    refused = train(config, *words, "--out", tmp_path / "run")
    assert refused.exit_code == 1
    assert message in refused.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("trains")
def test_folder_that_cannot_be_made_is_named(config, shards, tmp_path):
    (tmp_path / "file").write_text("mine")
    refused = train(config, "--shards", shards, "--out", tmp_path / "file" / "run")
    assert refused.exit_code == 1
    assert refused.stderr == f"demoire: {tmp_path}/file/run: Not a directory\n"


def test_without_its_libraries_it_says_what_to_install(config, monkeypatch):
    monkeypatch.setattr(command, "_NEEDED", ("json", "no_such_library"))
    failed = train(config, "--out", "x")
    assert failed.exit_code == 1
    assert failed.stderr == (
        "demoire: train needs no_such_library; install with: pip install 'demoire[train]'\n"
    )


def test_configuration_is_checked_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"  # an import of it would raise
        f"sys.argv = ['demoire', 'train', {str(CONFIGS / 'train' / 'nano.yaml')!r},"
        " '--print-config']\n"
        "from pipeline.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE.parents[1], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["steps"] == 18_000


@pytest.mark.parametrize("path", sorted((CONFIGS / "train").iterdir()), ids=lambda path: path.name)
def test_configuration_that_ships_is_valid_and_no_preset(path):
    assert merge([file_layer(path)], TrainConfig).model == path.stem
    assert path.stem not in {preset.name for preset in presets()}
