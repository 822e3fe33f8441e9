"""The network on blocks: what its file computes from planes, from and to `BlockOrder`'s order.

Stems that read blocks of one channel, and the shuffles that write them, are a tenth of the
network's arithmetic and half of its time. Where blocks are channels already, the three stems are
one 1x1 convolution and nothing is shuffled (engines/train/LOG.md has the times).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.backends.openvino_graph import named_values
from engines.backends.openvino_int8 import as_bytes, constant_values, scaled_weights
from engines.backends.openvino_quiet import ConstantFolding, Manager, ops, ov
from engines.backends.rounding import block_diagonal, round_weights, sample_covariance
from engines.engine import PictureFormat
from engines.errors import EngineError
from engines.view import BLOCK, RESIDUALS, VIEW

_Weights = NDArray[np.float32]
_CHANNELS_LAST, _CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
_MIDDLE = 0.5
"""What the network takes from each plane first."""
_POINT = ([1, 1], [0, 0], [0, 0], [1, 1])
"""Strides, padding at both ends and dilations of a 1x1 convolution."""


class _Linear(NamedTuple):
    """A 1x1 convolution."""

    weights: _Weights  # (out, in)
    bias: _Weights  # (out,)


class _Sum(NamedTuple):
    """What a value is the sum of."""

    stems: frozenset[int]
    bias: _Weights  # (out,) or (1,)


def on_blocks(
    model: ov.Model, picture_format: PictureFormat, shape: tuple[int, int, int, int], *, int8: bool
) -> ov.Model:
    """Return the network from blocks to blocks; takes `model` apart.

    Args:
        model: The exported file, of any shape.
        picture_format: In a layout of `engines.backends.blocks.LAYOUTS`.
        shape: Of the blocks: pictures, rows, columns, samples.
        int8: Whether the stem multiplies 8-bit codes by int8 weights.

    Raises:
        EngineError: The file is not built as ours are.
    """
    batch, rows, columns, _ = shape
    luma, chroma = ([batch, 1, rows * side, columns * side] for side in (BLOCK, BLOCK // 2))
    model.reshape({"y": luma, "u": chroma, "v": chroma})
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)
    # Of grey pictures the network sees chroma of `_MIDDLE`, of which stems make nothing.
    planes = 1 if picture_format.layout == "gray" else len(VIEW)
    named = named_values(model, (*VIEW, *RESIDUALS))
    mixed, head = _head([named[name] for name in RESIDUALS[:planes]])
    seen, stem = _stem(model, [_reader(named[name]) for name in VIEW], planes)
    sample = ov.Type.u8 if picture_format.bits == 8 else ov.Type.u16
    blocks = ops.parameter(list(shape), sample, name="blocks")
    strength = ops.parameter([1], ov.Type.f32, name="strength")
    codes = ops.convert(blocks, "f32")
    if int8:
        begin = _int8_stem(codes, stem, picture_format)
    else:
        begin = _exact_stem(codes, stem, picture_format)
    for consumer in seen.get_target_inputs():
        consumer.replace_source_output(begin.output(0))
    residual = _transpose(_convolution(mixed, head), _CHANNELS_LAST)
    peak = float(picture_format.peak)
    exact = ops.subtract(codes, ops.multiply(residual, ops.multiply(strength, _number(peak))))
    whole = ops.clamp(ops.round(exact, "half_to_even"), 0.0, peak)
    cleaned = ops.result(ops.convert(whole, sample.get_type_name()))
    return ov.Model([cleaned], [blocks, strength], "demoire")


def _exact_stem(codes: ov.Node, stem: _Linear, picture_format: PictureFormat) -> ov.Node:
    # Around zero, where bf16 has all whole numbers that 8 bits have.
    zero = 1 << (picture_format.bits - 1)
    scaled = stem.weights / np.float32(picture_format.peak)
    bias = stem.bias + scaled.sum(axis=1) * (zero - _MIDDLE * picture_format.peak)
    middle = _transpose(ops.subtract(codes, _number(zero)), _CHANNELS_FIRST)
    return _convolution(middle, _Linear(scaled, bias))


def _int8_stem(codes: ov.Node, stem: _Linear, picture_format: PictureFormat) -> ov.Node:
    """Return the stem of codes as they are, times weights that are rounded for pictures."""
    sides = [BLOCK, BLOCK // 2, BLOCK // 2][: 1 if picture_format.layout == "gray" else 3]
    covariance = block_diagonal([sample_covariance(side) for side in sides])
    rounded, scales = round_weights(stem.weights / np.float32(picture_format.peak), covariance)
    weights = scaled_weights(rounded[..., None, None], scales[:, None, None, None])
    # These are bytes already: OpenVINO leaves the steps and both conversions out.
    bytes_ = as_bytes(_transpose(codes, _CHANNELS_FIRST).output(0), (0, picture_format.peak))
    sums = rounded.sum(axis=1, dtype=np.float32) * scales
    bias = stem.bias - sums * (_MIDDLE * picture_format.peak)
    return _biased(ops.convolution(bytes_, weights, *_POINT), bias)


def _convolution(value: ov.Output | ov.Node, linear: _Linear) -> ov.Node:
    weights = ops.constant(linear.weights[..., None, None].astype(np.float32))
    return _biased(ops.convolution(value, weights, *_POINT), linear.bias)


def _biased(value: ov.Node, bias: _Weights) -> ov.Node:
    return ops.add(value, ops.constant(bias[None, :, None, None].astype(np.float32)))


def _number(value: float) -> ov.Node:
    return ops.constant(np.float32(value))


def _transpose(value: ov.Output | ov.Node, order: Sequence[int]) -> ov.Node:
    return ops.transpose(value, ops.constant(np.array(order, np.int64)))


def _stem(model: ov.Model, stems: Sequence[ov.Node], planes: int) -> tuple[ov.Output, _Linear]:
    """Return the sum of stems and biases, and what it is of the first so many planes.

    Raises:
        EngineError: They are not added up.
    """
    sums = {
        stem.get_friendly_name(): _Sum(frozenset([index]), np.zeros(1, np.float32))
        for index, stem in enumerate(stems)
    }
    whole = None
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Add":
            sides = (value.get_node() for value in node.input_values())
            one, other = (sums.get(side.get_friendly_name()) or _as_bias(side) for side in sides)
            if one and other:
                total = _Sum(one.stems | other.stems, one.bias + other.bias)
                sums[node.get_friendly_name()] = total
                if len(total.stems) == len(stems):
                    whole = node.output(0), total.bias  # the last one: nothing else is added
    if whole is None:
        raise _foreign("sum of stems")
    kernels = [_weights(stem) for stem in stems[:planes]]
    weights = np.concatenate([kernel.reshape(len(kernel), -1) for kernel in kernels], axis=1)
    return whole[0], _Linear(weights, np.broadcast_to(whole[1], len(weights)))


def _as_bias(node: ov.Node) -> _Sum | None:
    values = constant_values(node)
    return None if values is None else _Sum(frozenset(), values.reshape(-1))


def _reader(plane: ov.Output) -> ov.Node:
    """Return the convolution that reads a plane of the view."""
    for middle in _consumers(plane):
        if middle.get_type_name() == "Subtract":
            for stem in _consumers(middle.output(0)):
                if stem.get_type_name() == "Convolution":
                    return stem
    raise _foreign("convolution that reads each plane")


def _head(residuals: Sequence[ov.Output]) -> tuple[ov.Output, _Linear]:
    """Return what the last convolutions read, and them as one.

    Raises:
        EngineError: They are not where they should be.
    """
    read, linear = [], []
    for residual in residuals:
        shuffle = residual.get_node()
        convolution, bias = _unbiased(shuffle.input_value(0).get_node())
        kinds = shuffle.get_type_name(), convolution.get_type_name()
        if kinds != ("DepthToSpace", "Convolution"):
            raise _foreign("convolution and shuffle before each residual")
        read.append(convolution.input_value(0))
        weights = _weights(convolution)[..., 0, 0]
        linear.append(_Linear(weights, np.broadcast_to(bias, len(weights))))
    if len({value.get_node().get_friendly_name() for value in read}) != 1:
        raise _foreign("one value that all residuals are made of")
    return read[0], _Linear(*(np.concatenate(parts) for parts in zip(*linear, strict=True)))


def _unbiased(node: ov.Node) -> tuple[ov.Node, _Weights]:
    """Return what a constant is added to, and the constant."""
    if node.get_type_name() == "Add":
        one, other = (value.get_node() for value in node.input_values())
        for value, constant in ((one, constant_values(other)), (other, constant_values(one))):
            if constant is not None:
                return value, constant.reshape(-1)
    return node, np.zeros(1, np.float32)


def _consumers(value: ov.Output) -> list[ov.Node]:
    return [entry.get_node() for entry in value.get_target_inputs()]


def _weights(convolution: ov.Node) -> _Weights:
    found = constant_values(convolution.input_value(1).get_node())
    if found is None:
        raise _foreign("constant weights")
    return found


def _foreign(what: str) -> EngineError:
    return EngineError(f"the ONNX file has no {what}; write it again with `demoire export`")
