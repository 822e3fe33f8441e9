"""A larger network that starts as a smaller one."""

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import torch

from engines.models.grow import grow
from engines.models.network import Network, NetworkConfig

SMALL = NetworkConfig(analysis=10, widths=(4, 6, 8), depths=(0, 1, 1), bands=True)
LARGER = {
    "as large": SMALL,
    "wider": replace(SMALL, widths=(5, 8, 12)),
    "deeper": replace(SMALL, depths=(1, 2, 1)),
    "both": replace(SMALL, widths=(8, 8, 9), depths=(2, 1, 3)),
}


def trained(config, seed=0):
    """A network none of whose parts is at its start."""
    torch.manual_seed(seed)
    network = Network(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network


def planes():
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(1, 1, n, n, generator=generator) for n in (64, 32, 32)]


@pytest.mark.parametrize("config", LARGER.values(), ids=LARGER)
def test_grown_network_computes_what_the_smaller_one_did(config):
    small, large = trained(SMALL), Network(config).eval()
    grow(large, small)
    with torch.inference_mode():
        for one, other in zip(small(*planes()), large(*planes()), strict=True):
            assert one.std() > 0.01
            torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-4)


def test_new_channels_and_blocks_learn():
    small, large = trained(SMALL), Network(LARGER["both"])
    grow(large, small)
    before = {name: value.clone() for name, value in large.state_dict().items()}
    optimiser = torch.optim.SGD(large.parameters(), lr=1.0)
    for _ in range(2):  # the first step connects what the second moves
        optimiser.zero_grad()
        sum(residual.square().mean() for residual in large(*planes())).backward()
        optimiser.step()
    changed = {name: value != before[name] for name, value in large.state_dict().items()}
    assert changed["gate.weight"][:, 4:].all()  # sees the new channels
    assert changed["enter.weight"][4:].any()  # makes them
    assert changed["encode.0.0.second.weight"].any()


@pytest.mark.parametrize(
    "config",
    [
        replace(SMALL, widths=(4, 6, 7)),
        replace(SMALL, depths=(0, 0, 1)),
        replace(SMALL, widths=(4, 8), depths=(1, 1)),
        replace(SMALL, analysis=15),
        replace(SMALL, bands=False),
    ],
    ids=["narrower", "shallower", "fewer scales", "other coefficients", "no bands"],
)
def test_network_that_does_not_hold_the_smaller_one_is_refused(config):
    with pytest.raises(ValueError, match="does not fit into"):
        grow(Network(config), Network(SMALL))
