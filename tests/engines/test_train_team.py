"""Several processes: one network, batches of their own, one writer."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("tensorboardX", reason="needs the extra `train`")

import torch
from train_samples import write_shards

from engines.errors import EngineError
from engines.train.team import Team, join_team

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder in which two processes have trained, and what each told."""
    folder = tmp_path_factory.mktemp("team")
    shards = write_shards(folder / "shards")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    program = [str(HERE / "train_together.py"), str(shards), str(folder)]
    done = subprocess.run(
        [*launcher, "--nproc-per-node=2", *program],
        env={"PYTHONPATH": str(HERE.parents[1]), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return folder, [torch.load(folder / f"told{rank}.pt", weights_only=True) for rank in (0, 1)]


def equal(one, other):
    assert one.keys() == other.keys()
    return all(
        equal(one[key], other[key]) if isinstance(one[key], dict) else one[key].equal(other[key])
        for key in one
    )


def test_all_hold_the_same_weights_averages_and_momenta(together):
    _, (one, other) = together
    assert one["size"] == other["size"] == 2
    for part in ("network", "average", "optimiser"):
        assert equal(one[part], other[part])


def test_each_learns_from_batches_of_its_own(together):
    _, (one, other) = together
    assert not one["batches"].equal(other["batches"])


def test_all_are_told_the_mean_loss(together):
    _, (one, other) = together
    assert one["losses"] == other["losses"]


def test_all_end_in_the_step_in_which_one_was_stopped(together):
    _, told = together
    assert [(state["ending"], len(state["losses"])) for state in told] == [("stopped", 3)] * 2


def test_only_the_first_writes(together):
    folder, (one, _) = together
    assert not (folder / "rank1").exists()
    names = {path.name.partition(".")[0] for path in (folder / "rank0").iterdir()}
    assert names == {"best", "events", "last", "log", "sheet"}
    saved = torch.load(folder / "rank0" / "last.pt", weights_only=True)
    assert equal(saved["network"], one["network"])


def test_alone_everything_stays_as_it_is():
    with join_team("cpu") as team:
        assert (team.rank, team.size, team.leads) == (0, 1, True)
        assert team.sums([1.5, 0]) == [1.5, 0]
        network = torch.nn.Linear(1, 1)
        assert team.share(network) is network


def test_only_the_first_leads():
    assert [Team(device="cpu", rank=rank, size=2).leads for rank in (0, 1)] == [True, False]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_that_is_not_there_is_named():
    with (
        pytest.raises(EngineError, match="device cuda: torch finds no GPU"),
        join_team("cuda"),
    ):
        pass
