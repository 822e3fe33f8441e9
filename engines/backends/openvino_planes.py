"""Blocks of a plane as channels, in the order that OpenVINO's CPU kernels keep in memory.

For graphs whose inputs and outputs are planes (`openvino_blocks` is for the rest). Convolutions
want many channels, last in memory: a stem that reads blocks of one channel, and the shuffle that
writes them, do not have them. Eight neighbouring samples of a row are that already. So a plane
becomes 8 channels without being moved, the stem's kernel 8 x 1, and the shuffle moves runs of eight
samples at a time. The results are the same (engines/train/LOG.md has the times), but for a CPU
whose kernel is wrong: that is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from engines.backends.openvino_quiet import core, ops, ov

_CHANNELS_LAST, _CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
# Of weights: (out, 1, row, column) to (out, column, row, 1).
_COLUMNS_AS_CHANNELS = (0, 3, 2, 1)
_TRIAL_WIDTH, _TRIAL_ERROR = 16, 0.05


def blocks_as_channels(model: ov.Model) -> None:
    """Rewrite stems and shuffles of a model of static shapes, in place.

    Stems whose fast kernel is wrong on this CPU stay as they are.
    """
    rewrite_edges(model, is_right=kernel_is_right)


def rewrite_edges(model: ov.Model, *, is_right: Callable[[int], bool]) -> None:
    """Rewrite shuffles, and the stems of blocks whose side `is_right` allows, in place."""
    model.validate_nodes_and_infer_types()  # a model made of parts does not know its shapes yet
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Convolution" and _is_stem(node):
            if is_right(node.input(1).get_shape()[-1]):
                _replace(node, _stem(node))
        elif node.get_type_name() == "DepthToSpace" and _is_shuffle_to_plane(node):
            _replace(node, _shuffle(node))
    model.validate_nodes_and_infer_types()


@cache
def kernel_is_right(side: int) -> bool:
    """Whether this CPU's fast convolution of `side` channels by `side` x 1 computes what it should.

    In bf16 on CPUs with AMX that of eight channels does not: what it returns is as wrong as it is
    large (OpenVINO 2026.4.1, oneDNN's brgconv_avx512_amx_bf16; four and sixteen are right).
    """
    random = np.random.default_rng(0)
    height, width, outputs = side * _TRIAL_WIDTH, _TRIAL_WIDTH, 64
    rows = random.standard_normal((1, height, width, side), np.float32)
    weights = random.standard_normal((outputs, side, side, 1), np.float32)
    given = ops.parameter(list(rows.shape), ov.Type.f32)
    first = _transpose(given, _CHANNELS_FIRST)
    stem = ops.convolution(first, ops.constant(weights), [side, 1], [0, 0], [0, 0], [1, 1])
    # In the precision that `auto` is: what is right in that is right in f32.
    compiled = core().compile_model(ov.Model([ops.result(stem)], [given], "trial"), "CPU")
    found = compiled([rows])[0][0]
    blocks = rows.reshape(height // side, side, width, side)
    wanted = np.einsum("rkwc,ock->orw", blocks, weights[..., 0], optimize=True)
    return bool(np.abs(found - wanted).mean() < _TRIAL_ERROR * np.abs(wanted).mean())


def _replace(old: ov.Node, new: ov.Node) -> None:
    for name in old.output(0).get_names():
        new.output(0).add_names({name})
    for consumer in old.output(0).get_target_inputs():
        consumer.replace_source_output(new.output(0))


def _is_stem(node: ov.Node) -> bool:
    """Whether a convolution reads one channel in square blocks that do not overlap."""
    _, channels, *kernel = node.input(1).get_shape()
    attributes = node.get_attributes()
    return (
        channels == 1
        and kernel[0] == kernel[1] > 1
        and list(attributes["strides"]) == kernel
        and not any((*attributes["pads_begin"], *attributes["pads_end"]))
        and node.input_value(0).get_shape()[3] % kernel[1] == 0
    )


def _stem(node: ov.Node) -> ov.Node:
    plane, weights = node.input_value(0), node.input_value(1)
    batch, _, height, width = plane.get_shape()
    side = weights.get_shape()[-1]
    rows = _transpose(_reshape(plane, (batch, height, width // side, side)), _CHANNELS_FIRST)
    turned = _transpose(weights, _COLUMNS_AS_CHANNELS)
    return ops.convolution(rows, turned, [side, 1], [0, 0], [0, 0], [1, 1])


def _is_shuffle_to_plane(node: ov.Node) -> bool:
    """Whether a shuffle leaves one channel, channels being (row, column) of a block."""
    shuffled = node.output(0).get_shape()
    return bool(node.get_attributes()["mode"] == "depth_first" and shuffled[1] == 1)


def _shuffle(node: ov.Node) -> ov.Node:
    blocks, side = node.input_value(0), node.get_attributes()["block_size"]
    batch, _, rows, columns = blocks.get_shape()
    last = _transpose(blocks, _CHANNELS_LAST)
    split = _reshape(last, (batch, rows, columns, side, side))
    joined = _transpose(split, (0, 1, 3, 2, 4))
    return _reshape(joined, (batch, 1, rows * side, columns * side))


def _transpose(value: ov.Output | ov.Node, order: Sequence[int]) -> ov.Node:
    return ops.transpose(value, ops.constant(np.array(order, np.int64)))


def _reshape(value: ov.Output | ov.Node, shape: Sequence[int]) -> ov.Node:
    return ops.reshape(value, ops.constant(np.array(shape, np.int64)), special_zero=False)
