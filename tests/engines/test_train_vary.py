"""Variations change both pictures alike, and only what they are meant to."""

import random

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import torch
from train_samples import SIDE, fringed

from engines.train.config import TrainConfig
from engines.train.data import both_planes, split_planes
from engines.train.vary import copy_smaller, grain, overlay, recolour, squeeze, vary

NEVER = {"copied": 0, "recoloured": 0, "squeezed": 0, "overlaid": 0, "grained": 0}


@pytest.mark.parametrize("factor", [1.5, 2.7, 4.0])
def test_smaller_copies_lose_the_finest_pattern_only(factor):
    grid = torch.zeros(1, 1, 64, 96)
    grid[..., ::2] = 1
    hills = torch.sin(torch.arange(96) / 12).expand(1, 1, 64, 96)
    flat_grid, same_hills = copy_smaller((grid, hills), factor)
    assert flat_grid.shape == grid.shape
    assert flat_grid.std() < 0.5 * grid.std()
    torch.testing.assert_close(same_hills[..., 8:-8], hills[..., 8:-8], atol=0.1, rtol=0)


def test_squeezing_shrinks_every_plane_by_its_axis():
    planes = split_planes(torch.from_numpy(fringed(40)))
    y, u, v = squeeze(planes, height=SIDE // 2, width=SIDE // 4)
    assert y.shape == (2, 1, SIDE // 2, SIDE // 4)
    assert u.shape == v.shape == (2, 1, SIDE // 4, SIDE // 8)
    torch.testing.assert_close(y.mean(), planes[0].mean())


def test_recolouring_changes_picture_and_truth_alike():
    planes = split_planes(torch.randint(0, 256, (2, 96, 64), dtype=torch.uint8))
    changed, truth = recolour(planes, planes, rng=random.Random(3))
    for one, other, before in zip(changed, truth, planes, strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, before)


def test_recolouring_leaves_grey_grey():
    grey = (torch.rand(1, 1, 8, 8), torch.full((1, 1, 4, 4), 0.5), torch.full((1, 1, 4, 4), 0.5))
    changed, _ = recolour(grey, grey, rng=random.Random(4))
    assert torch.equal(changed[1], grey[1])
    assert torch.equal(changed[2], grey[2])


def greys(*levels, side=64):
    """Flat planes, one sample for each level."""
    luma = torch.tensor(levels).reshape(-1, 1, 1, 1).expand(-1, 1, side, side)
    chroma = torch.full((len(levels), 1, side // 2, side // 2), 0.5)
    return luma, chroma, chroma


def test_overlaid_detail_is_that_of_the_other_samples_truth():
    planes, truth = greys(0.3, 0.5), greys(0.4, 0.5)
    dots = torch.zeros(64, 64)
    dots[::8, ::8] = 0.3
    truth = (truth[0] + torch.stack([dots, torch.zeros(64, 64)])[:, None], *truth[1:])
    changed, changed_truth = overlay(planes, truth, rng=random.Random(1))
    added = changed[0] - planes[0]
    assert not added[0].any()  # its neighbour, the second sample, is flat
    peaks = added[1, 0, ::8, ::8]
    assert 0.3 * 0.25 < peaks.min() <= peaks.max() <= 0.3
    torch.testing.assert_close(changed_truth[0] - truth[0], added, atol=1e-6, rtol=0)


def test_overlaying_leaves_shading_alone():
    planes, truth = greys(0.3, 0.5), greys(0.9, 0.1)
    changed, _ = overlay(planes, truth, rng=random.Random(2))
    torch.testing.assert_close(changed[0], planes[0])


def test_grain_is_the_same_in_both_pictures_and_other_in_each_sample():
    torch.manual_seed(0)
    planes, truth = greys(0.3, 0.5), greys(0.4, 0.6)
    changed, changed_truth = grain(planes, truth, rng=random.Random(3))
    noise = [a - b for a, b in zip(changed, planes, strict=True)]
    for one, before, after in zip(noise, truth, changed_truth, strict=True):
        torch.testing.assert_close(after - before, one, atol=1e-6, rtol=0)
    assert 0 < noise[0].std() < 0.05
    assert abs(noise[0].mean()) < 0.1 * noise[0].std()
    assert np.corrcoef(noise[0][:, 0].flatten(1))[0, 1] < 0.1


def test_pictures_with_grain_stay_within_their_range():
    torch.manual_seed(0)
    white, black = greys(1.0, 1.0), greys(0.0, 0.0)
    for plane in (
        *grain(white, black, rng=random.Random(4))[0],
        *grain(black, white, rng=random.Random(5))[0],
    ):
        assert 0 <= plane.min() <= plane.max() <= 1


def varied(**shares):
    planes, truth = both_planes(np.stack([fringed(60)]), "cpu")
    config = TrainConfig(crop=SIDE, **{**NEVER, **shares})
    return planes, *vary(planes, truth, config=config, multiple=16, rng=random.Random(0))


def test_share_of_none_leaves_everything_alone():
    planes, changed, _ = varied()
    assert all(torch.equal(a, b) for a, b in zip(planes, changed, strict=True))


@pytest.mark.parametrize("share", NEVER)
def test_share_of_all_changes_every_step(share):
    planes, changed, truth = varied(**{share: 1})
    assert changed[0].shape != planes[0].shape or not torch.equal(changed[0], planes[0])
    assert [plane.shape for plane in changed] == [plane.shape for plane in truth]


def test_squeezed_pictures_fit_the_network_and_the_loss():
    planes, truth = both_planes(np.stack([fringed(60)]), "cpu")
    config = TrainConfig(crop=SIDE, squeezed=1)
    for seed in range(30):
        changed, _ = vary(planes, truth, config=config, multiple=16, rng=random.Random(seed))
        height, width = changed[0].shape[-2:]
        assert height % 16 == width % 16 == 0
        assert 64 <= min(height, width) <= max(height, width) <= SIDE
