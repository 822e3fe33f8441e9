"""Rounding of weights to int8, for sums over blocks of pictures."""

import numpy as np
import pytest

from engines.backends.rounding import (
    LIMIT,
    block_diagonal,
    round_weights,
    sample_covariance,
)

SIDE = 8


@pytest.fixture
def weights():
    """Waves over a block, as a stem looks for: all but the first sum to nothing."""
    along = np.arange(SIDE)
    waves = np.cos(np.pi * (along[None] + 0.5) * along[:, None] / SIDE)
    return np.einsum("ik,jl->ijkl", waves, waves).reshape(64, 64).astype(np.float32) / 255


def expected_error(weights, rounded, scales, covariance):
    """Squared, of each sum over inputs of that covariance."""
    error = rounded * scales[:, None].astype(np.float64) - weights
    return np.einsum("oi,ij,oj->o", error, covariance, error)


def singly(weights):
    scales = np.abs(weights).max(axis=1) / LIMIT
    return np.rint(weights / scales[:, None]), scales


def test_sums_over_pictures_are_nearer_than_with_weights_rounded_singly(weights):
    covariance = sample_covariance(SIDE)
    found = expected_error(weights, *round_weights(weights, covariance), covariance)
    plain = expected_error(weights, *singly(weights), covariance)
    assert found.sum() < 0.2 * plain.sum()


def test_of_independent_inputs_each_weight_is_rounded_to_the_nearest(weights):
    rounded, scales = round_weights(weights, np.eye(64))
    assert np.array_equal(rounded, singly(weights)[0])
    assert np.allclose(scales, singly(weights)[1])


def test_weights_use_the_whole_range_and_stay_within(weights):
    rounded, _ = round_weights(weights, sample_covariance(SIDE))
    assert rounded.dtype == np.int8
    assert np.abs(rounded.astype(int)).max() <= LIMIT
    assert (np.abs(rounded.astype(int)).max(axis=1) > 0.9 * LIMIT).all()


def test_a_sum_of_nothing_stays_nothing():
    rounded, scales = round_weights(np.zeros((2, 64), np.float32), sample_covariance(SIDE))
    assert not rounded.any()
    assert np.isfinite(scales).all()


def test_covariance_falls_with_distance():
    covariance = sample_covariance(4)
    assert covariance.shape == (16, 16)
    assert np.allclose(covariance, covariance.T)
    assert covariance[0, 0] > covariance[0, 1] > covariance[0, 5] > covariance[0, 15] > 0


def test_parts_are_independent():
    whole = block_diagonal([np.full((2, 2), 3.0), np.full((1, 1), 4.0)])
    assert np.array_equal(whole, [[3, 3, 0], [3, 3, 0], [0, 0, 4]])
