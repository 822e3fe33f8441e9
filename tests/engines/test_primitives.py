"""Filters, resampling and colour: tensors get what OpenCV makes of NumPy's arrays."""

import inspect
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra `train`")

import torch
from libraries import assert_same, noise_picture

from engines.simulate import primitives, primitives_torch
from engines.simulate.arrays import look_up
from engines.simulate.camera import Shrink

PRIMITIVES = {
    name: function
    for name, function in vars(primitives).items()
    if isinstance(function, primitives._Primitive)
}

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 24)
even_sides = st.integers(2, 12).map(lambda half: 2 * half)
few = settings(max_examples=25, deadline=None)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_every_primitive_has_a_torch_namesake_with_its_parameters(name):
    namesake = getattr(primitives_torch, name)
    assert list(inspect.signature(namesake).parameters) == list(
        inspect.signature(PRIMITIVES[name]).parameters
    )


@given(sides, sides, seeds)
@few
def test_nearest_mirrors_and_rounds_alike(height, width, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-60, 60, (2, 9, 11)).astype(np.float32)
    x[:4], y[:, :5] = np.round(x[:4] * 2) / 2, np.round(y[:, :5] * 2) / 2  # halves among them
    assert_same(primitives.nearest, noise_picture(height, width, 3, seed=seed), x, y, atol=0)


@given(sides, sides, st.sampled_from([(), (2,), (3,)]), st.floats(0.3, 4), seeds)
@few
def test_blur_is_alike_at_any_width_and_size(height, width, channels, sigma, seed):
    assert_same(primitives.blur, noise_picture(height, width, *channels, seed=seed), sigma=sigma)


@given(sides, sides, st.sampled_from([(1, 1), (3, 5), (5, 5), (7, 1)]), seeds)
@few
def test_correlation_is_alike_with_any_kernel(height, width, size, seed):
    kernel = noise_picture(*size, seed=seed + 1) - np.float32(0.5)
    assert_same(primitives.correlate, noise_picture(height, width, seed=seed), kernel=kernel)


@given(sides, sides, st.integers(-70, 70), st.integers(-70, 70), seeds)
@few
def test_shift_is_alike(height, width, x, y, seed):
    # OpenCV before 5 rounds to 1/32 pixel.
    image = noise_picture(max(2, height), max(2, width), seed=seed)
    assert_same(primitives.shift, image, x=x / 32, y=y / 32)


@pytest.mark.parametrize("method", get_args(Shrink))
@given(st.integers(1, 60), st.integers(1, 60), st.floats(1, 3), seeds)
@few
def test_shrinking_is_alike(method, height, width, factor, seed):
    rows, columns = (max(2, round(side * factor)) for side in (height, width))
    if method == "nearest":  # a sample halfway may go to either neighbour
        assume(not any(halfway(*pair) for pair in ((rows, height), (columns, width))))
    image = noise_picture(rows, columns, 3, seed=seed)
    assert_same(primitives.resize, image, height=height, width=width, method=method)


def halfway(source, length):
    return ((2 * np.arange(length) + 1) * source % (2 * length) == 0).any()


@given(sides, sides, st.floats(0.005, 0.1), seeds)
@few
def test_bilateral_filter_is_alike(height, width, step, seed):
    image = noise_picture(height, width, seed=seed) * np.float32(0.2)
    assert_same(primitives.bilateral, image, step=step, sigma=1.5)


@pytest.mark.parametrize("method", [primitives.demosaic_bilinear, primitives.demosaic_edge_aware])
@given(even_sides, even_sides, seeds)
@few
def test_demosaic_in_16_bits_is_the_same(method, height, width, seed):
    raw = noise_picture(height, width, seed=seed) * np.float32(2.2) - np.float32(0.1)
    assert_same(method, raw, atol=0)


@pytest.mark.parametrize("convert", [primitives.luma, primitives.to_ycc, primitives.from_ycc])
def test_colour_differences_are_alike(convert):
    assert_same(convert, noise_picture(9, 14, 3))


def test_colour_matrix_is_applied_alike():
    assert_same(
        primitives.transform, noise_picture(9, 14, 3), matrix=noise_picture(3, 3, seed=1) - 1
    )


def test_table_is_looked_up_alike():
    index = np.random.default_rng(0).integers(0, 50, (5, 7), dtype=np.int32)
    for table in (noise_picture(50), noise_picture(50, 3)):
        assert_same(lambda places, table=table: look_up(table, places), index, atol=0)


def test_normal_numbers_are_normal_and_repeat_themselves_by_seed():
    like = torch.zeros(1)
    first, again, other = (
        primitives.standard_normal(like, np.random.default_rng(seed), shape=(300, 400)).numpy()
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.02
    assert (first.dtype, first.shape) == (np.float32, (300, 400))
    assert first.mean() == pytest.approx(0, abs=0.015)
    assert first.std() == pytest.approx(1, rel=0.01)


def test_successive_normal_numbers_of_a_generator_differ():
    rng = np.random.default_rng(1)
    first, second = (primitives.standard_normal(torch.zeros(1), rng, shape=(50,)) for _ in range(2))
    assert not torch.equal(first, second)
