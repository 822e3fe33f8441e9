"""Start a larger network as a smaller one: the same function, with room to learn more.

Channels and blocks that the smaller network lacks begin with no influence on what it computes
("Net2Net", Chen, Goodfellow, Shlens, ICLR 2016, section 2.2, without their duplicated units): a
step of training connects them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engines.models.network import Network


@torch.no_grad()
def grow(larger: Network, smaller: Network) -> None:
    """Give a fresh network the function of one that is nowhere wider or deeper.

    Raises:
        ValueError: The smaller network does not fit into the larger one, they differ in what they
            analyse, or only one of them has bands.
    """
    ours, theirs = larger.config, smaller.config
    fits = len(ours.widths) == len(theirs.widths) and all(
        a >= b
        for a, b in zip((*ours.widths, *ours.depths), (*theirs.widths, *theirs.depths), strict=True)
    )
    if not fits or (ours.analysis, ours.bands) != (theirs.analysis, theirs.bands):
        raise ValueError(f"{theirs} does not fit into {ours}")
    given = smaller.state_dict()
    for name, tensor in larger.state_dict().items():
        if name in given:
            _fill(tensor, given[name])


def _fill(tensor: Tensor, given: Tensor) -> None:
    """Put a smaller tensor's values first, in place; old outputs do not see new inputs."""
    old = tuple(slice(0, size) for size in given.shape)
    tensor[old[0]] = 0.0
    tensor[old] = given
