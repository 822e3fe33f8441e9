"""The training loop: resumable, averaged, validated.

A run's folder holds `last.pt` (everything needed to resume), `best.safetensors` (the averaged
weights with the lowest validation loss) and what `engines.train.journal` writes.
"""

from __future__ import annotations

import logging
import math
import pickle
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from engines.errors import DemoireError
from engines.models import MODELS, load_network
from engines.models.checkpoint import save_checkpoint
from engines.models.grow import grow
from engines.models.network import Network, NetworkConfig
from engines.train.config import TrainConfig
from engines.train.data import Planes, Samples, both_planes
from engines.train.journal import Journal
from engines.train.losses import demoire_loss, weights_by_strength
from engines.train.optimiser import Muon
from engines.train.team import Team
from engines.train.validation import validate
from engines.train.vary import vary
from engines.view import BLOCK

log = logging.getLogger(__name__)

Ending = Literal["finished", "out of time", "stopped"]

# Seeds of one process: its step is added, and no run is that long.
_SEEDS_OF_A_RANK = 100_000_000


class TrainError(DemoireError):
    """A run cannot begin, go on or end well."""


Precision = Literal["bf16", "f32"]


def mixed(precision: Precision, device: str) -> torch.autocast:
    """Return the context in which products are computed in `precision`."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16")


def clean(network: nn.Module, planes: Planes, *, precision: Precision) -> Planes:
    """Return planes minus their predicted residuals, unclamped."""
    with mixed(precision, planes[0].device.type):
        residuals = network(*planes)
    return tuple(plane - r.float() for plane, r in zip(planes, residuals, strict=True))


def _never() -> bool:
    return False


def _unwatched(step: int, loss: float) -> None:
    pass


class Training:
    """State of one run.

    Args:
        config: What to do.
        samples: What to learn from.
        folder: Where the run is kept; a run that is found there goes on.
        team: With whom.

    Raises:
        DemoireError: The run in the folder, or the model to start from, does not fit.
    """

    def __init__(self, config: TrainConfig, samples: Samples, *, folder: Path, team: Team) -> None:
        self.config, self.samples, self.folder, self.team = config, samples, folder, team
        self.precision = _precision(config, team.device)
        torch.manual_seed(config.seed)
        self.network = Network(NetworkConfig(**MODELS[config.model]))
        # A step on a CPU with bf16 takes 0.87 of the time that it takes in torch's default.
        self.network.to(team.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = deepcopy(self.network).requires_grad_(False)
        self.optimiser = Muon(self.network.parameters(), config.rate, weight_decay=1e-2)
        self.step, self.best, self.seconds = 0, math.inf, 0.0
        if (folder / "last.pt").exists():
            self._resume()
        elif config.start_from is not None:
            self._start_from(config.start_from)
        # Waits for all: nobody writes while others still read `last.pt`.
        self._shared = team.share(self.network)
        self._random = random.Random(config.seed + self.step + _SEEDS_OF_A_RANK * team.rank)

    def run(
        self,
        *,
        stopped: Callable[[], bool] = _never,
        watch: Callable[[int, float], None] = _unwatched,
    ) -> Ending:
        """Train until the schedule ends, the time is over or someone asks to stop.

        Validates and saves on the way and at the end; when stopped, only saves.

        Args:
            stopped: Asked after each step.
            watch: Told each step's number and loss.

        Raises:
            TrainError: The loss is no longer a number; what was saved last is kept.
        """
        minutes = self.config.minutes
        deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
        since, losses = time.monotonic(), []
        with self._journal() as journal:
            while not self.finished:
                loss = self._train_step()
                loss, late, interrupted = self._agree(
                    loss, late=time.monotonic() > deadline, interrupted=stopped()
                )
                losses.append(loss)
                watch(self.step, loss)
                if interrupted and not self.finished:
                    self.seconds += time.monotonic() - since
                    self.save()
                    return "stopped"
                if self.step % self.config.validate_every == 0 or self.finished or late:
                    self.seconds += time.monotonic() - since
                    self._validate(journal, float(np.mean(losses)))
                    self.save()
                    since, losses = time.monotonic(), []
                if late:
                    break
        return "finished" if self.finished else "out of time"

    @property
    def finished(self) -> bool:
        """The learning-rate schedule is at its end."""
        return self.step >= self.config.steps

    def save(self) -> None:
        """Write `last.pt`, complete or not at all.

        Raises:
            TrainError: It cannot be written.
        """
        if not self.team.leads:
            return
        partial = self.folder / "last.part"
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": [self.step, self.best, self.seconds],
        }
        try:
            torch.save(state, partial)
        except RuntimeError as error:  # torch's own, also for a full disk
            raise TrainError(f"{partial}: cannot be written: {error}") from error
        partial.rename(self.folder / "last.pt")

    def rate(self) -> float:
        """Return the learning rate of the next step."""
        warm_up = min(1.0, (self.step + 1) / self.config.warm_up)
        cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, self.step / self.config.steps))
        return self.config.rate * warm_up * (0.01 + 0.99 * cosine)

    def clean(self, planes: Planes) -> Planes:
        """Return planes cleaned by the averaged weights, unclamped."""
        return clean(self.average, planes, precision=self.precision)

    @contextmanager
    def _journal(self) -> Iterator[Journal | None]:
        if not self.team.leads:
            yield None
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with closing(Journal(self.folder, self.step)) as journal:
            yield journal

    def _train_step(self) -> float:
        """Take one step and return its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        batch = self.samples.batch(self._random, self.config.batch)
        planes, truth = both_planes(batch, self.team.device)
        planes, truth = vary(
            planes,
            truth,
            config=self.config,
            multiple=self.network.config.multiple,
            rng=self._random,
        )
        offset = self._random.randrange(BLOCK), self._random.randrange(BLOCK)
        outputs = clean(self._shared, planes, precision=self.precision)
        losses = demoire_loss(
            outputs, truth, inputs=planes, harm_weight=self.config.harm, offset=offset
        )
        if self.config.weighing == "strength":
            losses = losses * weights_by_strength(planes, truth)
        loss = losses.mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        with mixed(self.precision, self.team.device):  # Muon's products are a fifth of a step
            self.optimiser.step()
        self.step += 1
        self._follow()
        return float(loss.detach())

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average; it follows faster at the start, when the weights are still far off."""
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.network.parameters()), 1 - decay
        )

    def _agree(self, loss: float, *, late: bool, interrupted: bool) -> tuple[float, bool, bool]:
        """Return the mean loss, and what any process of the team has noticed."""
        total, lates, interrupts = self.team.sums([loss, late, interrupted])
        if not math.isfinite(total):
            raise TrainError(
                f"{self.folder}: the loss of step {self.step} is {total}; go on from what was saved"
                f" last with a rate below {self.config.rate:g} or a stronger clip"
            )
        return total / self.team.size, lates > 0, interrupts > 0

    def _validate(self, journal: Journal | None, train_loss: float) -> None:
        self.samples.refresh()
        if journal is None:
            return
        result = validate(self.clean, self.samples.validation, device=self.team.device)
        journal.write(
            result,
            step=self.step,
            minutes=self.seconds / 60,
            rate=self.rate(),
            train_loss=train_loss,
        )
        if result.loss < self.best:
            self.best = result.loss
            save_checkpoint(self.average, self.folder / "best.safetensors")

    def _start_from(self, model: str) -> None:
        """Begin with the weights of another model instead of random ones."""
        try:
            grow(self.network, load_network(model))
        except ValueError as error:
            raise TrainError(
                f"start_from {model}: is no smaller form of model {self.config.model!r}; start from"
                " one that is nowhere wider or deeper and has bands alike, or set model to its own"
            ) from error
        self.average.load_state_dict(self.network.state_dict())

    def _resume(self) -> None:
        path = self.folder / "last.pt"
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.best, self.seconds = state["progress"]
        except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
            raise TrainError(
                f"{path}: is damaged or not of model {self.config.model!r}; give the run another"
                " --out, or delete the file to start over"
            ) from error
        if self.team.leads:
            log.info("%s: going on at step %d", self.folder, self.step)


def _precision(config: TrainConfig, device: str) -> Precision:
    if config.precision != "auto":
        return config.precision
    if device == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "f32"
