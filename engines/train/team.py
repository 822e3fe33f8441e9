"""Processes that train one network together, each on batches of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from engines.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class Team:
    """This process's place among them; alone where not given."""

    device: str
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Only one process validates and writes."""
        return self.rank == 0

    def share(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients that are means over all processes.

        All begin with the first one's weights. Also waits for all.
        """
        if self.size == 1:
            return network
        return DistributedDataParallel(network)

    def sums(self, values: Sequence[float]) -> list[float]:
        """Return the sum of each value over all processes; all must call it."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return [float(value) for value in tensor]


@contextmanager
def join_team(device: str) -> Iterator[Team]:
    """Join the processes that `torchrun` has started; without it, train alone.

    Args:
        device: `cpu`, `cuda` (each process takes one GPU) or `auto`.

    Raises:
        EngineError: There is no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineError("device cuda: torch finds no GPU; see `demoire doctor`, or use cpu")
    # The environment is how torchrun tells.
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(device=device)
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Team(device=device, rank=distributed.get_rank(), size=size)
    finally:
        distributed.destroy_process_group()
