"""The exported network between planes of any layout and depth, in the precision it shall run in.

TensorRT takes precision from the graph's own types and from nothing else, so the network is cut out
of the file where `engines.view` names its ends, its weights are rounded, and the edges of
`engines.models.planes` are written around it in float32. No torch: `tests/engines` holds the two
against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from engines.backends.tensorrt.onnx_graph import (
    BYTE,
    FLOAT,
    Graph,
    Shape,
    codes_of,
    onnx,
    plane_shape,
    put_plane,
)
from engines.engine import CHROMA_SHIFT, Layout, PictureFormat
from engines.errors import EngineError
from engines.view import (
    BLUE_SCALE,
    GREEN_OF_U,
    GREEN_OF_V,
    LUMA,
    MULTIPLE_KEY,
    RED_SCALE,
    RESIDUALS,
    VIEW,
    chroma_window,
)

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

Precision = Literal["f16", "f32"]

KINDS: Mapping[Precision, int] = {
    "f16": onnx.TensorProto.FLOAT16,
    "f32": onnx.TensorProto.FLOAT,
}
"""Element types of ONNX."""

STRENGTH = "strength"

# Inputs that are float32 whatever the precision: how much to enlarge by.
_KEPT = {"Resize": (2,)}


class ExportedNetwork:
    """A file of `demoire export`.

    Args:
        path: The file.

    Raises:
        EngineError: It cannot be read, or is not one of ours.
    """

    multiple: int
    """Luma height and width must be multiples of it."""

    def __init__(self, path: Path) -> None:
        try:
            self._model: ModelProto = onnx.load_model_from_string(path.read_bytes())
        except OSError as error:
            raise EngineError(f"{path}: cannot be read: {error.strerror}") from error
        except Exception as error:  # protobuf's own class differs from version to version
            raise EngineError(f"{path}: is not an ONNX file: {error}") from error
        properties = {entry.key: entry.value for entry in self._model.metadata_props}
        made = {name for node in self._model.graph.node for name in node.output}
        if MULTIPLE_KEY not in properties or not made >= {*VIEW, *RESIDUALS}:
            raise EngineError(f"{path}: not written by this version of `demoire export`")
        self.multiple = int(properties[MULTIPLE_KEY])

    def between(self, picture_format: PictureFormat, precision: Precision) -> bytes:
        """Return the network between planes as ONNX, any number of pictures of any size.

        Inputs are the planes, see `plane_names`, (N, 1, H, W) uint8 or, above 8 bits,
        (N, 1, H, W, 2), and `strength`, float32 (1,); outputs are the cleaned planes.

        Args:
            picture_format: Its layout and depth count, not its size.
            precision: Of everything between the view and the residuals.
        """
        graph = Graph()
        names = plane_names(picture_format)
        shapes = plane_sizes(picture_format)
        planes = [
            graph.input(name, BYTE, plane_shape(picture_format, shape))
            for name, shape in zip(names, shapes, strict=True)
        ]
        strength = graph.input(STRENGTH, FLOAT, [1])
        codes = [codes_of(graph, picture_format, plane) for plane in planes]
        scale = graph.number(1 / picture_format.peak)
        units = [graph.add("Mul", code, scale) for code in codes]
        for value, name in zip(_view(graph, units, picture_format.layout), VIEW, strict=True):
            graph.add("Cast", value, output=_inside(name), to=KINDS[precision])
        graph.include(*self._network(precision))
        residuals = [graph.add("Cast", _inside(name), to=FLOAT) for name in RESIDUALS]
        spread = _spread(graph, residuals, picture_format.layout)
        gain = graph.add("Mul", strength, graph.number(picture_format.peak))
        ends = zip(names, shapes, codes, spread, strict=True)
        for name, shape, code, residual in ends:
            cleaned = _subtracted(graph, code, residual, gain, peak=picture_format.peak)
            put_plane(graph, picture_format, cleaned, name=cleaned_name(name), shape=shape)
        return graph.model("demoire")

    def _network(self, precision: Precision) -> tuple[list[NodeProto], list[TensorProto]]:
        """Return what lies between view and residuals, its ends renamed, its weights rounded."""
        inner = _between(self._model.graph.node, begin=VIEW, end=RESIDUALS)
        constants = {tensor.name: tensor for tensor in self._model.graph.initializer}
        # Weights that half precision holds are stored in it and widened where they are used.
        stored = {node.output[0]: node.input[0] for node in inner if node.op_type == "Cast"}
        nodes, used = [], {}
        for node in inner:
            if node.op_type == "Cast":
                continue
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            kept = _KEPT.get(node.op_type, ())
            for index, name in enumerate(node.input):
                weight = constants.get(stored.get(name, name))
                if weight is None:
                    copy.input[index] = _inside(name) if name else ""
                elif index in kept:
                    used[name] = weight
                else:
                    copy.input[index] = _inside(name)
                    used[_inside(name)] = _rounded(weight, _inside(name), precision)
            for index, name in enumerate(node.output):
                copy.output[index] = _inside(name)
            nodes.append(copy)
        return nodes, list(used.values())


def plane_names(picture_format: PictureFormat) -> tuple[str, ...]:
    """Return what the planes are called as inputs, in the format's order."""
    if picture_format.layout == "gray":
        return ("y",)
    return ("g", "b", "r") if picture_format.layout == "gbr" else ("y", "u", "v")


