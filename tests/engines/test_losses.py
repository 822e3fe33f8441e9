"""What training minimises."""

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import torch

from engines.train.losses import (
    LUMA_SCALES,
    MASKING,
    STEPS_POOL,
    charbonnier,
    demoire_loss,
    harm,
    plane_loss,
    seen,
    steps,
    visibility,
    weights_by_strength,
)

SIDE = 96
ALL_SEEN = torch.ones(1, 1, SIDE // 8, SIDE // 8)


def planes(seed=0, count=3):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(count, 1, n, n, generator=generator) for n in (SIDE, SIDE // 2, SIDE // 2)]


def ripple(amplitude, *, period=32.0):
    wave = amplitude * torch.sin(2 * torch.pi * torch.arange(SIDE) / period)
    return wave.expand(1, 1, SIDE, SIDE)


def grey(level=0.5):
    return [torch.full((1, 1, n, n), level) for n in (SIDE, SIDE // 2, SIDE // 2)]


def test_equal_pictures_cost_nothing():
    assert demoire_loss(planes(), planes()).tolist() == [0, 0, 0]


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


def test_charbonnier_is_the_magnitude_with_a_smooth_bottom():
    errors = charbonnier(torch.tensor([0.0, 3.0, -5.0]))
    assert errors.tolist() == pytest.approx([0, 3, 5], abs=2e-3)
    small = charbonnier(torch.tensor([1e-4, 2e-4]))
    assert small[1] == pytest.approx(4 * float(small[0]), rel=0.05)


def test_steps_ignore_shading_and_see_edges():
    assert not any(step.any() for step in steps(torch.full((1, 1, 8, 8), 0.7)))
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1
    across, down = steps(edge)
    assert across.sum() == 8
    assert down.sum() == 0


def test_flat_ground_hides_nothing_and_texture_hides_half():
    assert visibility(grey()[0]).unique().tolist() == [1]
    checks = (torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2 * MASKING / 2
    assert visibility(checks.expand(1, 1, SIDE, SIDE)).unique().tolist() == pytest.approx([0.5])


def test_error_on_flat_ground_costs_more_than_on_texture():
    (truth, *chroma) = grey()
    truth = truth.clone()
    truth[..., SIDE // 2 :] += 0.4 * (torch.arange(SIDE // 2) % 2)
    losses = []
    for half in (slice(0, SIDE // 2), slice(SIDE // 2, SIDE)):
        output = truth.clone()
        output[..., half] += 0.05
        losses.append(demoire_loss([output, *chroma], [truth, *chroma]).item())
    assert losses[0] > 3 * losses[1] > 0


def test_errors_are_weighed_where_they_lie():
    errors = torch.zeros(2, 1, 16, 16)
    errors[0, :, :8, :8] = errors[1, :, 8:, 8:] = 1
    weights = torch.zeros(2, 1, 2, 2)
    weights[:, :, 0, 0] = 1
    assert seen(errors, weights).tolist() == [0.25, 0]


def test_fringes_cost_more_than_noise_of_the_same_size():
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 / 2**0.5 * torch.randn(1, 1, SIDE, SIDE, generator=generator)
    fringe = plane_loss(ripple(0.1), LUMA_SCALES, ALL_SEEN)
    assert fringe > 2 * plane_loss(noise, LUMA_SCALES, ALL_SEEN)


def test_blocks_cost_more_than_a_long_wave_of_the_same_size():
    blocks = 0.02 * (torch.arange(SIDE) // 8 % 2 * 2.0 - 1).expand(1, 1, SIDE, SIDE)
    wave = ripple(0.02 * 2**0.5, period=64.0)
    scale = ((STEPS_POOL, 1.0),)
    assert plane_loss(blocks, scale, ALL_SEEN) > 1.3 * plane_loss(wave, scale, ALL_SEEN)


def test_offset_leaves_out_rows_and_columns_of_every_plane():
    outputs = planes()
    for plane, (rows, columns) in zip(outputs, ((4, 6), (2, 3), (2, 3)), strict=True):
        plane[..., :rows, :] += 0.5
        plane[..., :, :columns] += 0.5
    assert demoire_loss(outputs, planes()).min() > 0.01
    assert demoire_loss(outputs, planes(), offset=(4, 6)).tolist() == [0, 0, 0]


def level(value):
    return torch.full((1, 1, 16, 16), value)


def test_only_what_got_worse_is_harm():
    assert harm(level(0.001), level(-0.002)).item() == 0
    assert harm(level(0.3), level(0.0)).item() == pytest.approx(3 * 0.3)


def test_what_was_wrong_before_may_be_changed():
    assert harm(level(0.3), level(-0.1)) < 0.1 * harm(level(0.2), level(0.0))


def test_harm_is_not_masked_by_texture():
    clean = planes()
    outputs = [plane + 0.02 for plane in clean]
    masked = demoire_loss(outputs, clean)
    whole = demoire_loss(outputs, clean, inputs=clean, harm_weight=0.5)
    assert (whole - masked).min() > 0.5 * 3 * 3 * 0.019


def test_loss_can_be_minimised_from_zero_error():
    outputs = [plane.requires_grad_() for plane in planes()]
    demoire_loss(outputs, planes()).sum().backward()
    assert all(torch.isfinite(plane.grad).all() for plane in outputs)


def strength_weight(amplitude):
    truth, *chroma = grey()
    return weights_by_strength([truth + ripple(amplitude), *chroma], [truth, *chroma]).item()


def test_faint_moire_weighs_more_than_strong_within_bounds():
    weights = [strength_weight(amplitude) for amplitude in (0.003, 0.01, 0.05, 0.4)]
    assert weights == sorted(weights, reverse=True)
    assert 1 < weights[0] <= 2.5
    assert weights[-1] == 0.5


def test_sample_without_moire_counts_once():
    assert strength_weight(0.0) == 1
