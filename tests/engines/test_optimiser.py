"""Muon: what it does to matrices, kernels and biases."""

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import torch
from torch import nn

from engines.train.optimiser import Muon, orthogonalise


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8), (1, 12)])
def test_singular_values_come_near_one(shape):
    values = torch.linalg.svdvals(orthogonalise(random(*shape) * 1e-3))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_singular_values_come_near_one_in_half_precision():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = torch.linalg.svdvals(orthogonalise(random(16, 40)).float())
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_nothing_stays_nothing():
    assert not orthogonalise(torch.zeros(4, 6)).any()


def moved(parameter, gradient, *, steps=1, **options):
    before = parameter.detach().clone()
    optimiser = Muon([parameter], **options)
    for _ in range(steps):
        parameter.grad = gradient.clone()
        optimiser.step()
    return parameter.detach() - before


@pytest.mark.parametrize("shape", [(32, 64), (64, 16), (16, 8, 3, 3)])
def test_step_has_the_size_of_adams_whatever_the_gradient(shape):
    for gain in (1e-6, 1.0, 1e4):
        step = moved(nn.Parameter(random(*shape)), random(*shape) * gain, rate=1e-2)
        assert 0.05 < step.square().mean().sqrt() / 1e-2 < 0.3


def test_biases_take_adams_step():
    step = moved(nn.Parameter(torch.zeros(3)), torch.tensor([1e-3, -5.0, 0.0]), rate=1e-2)
    assert step.tolist() == pytest.approx([-1e-2, 1e-2, 0], rel=1e-3)


def test_weights_decay_and_biases_do_not():
    options = {"rate": 0.1, "weight_decay": 0.5, "steps": 3}
    weights = nn.Parameter(torch.ones(4, 4))
    moved(weights, torch.zeros(4, 4), **options)
    assert weights.detach() == pytest.approx(0.95**3)
    assert not moved(nn.Parameter(torch.ones(4)), torch.zeros(4), **options).any()


def test_parameters_without_a_gradient_stay():
    parameter = nn.Parameter(torch.ones(2, 2))
    Muon([parameter], 0.1, weight_decay=0.5).step()
    assert (parameter == 1).all()


def test_finds_the_minimum_of_a_least_squares_problem():
    wanted, inputs = random(6, 5), torch.randn(64, 5, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    layer = nn.Linear(5, 6)
    optimiser = Muon(layer.parameters(), 0.1)
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        optimiser.zero_grad()
        loss = (layer(inputs) - inputs @ wanted.T).square().mean()
        loss.backward()
        optimiser.step()
    assert loss < 1e-2


def test_state_survives_saving():
    def run(stop_after):
        parameter, gradient = nn.Parameter(torch.zeros(4, 4)), random(4, 4)
        optimiser = Muon([parameter], 0.1)
        for step in range(4):
            if step == stop_after:
                state = optimiser.state_dict()
                optimiser = Muon([parameter], 0.1)
                optimiser.load_state_dict(state)
            parameter.grad = gradient * (step + 1)
            optimiser.step()
        return parameter.detach()

    torch.testing.assert_close(run(2), run(None))
