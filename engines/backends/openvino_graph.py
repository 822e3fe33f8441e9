"""Graphs from planes to planes, made from the one 8-bit 4:2:0 file without torch.

For layouts whose chroma is scaled, or that are not YUV: `openvino_blocks` has the rest. The file is
cut where the network begins and ends, and the edges of `engines.models.planes` are built around it
from OpenVINO operations. `tests/engines` holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engines.backends.openvino_planes import blocks_as_channels
from engines.backends.openvino_quiet import ops, ov
from engines.engine import EngineError, Layout, PictureFormat
from engines.view import (
    BLUE_SCALE,
    GREEN_OF_U,
    GREEN_OF_V,
    LUMA,
    RED_SCALE,
    RESIDUALS,
    VIEW,
    chroma_window,
)

if TYPE_CHECKING:
    from openvino import Node, Output


def build_graph(
    exported: ov.Model, picture_format: PictureFormat, shapes: tuple[tuple[int, ...], ...]
) -> ov.Model:
    """Return a model of static shapes from planes to planes, leaving `exported` as it is.

    Inputs are the format's planes in the padded `shapes`, (N, 1, H, W), then the strength,
    float32 (1,); outputs are the cleaned planes in the same order.

    Raises:
        EngineError: The file has not the named values where it must be cut.
    """
    model = exported.clone()
    sample = ov.Type.u8 if picture_format.bits == 8 else ov.Type.u16
    planes = [ops.parameter(list(shape), sample) for shape in shapes]
    strength = ops.parameter([1], ov.Type.f32, name="strength")
    codes = [ops.convert(plane, "f32") for plane in planes]
    units = [ops.multiply(code, _number(1 / picture_format.peak)) for code in codes]
    view = _view(units, picture_format.layout)
    named = named_values(model, (*VIEW, *RESIDUALS))
    for name, node in zip(VIEW, view, strict=True):
        for consumer in named[name].get_target_inputs():
            consumer.replace_source_output(node.output(0))
    residuals = _spread([named[name] for name in RESIDUALS], picture_format.layout)
    gain = ops.multiply(strength, _number(picture_format.peak))
    cleaned = []
    for code, residual in zip(codes, residuals, strict=True):
        exact = ops.subtract(code, ops.multiply(residual, gain))
        whole = ops.clamp(ops.round(exact, "half_to_even"), 0.0, float(picture_format.peak))
        cleaned.append(ops.result(ops.convert(whole, sample.get_type_name())))
    graph = ov.Model(cleaned, [*planes, strength], "demoire")
    blocks_as_channels(graph)
    return graph


def _number(value: float) -> Node:
    return ops.constant(np.float32(value))


def named_values(model: ov.Model, names: Sequence[str]) -> dict[str, Output]:
    """Return the values at which the file is cut.

    Raises:
        EngineError: It lacks some.
    """
    found = {
        name: output
        for operation in model.get_ops()
        for output in operation.outputs()
        for name in output.get_names()
        if name in names
    }
    if missing := set(names) - set(found):
        raise EngineError(
            f"the ONNX file has no value named {', '.join(sorted(missing))}; write it again with"
            " `demoire export`"
        )
    return found


def _average(plane: Node, window: tuple[int, int]) -> Node:
    return ops.avg_pool(plane, list(window), [0, 0], [0, 0], list(window), exclude_pad=True)


def _view(units: list[Node], layout: Layout) -> list[Node]:
    """`IntegerPlanes.view`: what the network looks at."""
    if layout == "gbr":
        green, blue, red = units
        terms = [ops.multiply(c, _number(k)) for c, k in zip((red, green, blue), LUMA, strict=True)]
        y = ops.add(ops.add(terms[0], terms[1]), terms[2])
        chroma = []
        for colour, scale in ((blue, BLUE_SCALE), (red, RED_SCALE)):
            half = _average(ops.subtract(colour, y), (2, 2))
            chroma.append(ops.add(ops.multiply(half, _number(1 / scale)), _number(0.5)))
        return [y, *chroma]
    window = chroma_window(layout)
    return [units[0], _average(units[1], window), _average(units[2], window)]


def _spread(residuals: list[Output], layout: Layout) -> list[Node]:
    """`IntegerPlanes.spread`: the residual of each plane at its own size."""
    y, u, v = residuals
    window = chroma_window(layout)
    u, v = (_enlarge(chroma, window) for chroma in (u, v))
    if layout != "gbr":
        return [y, u, v]
    of_u, of_v = ops.multiply(u, _number(GREEN_OF_U)), ops.multiply(v, _number(GREEN_OF_V))
    green = ops.add(ops.add(y, of_u), of_v)
    blue = ops.add(y, ops.multiply(u, _number(BLUE_SCALE)))
    red = ops.add(y, ops.multiply(v, _number(RED_SCALE)))
    return [green, blue, red]


def _enlarge(chroma: Output, factor: tuple[int, int]) -> Node:
    """Scale up bilinearly, half-pixel centres: 4 ms a plane where Interpolate takes 15 to 26.

    Doubling bilinearly is a transposed convolution with (1, 3, 3, 1) / 4 over repeated edges.
    """
    taps = {1: np.ones(1, np.float32), 2: np.array([0.25, 0.75, 0.75, 0.25], np.float32)}
    edge = ops.constant(np.array([0, 0, factor[0] - 1, factor[1] - 1], np.int64))
    kernel = ops.constant(np.outer(taps[factor[0]], taps[factor[1]])[None, None])
    crop = [3 * (f - 1) for f in factor]
    padded = ops.pad(chroma, edge, edge, "edge")
    return ops.convolution_backprop_data(
        padded, kernel, list(factor), pads_begin=crop, pads_end=crop, dilations=[1, 1]
    )
