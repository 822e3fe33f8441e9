"""How far values reach: which layers are measured, and where they are cut off."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import torch
from small_network import SMALL, random_network

from engines.evaluate.video import to_planes
from engines.models.network import Network
from engines.ranges import SIDE, measure_ranges, simulated_pictures


def pictures(count=2, side=64):
    rng = np.random.default_rng(0)
    return [to_planes(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(count)]


def largest_inputs(network, planes):
    """The largest magnitude that each layer reads, by name."""
    seen = {}
    for name, layer in network.named_modules():
        layer.register_forward_pre_hook(
            lambda _, inputs, name=name: seen.__setitem__(name, float(inputs[0].abs().max()))
        )
    with torch.inference_mode():
        network(*(torch.from_numpy(plane)[None, None] / 255 for plane in planes))
    return seen


def test_pictures_are_filmed_screens_the_same_each_time():
    first, again = next(simulated_pictures()), next(simulated_pictures())
    assert [plane.shape for plane in first] == [(SIDE, SIDE), (SIDE // 2,) * 2, (SIDE // 2,) * 2]
    assert first[0].std() > 1
    for plane, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(plane, other)


def test_kernels_of_several_samples_are_measured_but_for_the_edges():
    assert list(measure_ranges(random_network(), pictures())) == [
        "encode.1.0.first",
        "encode.1.0.second",
        "down.1",
        "encode.2.0.first",
        "encode.2.0.second",
        "decode.1.first",
        "decode.1.second",
        "decode.0.first",
        "decode.0.second",
    ]


def test_only_what_is_rectified_begins_at_zero():
    ranges = measure_ranges(random_network(), pictures())
    for name in ("encode.1.0.second", "decode.0.second"):
        assert ranges[name][0] == 0
    for name in ("down.1", "decode.0.first"):
        low, high = ranges[name]
        assert low == -high < 0


def test_a_range_ends_near_the_largest_value_and_not_beyond():
    planes = pictures(count=1)
    ranges = measure_ranges(random_network(), planes)
    largest = largest_inputs(random_network(), planes[0])
    for name, (_, high) in ranges.items():
        assert 0.3 * largest[name] < high <= 1.001 * largest[name]


def test_every_picture_counts():
    one, two = pictures(count=2)
    assert measure_ranges(random_network(), [one, one]) == measure_ranges(random_network(), [one])
    assert measure_ranges(random_network(), [one, two]) != measure_ranges(random_network(), [one])


def test_an_activation_that_never_is_has_the_range_before_it():
    network = random_network()
    with torch.no_grad():
        network.encode[1][0].first.bias.fill_(-1e6)
    ranges = measure_ranges(network, pictures())
    assert ranges["encode.1.0.second"] == (0.0, ranges["encode.1.0.first"][1])


def test_the_network_is_left_as_it_was():
    network = Network(SMALL).eval()
    measure_ranges(network, pictures(count=1))
    assert not any(layer._forward_pre_hooks for layer in network.modules())
