"""What training minimises."""

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import torch

from engines.train.losses import (
    FLOOR,
    LUMA_SCALES,
    STEPS_POOL,
    charbonnier,
    demoire_loss,
    edges,
    plane_loss,
    weights_by_strength,
)


def planes(seed=0, count=3):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(count, 1, side, side, generator=generator) for side in (64, 32, 32)]


def ripple(amplitude, *, period=32.0):
    wave = amplitude * torch.sin(2 * torch.pi * torch.arange(64) / period)
    return wave.expand(1, 1, 64, 64)


def test_equal_pictures_cost_next_to_nothing():
    loss = demoire_loss(planes(), planes())
    assert loss.tolist() == pytest.approx([FLOOR] * 3)


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_loss_grows_with_the_error_of_every_plane(plane):
    losses = []
    for error in (0.0, 0.01, 0.1, -0.3):
        outputs = planes()
        outputs[plane] = outputs[plane] + error
        losses.append(demoire_loss(outputs, planes())[0])
    assert losses == sorted(losses)
    assert losses[-1] > 10 * losses[1]


def test_each_sample_has_its_own_loss():
    outputs = planes()
    outputs[0][1] += 0.5
    first, second, third = demoire_loss(outputs, planes())
    assert first == third < second


def test_charbonnier_is_the_mean_magnitude_with_a_smooth_bottom():
    difference = torch.tensor([0.0, 3.0, -5.0, 0.0]).view(1, 1, 2, 2)
    assert charbonnier(difference).item() == pytest.approx((3 + 5 + 2e-3) / 4, abs=1e-5)


def test_edges_ignore_shading_and_see_steps():
    assert edges(torch.full((1, 1, 8, 8), 0.7)).item() == 0
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    assert edges(step).item() == pytest.approx(1 / 7)


def test_blocks_cost_more_than_a_long_wave_of_the_same_size():
    blocks = 0.02 * (torch.arange(64) // 8 % 2 * 2.0 - 1).expand(1, 1, 64, 64)
    wave = ripple(0.02 * 2**0.5, period=64.0)
    scale = ((STEPS_POOL, 1.0),)
    assert plane_loss(blocks, scale) > 1.3 * plane_loss(wave, scale)


def test_offset_leaves_out_rows_and_columns():
    outputs = planes()
    for plane in outputs:
        plane[..., :3, :] += 0.5
        plane[..., :, :5] += 0.5
    assert demoire_loss(outputs, planes())[0] > 2 * FLOOR
    assert demoire_loss(outputs, planes(), offset=(3, 5)).tolist() == pytest.approx([FLOOR] * 3)


def test_fringes_cost_more_than_noise_of_the_same_size():
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 / 2**0.5 * torch.randn(1, 1, 64, 64, generator=generator)
    assert plane_loss(ripple(0.1), LUMA_SCALES) > 2 * plane_loss(noise, LUMA_SCALES)


def test_loss_can_be_minimised_from_zero_error():
    outputs = [plane.requires_grad_() for plane in planes()]
    demoire_loss(outputs, planes()).sum().backward()
    assert all(torch.isfinite(plane.grad).all() for plane in outputs)


def strength_weight(amplitude):
    _, u, v = planes(count=1)
    truth = torch.full((1, 1, 64, 64), 0.5)
    return weights_by_strength([truth + ripple(amplitude), u, v], [truth, u, v]).item()


def test_faint_moire_weighs_more_than_strong_within_bounds():
    weights = [strength_weight(amplitude) for amplitude in (0.003, 0.01, 0.05, 0.4)]
    assert weights == sorted(weights, reverse=True)
    assert 1 < weights[0] <= 2.5
    assert weights[-1] == 0.5


def test_sample_without_moire_counts_once():
    assert strength_weight(0.0) == 1
