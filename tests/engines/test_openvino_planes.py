"""Stems and shuffles in the order of OpenVINO's kernels: other operations, the same figures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.backends.openvino_planes import kernel_is_right, rewrite_edges
from engines.backends.openvino_quiet import core, ops, ov
from engines.models import SHIPPED, model_path

BLOCKS = given(
    batch=st.integers(1, 2),
    rows=st.integers(1, 4),
    columns=st.integers(1, 5),
    side=st.sampled_from([2, 4, 8]),
)


def rewrite(model):
    rewrite_edges(model, is_right=lambda side: True)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def stem(shape, kernel, *, strides=None, pad=0):
    plane = ops.parameter(shape, np.float32)
    weights = ops.constant(numbers(5, shape[1], *kernel))
    found = ops.convolution(plane, weights, strides or list(kernel), [pad] * 2, [pad] * 2, [1, 1])
    return ov.Model([found], [plane], "stem")


def shuffle(shape, side, mode):
    blocks = ops.parameter(shape, np.float32)
    return ov.Model([ops.depth_to_space(blocks, mode, side)], [blocks], "shuffle")


def run(model, value):
    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([value])[0]


def kinds(model):
    return sorted(node.get_type_name() for node in model.get_ops())


@settings(max_examples=12, deadline=None)
@BLOCKS
def test_stem_computes_the_same(batch, rows, columns, side):
    shape = [batch, 1, rows * side, columns * side]
    value = numbers(*shape, seed=1)
    model = stem(shape, (side, side))
    wanted = run(model, value)
    rewrite(model)
    (convolution,) = (n for n in model.get_ops() if n.get_type_name() == "Convolution")
    assert list(convolution.get_attributes()["strides"]) == [side, 1]
    np.testing.assert_allclose(run(model, value), wanted, atol=1e-4)


@settings(max_examples=12, deadline=None)
@BLOCKS
def test_shuffle_moves_the_same(batch, rows, columns, side):
    shape = [batch, side * side, rows, columns]
    value = numbers(*shape, seed=2)
    model = shuffle(shape, side, "depth_first")
    wanted = run(model, value)
    rewrite(model)
    assert "DepthToSpace" not in kinds(model)
    assert np.array_equal(run(model, value), wanted)


@pytest.mark.parametrize(
    "model",
    [
        stem([1, 2, 8, 8], (4, 4)),
        stem([1, 1, 8, 8], (4, 4), strides=[2, 2]),
        stem([1, 1, 8, 8], (4, 2)),
        stem([1, 1, 8, 8], (4, 4), pad=4),
        stem([1, 1, 9, 9], (4, 4)),
        stem([1, 1, 8, 8], (1, 1)),
        shuffle([1, 16, 2, 2], 4, "blocks_first"),
        shuffle([1, 32, 2, 2], 4, "depth_first"),
    ],
    ids=["channels", "overlap", "oblong", "padded", "remainder", "point", "order", "channels out"],
)
def test_what_reads_or_writes_no_blocks_of_a_plane_stays(model):
    before = kinds(model)
    rewrite(model)
    assert kinds(model) == before


def test_names_of_values_stay():
    model = shuffle([1, 16, 2, 2], 4, "depth_first")
    (moved,) = (n for n in model.get_ops() if n.get_type_name() == "DepthToSpace")
    moved.output(0).set_names({"residual"})
    rewrite(model)
    assert model.output("residual").get_shape() == [1, 1, 8, 8]


def test_stem_whose_kernel_is_wrong_stays():
    model = stem([1, 1, 16, 16], (8, 8))
    rewrite_edges(model, is_right=lambda side: side != 8)
    assert kinds(model) == kinds(stem([1, 1, 16, 16], (8, 8)))


def test_trial_passes_a_kernel_that_is_right():
    assert kernel_is_right(4)


@pytest.mark.parametrize("model", SHIPPED)
def test_shipped_network_is_rewritten_at_every_edge(model):
    graph = core().read_model(model_path(model))
    graph.reshape(dict(zip("yuv", ([1, 1, 64, 128], [1, 1, 32, 64], [1, 1, 32, 64]), strict=True)))
    before = kinds(graph)
    rewrite(graph)
    after = kinds(graph)
    edges = 3  # Y, U and V
    assert before.count("DepthToSpace") - after.count("DepthToSpace") == edges
    assert after.count("Convolution") == before.count("Convolution")
    assert after.count("Transpose") - before.count("Transpose") == edges * (2 + 2)
