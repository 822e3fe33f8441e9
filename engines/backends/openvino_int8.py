"""Which convolutions multiply bytes, where the CPU does that fast and exactly.

Those of 2x2 and 3x3 samples are most of the network's arithmetic; what mixes channels, is added up
or gated stays in floating point. OpenVINO takes a `FakeQuantize` operation for "these are bytes"
and computes convolutions between two of them with integers. How far a convolution's input reaches
stands in the file (`engines.ranges`).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.backends.openvino_quiet import core, ops, ov
from engines.backends.rounding import LIMIT
from engines.errors import EngineError
from engines.view import RANGES_KEY, Ranges

Precision = Literal["auto", "bf16", "f32", "int8"]

_BYTES = {"i8", "u8"}
_TRIAL_CHANNELS, _TRIAL_SIDE = 32, 8


class Products(Protocol):
    """What a CPU is good at."""

    @property
    def floats(self) -> str:
        """OpenVINO's name of the floating point it prefers there: `f32`, `bf16` or `f16`."""
        ...

    @property
    def in_tiles(self) -> bool:
        """Whether it multiplies matrices at once (AMX): bf16 is then as fast as int8 is."""
        ...

    @property
    def exact_bytes(self) -> bool:
        """Whether products of bytes are added up in 32 bits.

        Older ones add pairs in 16, which not all fit.
        """
        ...


@dataclass(frozen=True)
class Arithmetic:
    """What a graph is computed in."""

    floats: str
    """OpenVINO's name of the floating point."""
    int8_stem: bool
    """Whether pictures of 8 bits are multiplied as bytes."""
    int8_layers: bool
    """Whether convolutions whose input's range is known are too."""


def choose(precision: Precision, products: Products, *, has_ranges: bool) -> Arithmetic:
    """Return what the option `precision` means on a CPU.

    Args:
        precision: The option; `auto` is the fastest that is right.
        products: What the CPU is good at.
        has_ranges: Whether the model says how far its values reach.

    Raises:
        EngineError: int8 was asked for, and is not right on this CPU or for this model.
    """
    native = products.floats == "bf16"
    if precision == "int8":
        _check_int8(products, has_ranges=has_ranges)
    elif precision != "auto" or not (
        products.floats == "f32" and products.exact_bytes and has_ranges
    ):
        floats = products.floats if precision == "auto" else precision
        # Every CPU that computes in bf16 has exact products of bytes, too: those came first.
        stem = native and floats == "bf16"
        return Arithmetic(floats, int8_stem=stem, int8_layers=False)
    # An Intel CPU that may not use its tiles takes 93 ms in bf16, 70 in f32, 40 in int8 and f32.
    floats = "bf16" if native and products.in_tiles else "f32"
    return Arithmetic(floats, int8_stem=True, int8_layers=True)


def _check_int8(products: Products, *, has_ranges: bool) -> None:
    asked = "openvino: precision int8 was asked for, but"
    if not products.exact_bytes:
        raise EngineError(
            f"{asked} this CPU has no exact products of bytes (VNNI); use precision=auto"
        )
    if not has_ranges:
        raise EngineError(
            f"{asked} the model has no {RANGES_KEY}; write it again with `demoire export`, or use"
            " precision=auto"
        )


