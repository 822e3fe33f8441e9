"""What the simulator makes of NumPy's arrays, held against what it makes of tensors."""

import numpy as np
import torch


def noise_picture(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def as_tensors(value):
    if isinstance(value, np.ndarray):
        return torch.asarray(value)
    return tuple(map(as_tensors, value)) if isinstance(value, tuple) else value


def assert_same(function, *arrays, atol=2e-6, **options):
    """Compare results, an array or a tuple of them; by default to the last digits."""
    results = function(*arrays, **options), function(*map(as_tensors, arrays), **options)
    pairs = zip(*results, strict=True) if isinstance(results[0], tuple) else [results]
    for wanted, found in pairs:
        assert found.numpy().dtype == wanted.dtype
        np.testing.assert_allclose(found.numpy(), wanted, atol=atol, rtol=1e-5)