def cleaned_name(plane: str) -> str:
    """Return what a plane is called as an output."""
    return f"{plane}_out"


def plane_sizes(picture_format: PictureFormat) -> list[Shape]:
    """Return (N, 1, H, W) of each plane with names for sizes that are free."""
    luma: Shape = ("n", 1, "h", "w")
    if picture_format.layout == "gray":
        return [luma]
    shift_x, shift_y = CHROMA_SHIFT[picture_format.layout]
    chroma: Shape = ("n", 1, "h/2" if shift_y else "h", "w/2" if shift_x else "w")
    return [luma, chroma, chroma]


def _inside(name: str) -> str:
    """Return the name of a value of the network; the edges' own must not meet it."""
    return f"net/{name}"


def _between(
    nodes: Sequence[NodeProto], *, begin: Sequence[str], end: Sequence[str]
) -> list[NodeProto]:
    """Return the nodes that make `end` of `begin`, in their order."""
    makers = {name: node for node in nodes for name in node.output}
    needed, pending = set(), list(end)
    while pending:
        name = pending.pop()
        if name in begin or name not in makers or name in needed:
            continue
        needed.add(name)
        pending.extend(makers[name].input)
    return [node for node in nodes if needed.intersection(node.output)]


def _rounded(weight: TensorProto, name: str, precision: Precision) -> TensorProto:
    """Return a weight under another name, in `precision` where it is a real number."""
    values = onnx.numpy_helper.to_array(weight)
    if values.dtype not in (np.float32, np.float16):
        return onnx.numpy_helper.from_array(values, name)
    kind = np.float16 if precision == "f16" else np.float32
    return onnx.numpy_helper.from_array(values.astype(kind), name)


def _view(graph: Graph, units: list[str], layout: Layout) -> list[str]:
    """`IntegerPlanes.view`: what the network looks at."""
    if layout == "gray":
        # Grey of the right size, whatever that is.
        nothing = graph.add("Mul", _average(graph, units[0], (2, 2)), graph.number(0))
        grey = graph.add("Add", nothing, graph.number(0.5))
        return [units[0], grey, grey]
    if layout == "gbr":
        green, blue, red = units
        parts = [
            graph.add("Mul", colour, graph.number(share))
            for colour, share in zip((red, green, blue), LUMA, strict=True)
        ]
        y = graph.add("Add", graph.add("Add", parts[0], parts[1]), parts[2])
        chroma = []
        for colour, scale in ((blue, BLUE_SCALE), (red, RED_SCALE)):
            half = _average(graph, graph.add("Sub", colour, y), (2, 2))
            scaled = graph.add("Mul", half, graph.number(1 / scale))
            chroma.append(graph.add("Add", scaled, graph.number(0.5)))
        return [y, *chroma]
    window = chroma_window(layout)
    if window == (1, 1):
        return units
    return [units[0], *(_average(graph, plane, window) for plane in units[1:])]


def _average(graph: Graph, plane: str, window: tuple[int, int]) -> str:
    return graph.add("AveragePool", plane, kernel_shape=list(window), strides=list(window))


def _spread(graph: Graph, residuals: list[str], layout: Layout) -> list[str]:
    """`IntegerPlanes.spread`: the residual of each plane at its own size."""
    y, u, v = residuals
    if layout == "gray":
        return [y]
    window = chroma_window(layout)
    if window != (1, 1):
        scales = graph.constant(np.array([1, 1, *window], np.float32))
        u, v = (
            graph.add(
                "Resize",
                chroma,
                "",
                scales,
                mode="linear",
                coordinate_transformation_mode="half_pixel",
            )
            for chroma in (u, v)
        )
    if layout != "gbr":
        return [y, u, v]
    of_u = graph.add("Mul", u, graph.number(GREEN_OF_U))
    of_v = graph.add("Mul", v, graph.number(GREEN_OF_V))
    green = graph.add("Add", graph.add("Add", y, of_u), of_v)
    blue = graph.add("Add", y, graph.add("Mul", u, graph.number(BLUE_SCALE)))
    red = graph.add("Add", y, graph.add("Mul", v, graph.number(RED_SCALE)))
    return [green, blue, red]


def _subtracted(graph: Graph, code: str, residual: str, gain: str, *, peak: int) -> str:
    """`IntegerPlanes.subtract` of one plane: whole codes, still float32."""
    exact = graph.add("Sub", code, graph.add("Mul", residual, gain))
    rounded = graph.add("Round", exact)  # half to even
    return graph.add("Clip", rounded, graph.number(0), graph.number(peak))