def read_ranges(model: ov.Model) -> Ranges:
    """Return the ranges that stand in an exported file; none where it is an older one.

    Raises:
        EngineError: They are not as `demoire export` writes them.
    """
    if not model.has_rt_info(["framework", RANGES_KEY]):
        return {}
    text = model.get_rt_info(["framework", RANGES_KEY]).astype(str)
    try:
        ranges = {name: (float(low), float(high)) for name, (low, high) in json.loads(text).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise _unreadable() from error
    if not all(low <= 0 < high < np.inf for low, high in ranges.values()):
        raise _unreadable()
    return ranges


def _unreadable() -> EngineError:
    return EngineError(
        f"the ONNX file's {RANGES_KEY} are not ranges; write it again with `demoire export`"
    )


def multiply_bytes(graph: ov.Model, ranges: Ranges) -> None:
    """Make those convolutions of a graph integer that have a range, in place.

    Raises:
        EngineError: The graph lacks one of them.
    """
    left = dict(ranges)
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "Convolution":
            continue
        weights = node.input_value(1).get_node()
        name = weights.get_friendly_name()
        values = constant_values(weights) if name in left else None
        if values is None:
            continue
        ends = left.pop(name)
        rounded, scales = _round_singly(values)
        node.input(0).replace_source_output(as_bytes(node.input_value(0), ends).output(0))
        node.input(1).replace_source_output(scaled_weights(rounded, scales).output(0))
    if left:
        raise EngineError(
            f"the ONNX file has no convolution of {', '.join(sorted(left))}; write it again with"
            " `demoire export`"
        )
    _widen_codes(graph)
    graph.validate_nodes_and_infer_types()


def constant_values(node: ov.Node) -> NDArray[np.float32] | None:
    """Return the values of a constant of the file's, None of anything else."""
    if node.get_type_name() == "Convert":  # half precision, widened when it is compiled
        node = node.input_value(0).get_node()
    return np.asarray(node.data, np.float32) if node.get_type_name() == "Constant" else None


def _widen_codes(graph: ov.Model) -> None:
    """Convert 16-bit codes by way of 32 bits.

    Beside integer convolutions OpenVINO keeps u16 for what a convolution's layout is changed from,
    and its oneDNN has no such type (2026.4.1).
    """
    for parameter in graph.get_parameters():
        if parameter.get_element_type() == ov.Type.u16:
            codes = parameter.output(0).get_target_inputs()
            wide = ops.convert(parameter, "i32")
            for code in codes:
                code.replace_source_output(wide.output(0))


def as_bytes(value: ov.Output, ends: tuple[float, float]) -> ov.Node:
    """Return a value in 256 steps, lowest to highest; what OpenVINO takes for bytes."""
    low, high = ends
    if low < 0:  # whole steps on both sides of a zero that stays zero
        high = max(-low, high)
        low = -high * (LIMIT + 1) / LIMIT
    limits = [ops.constant(np.full((1, 1, 1, 1), end, np.float32)) for end in (low, high)]
    return ops.fake_quantize(value, *limits, *limits, 256)


def _round_singly(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return weights as int8 and the scale of each output, (O, 1, 1, 1)."""
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    scales = np.maximum(largest / LIMIT, np.finfo(np.float32).tiny).astype(np.float32)
    return np.rint(weights / scales).astype(np.int8), scales


def scaled_weights(rounded: NDArray[np.int8], scales: NDArray[np.float32]) -> ov.Node:
    """Return weights, (O, I, H, W), that stay int8; scales are (O, 1, 1, 1)."""
    return ops.multiply(ops.convert(ops.constant(rounded), "f32"), ops.constant(scales))


class TriedProducts:
    """What this CPU is good at; its products of bytes are tried once they are asked for."""

    @cached_property
    def floats(self) -> str:
        """See `Products.floats`."""
        name: str = core().get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name()
        return name

    @cached_property
    def in_tiles(self) -> bool:
        """See `Products.in_tiles`."""
        # Where OpenVINO calls its kernels otherwise, int8 runs where bf16 is as fast: no harm.
        return any("amx" in kernel for kernel, _ in self._trials)

    @cached_property
    def exact_bytes(self) -> bool:
        """See `Products.exact_bytes`."""
        return all(exact for _, exact in self._trials)

    @cached_property
    def _trials(self) -> list[tuple[str, bool]]:
        """Kernel and exactness of bytes without and with a sign; 0.1 s."""
        return [_try_bytes(low, high) for low, high in ((0, 255), (-LIMIT, LIMIT))]


@cache
def products() -> TriedProducts:
    """Return what this CPU is good at, tried once in a process."""
    return TriedProducts()


def _try_bytes(low: int, high: int) -> tuple[str, bool]:
    """Return the kernel for bytes in a range, and whether it adds up the largest of products.

    Two products of 255 and 127 do not fit into 16 bits. Where OpenVINO has no integer kernel the
    answer is no, too: nothing would be gained.
    """
    random = np.random.default_rng(0)
    channels, side = _TRIAL_CHANNELS, _TRIAL_SIDE
    values = random.choice(np.array([low, high], np.float32), (1, channels, side, side))
    values[..., : side // 2] = high
    weights = random.choice(np.array([-LIMIT, LIMIT], np.int8), (channels, channels, 3, 3))
    weights[: channels // 2] = LIMIT
    given = ops.parameter(list(values.shape), ov.Type.f32)
    scaled = scaled_weights(weights, np.ones((channels, 1, 1, 1), np.float32))
    bytes_ = as_bytes(given.output(0), (low, high))
    sums = ops.convolution(bytes_, scaled, [1, 1], [0, 0], [0, 0], [1, 1])
    graph = ov.Model([ops.result(sums)], [given], "trial")
    compiled = core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled([values])[0][0]
    windows = np.lib.stride_tricks.sliding_window_view(values[0], (3, 3), axis=(1, 2))
    wanted = np.einsum("ihwrc,oirc->ohw", windows, weights, dtype=np.float64, optimize=True)
    (kernel,) = _convolutions(compiled)
    info = kernel.get_rt_info()
    in_bytes = info["runtimePrecision"].astype(str) in _BYTES
    return info["primitiveType"].astype(str), in_bytes and bool(np.array_equal(found, wanted))


def count_products(compiled: ov.CompiledModel) -> Counter[str]:
    """Return how many products convolutions take, by the precision that they really run in."""
    counts: Counter[str] = Counter()
    for node in _convolutions(compiled):
        precision = node.get_rt_info()["runtimePrecision"].astype(str)
        sums = math.prod(node.output(0).get_shape())
        addends = math.prod(list(node.input(1).get_shape())[1:])
        counts["int8" if precision in _BYTES else precision] += sums * addends
    return counts


def _convolutions(compiled: ov.CompiledModel) -> list[ov.Node]:
    """Return those of the graph as it is executed."""
    nodes = compiled.get_runtime_model().get_ops()
    return [n for n in nodes if n.get_rt_info()["layerType"].astype(str) == "Convolution"]
