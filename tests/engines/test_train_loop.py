"""The training loop: what it writes, when it ends, and that a run goes on where it stopped."""

import csv
import math

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("tensorboardX", reason="needs the extra `train`")

import torch
from events import read_events
from train_samples import SIDE, TINY, write_shards

from engines.errors import EngineError
from engines.models import MODELS, load_network
from engines.train.config import TrainConfig
from engines.train.data import Shards, both_planes
from engines.train.loop import TrainError, Training, clean
from engines.train.team import Team

PLAIN = {"copied": 0, "recoloured": 0, "squeezed": 0, "overlaid": 0, "grained": 0}


@pytest.fixture
def shards(tmp_path):
    return Shards(write_shards(tmp_path / "shards"), 64)


@pytest.fixture
def start(tmp_path, shards, monkeypatch):
    """Return a function that starts or resumes a run of a tiny network."""
    monkeypatch.setitem(MODELS, "tiny", TINY)
    monkeypatch.setitem(MODELS, "larger", {**TINY, "widths": (12,)})

    def start(*, samples=shards, **options):
        options = {"model": "tiny", "batch": 2, "crop": 64, "validate_every": 2, **options}
        config = TrainConfig(**options)
        return Training(config, samples, folder=tmp_path / "run", team=Team(device="cpu"))

    return start


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def rows(folder):
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("share", PLAIN)
@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_steps_on_varied_pictures_run_like_others(start, share, chance):
    training = start(steps=2, **{share: chance})
    training.run()
    assert np.isfinite(training.best)


@pytest.mark.parametrize("options", [{"precision": "f32"}, {"weighing": "equal"}])
def test_other_ways_to_compute_run_too(start, options):
    assert start(steps=2, **options).run() == "finished"


def test_precision_is_what_is_asked_for(start):
    training = start(precision="f32")
    assert (training.precision, start().precision) == ("f32", "bf16")
    planes, _ = both_planes(training.samples.validation[0], "cpu")
    with torch.no_grad():
        residuals = training.average(*planes)
        exact = clean(training.average, planes, precision="f32")
    for plane, residual, cleaned in zip(planes, residuals, exact, strict=True):
        assert torch.equal(plane - residual, cleaned)


def test_run_writes_everything_that_it_promises(start, run):
    assert start(steps=4).run() == "finished"
    names = sorted(path.name for path in run.iterdir())
    assert names.pop(1).startswith("events.out.tfevents.")
    assert names == ["best.safetensors", "last.pt", "log.csv", "sheet.png"]
    assert [row["step"] for row in rows(run)] == ["2", "4"]
    assert all(np.isfinite(float(value)) for row in rows(run) for value in row.values())
    assert cv2.imread(str(run / "sheet.png")).shape[1] == 2 * 3 * SIDE  # two of input|output|truth
    network = load_network(run / "best.safetensors")
    assert network.config.analysis == TINY["analysis"]


def test_tensorboard_gets_the_figures_of_the_csv_file(start, run):
    start(steps=4).run()
    start(steps=6).run()
    figures = read_events(run)
    assert {step for _, step in figures} == {2, 4, 6}
    for row in rows(run):
        for name, value in row.items():
            if name != "step":
                assert figures[name, int(row["step"])] == pytest.approx(float(value))


def test_run_goes_on_at_its_step_with_its_weights(start, run):
    first = start(steps=4)
    first.run()
    second = start(steps=6)
    assert second.step == 4
    assert second.best == first.best
    for name in ("network", "average"):
        before, after = (getattr(training, name).state_dict() for training in (first, second))
        assert all(torch.equal(before[key], after[key]) for key in before)
    momenta = [list(training.optimiser.state.values()) for training in (first, second)]
    for before, after in zip(*momenta, strict=True):
        assert all(torch.equal(before[key], after[key]) for key in before)
    second.run()
    assert [row["step"] for row in rows(run)] == ["2", "4", "6"]


def test_finished_run_takes_no_further_step(start, run):
    start(steps=2).run()
    again = start(steps=2)
    assert again.run() == "finished"
    assert again.step == 2
    assert len(rows(run)) == 1


def test_run_whose_time_is_over_validates_and_saves_before_it_ends(start, run):
    assert start(steps=1000, minutes=0).run() == "out of time"
    assert start(steps=1000).step == 1
    assert [row["step"] for row in rows(run)] == ["1"]


