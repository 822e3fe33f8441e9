"""One process of a team, for `torchrun train_together.py SHARDS FOLDER`: train, then tell."""

import sys
from pathlib import Path

import torch
from train_samples import TINY

from engines.models import MODELS
from engines.train.config import TrainConfig
from engines.train.data import Shards
from engines.train.loop import Training
from engines.train.team import join_team


class Watched(Shards):
    """Remembers what it gave away."""

    given = ()

    def batch(self, rng, count):
        self.given = (*self.given, super().batch(rng, count))
        return self.given[-1]


def main():
    shards, folder = map(Path, sys.argv[1:])
    MODELS["tiny"] = TINY
    torch.set_num_threads(1)
    config = TrainConfig(model="tiny", batch=1, crop=64, steps=4, validate_every=2, rate=1e-2)
    samples = Watched(shards, config.crop)
    with join_team("cpu") as team:
        # Of its own each, so that it shows who writes; all ask to stop, but not in the same step.
        here = folder / f"rank{team.rank}"
        training = Training(config, samples, folder=here, team=team)
        losses = []
        ending = training.run(
            stopped=lambda: team.rank == 1 and training.step == 3,
            watch=lambda _, loss: losses.append(loss),
        )
        state = {
            "network": training.network.state_dict(),
            "average": training.average.state_dict(),
            "optimiser": training.optimiser.state_dict()["state"],
            "batches": torch.stack(samples.given),
            "losses": losses,
            "ending": ending,
            "size": team.size,
        }
        torch.save(state, folder / f"told{team.rank}.pt")


if __name__ == "__main__":
    main()