def test_stopped_run_saves_the_step_that_it_took_and_goes_on(start, run):
    watched = []
    training = start(steps=6, validate_every=4)
    ending = training.run(
        stopped=lambda: len(watched) == 2, watch=lambda step, _: watched.append(step)
    )
    assert (ending, watched) == ("stopped", [1, 2, 3])
    assert not (run / "log.csv").exists()
    again = start(steps=6, validate_every=4)
    assert again.step == 3
    assert again.run() == "finished"
    assert [row["step"] for row in rows(run)] == ["4", "6"]


def test_stop_in_the_last_step_finishes_the_run(start, run):
    assert start(steps=1).run(stopped=lambda: True) == "finished"
    assert (run / "best.safetensors").exists()


def test_best_weights_are_those_of_the_lowest_loss(start, run):
    start(steps=2).run()
    best = (run / "best.safetensors").read_bytes()
    training = start(steps=4)
    training.best = 0.0
    training.run()
    assert (run / "best.safetensors").read_bytes() == best


def test_run_can_start_from_the_weights_of_another(start, run):
    start(steps=2).run()
    other = run / "best.safetensors"
    (run / "last.pt").unlink()
    training = start(start_from=str(other))
    for name, weights in load_network(other).state_dict().items():
        assert torch.equal(training.network.state_dict()[name], weights)
        assert torch.equal(training.average.state_dict()[name], weights)


def test_resumed_run_keeps_its_own_weights(start, run):
    start(steps=2).run()
    assert start(start_from="no such model").step == 2


def test_weights_that_do_not_fit_are_refused(start, run):
    start(model="larger", steps=2).run()
    (run / "last.pt").unlink()
    with pytest.raises(TrainError, match=r"best\.safetensors: is no smaller form of model 'tiny'"):
        start(start_from=str(run / "best.safetensors"))


def test_larger_network_can_start_from_a_smaller_one(start, run, shards):
    small = start(steps=2)
    small.run()
    (run / "last.pt").unlink()
    large = start(model="larger", start_from=str(run / "best.safetensors"))
    planes, _ = both_planes(shards.validation[0], "cpu")
    with torch.inference_mode():
        for one, other in zip(small.average(*planes), large.average(*planes), strict=True):
            torch.testing.assert_close(other, one, atol=1e-3, rtol=0)  # kept in half precision


def test_weights_that_do_not_exist_are_named(start):
    with pytest.raises(EngineError, match=r"model 'none\.safetensors'"):
        start(start_from="none.safetensors")


def test_run_of_another_model_is_refused(start):
    start(steps=2).run()
    with pytest.raises(TrainError, match=r"last\.pt: is damaged or not of model 'larger'"):
        start(model="larger")


def test_damaged_run_is_refused(start, run):
    start(steps=2).run()
    (run / "last.pt").write_bytes((run / "last.pt").read_bytes()[:500])
    with pytest.raises(TrainError, match=r"last\.pt: is damaged .*delete the file to start over"):
        start()


def test_loss_that_is_no_number_ends_the_run_and_keeps_what_was_saved(start, run):
    start(steps=2).run()
    saved = (run / "last.pt").read_bytes()
    training = start(steps=4)
    with torch.no_grad():
        next(training.network.parameters()).fill_(math.inf)
    with pytest.raises(TrainError, match=r"the loss of step 3 is nan; .* a rate below 0\.001"):
        training.run()
    assert (run / "last.pt").read_bytes() == saved


def test_rate_rises_then_falls_to_a_hundredth(start):
    training = start(steps=100, warm_up=10, rate=1.0)
    rates = []
    for training.step in range(101):
        rates.append(training.rate())
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] > 0.9
    assert rates[-1] == pytest.approx(0.01)


def test_same_seed_gives_the_same_run(start, run):
    start(steps=3, validate_every=10).run()
    first = rows(run)
    for path in run.iterdir():
        path.unlink()
    start(steps=3, validate_every=10).run()
    assert [row["validation_loss"] for row in rows(run)] == [r["validation_loss"] for r in first]


def test_steps_take_fringes_away(start, shards):
    training = start(steps=120, validate_every=200, rate=6e-2, **PLAIN)

    @torch.no_grad()
    def error():
        planes, truth = both_planes(shards.validation[0], "cpu")
        outputs = clean(training.network, planes, precision="bf16")
        return float((outputs[0] - truth[0]).square().mean())

    before = error()
    training.run()
    assert error() < 0.5 * before
