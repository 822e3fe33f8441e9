"""ONNX graphs written one operator at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError

try:
    import onnx as onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise EngineError(
        f"the tensorrt back end cannot import onnx ({error}): pip install 'demoire[trt-rtx]' for a"
        " GeForce RTX, 'demoire[tensorrt]' for other NVIDIA GPUs"
    ) from error

if TYPE_CHECKING:
    from onnx import NodeProto

    from engines.engine import PictureFormat

OPSET = 20
"""TensorRT 10 and later parse it, and so does OpenVINO; the exported networks have the same."""

BYTE = TensorProto.UINT8
FLOAT = TensorProto.FLOAT

Shape = Sequence[int | str]
"""Sizes, or names of those that are free."""


class Graph:
    """A graph that grows; values are their names, and are made before they are used."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._numbers: dict[bytes, str] = {}
        self._count = 0

    def input(self, name: str, kind: int, shape: Shape) -> str:
        """Add an input of the element type `kind` and return it."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, kind: int, shape: Shape) -> None:
        """Make the value of this name an output.

        TensorRT knows bytes at a graph's ends only: a cast to them must be the last operator.
        """
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def add(
        self, operator: str, *values: str, output: str | None = None, **attributes: object
    ) -> str:
        """Add an operator with one output, called so or otherwise, and return that."""
        name = output or self._name()
        self._append(operator, values, [name], attributes)
        return name

    def split(self, value: str, *, axis: int, parts: int) -> list[str]:
        """Return so many equal parts of a value along an axis."""
        names = [self._name() for _ in range(parts)]
        self._append("Split", (value,), names, {"axis": axis, "num_outputs": parts})
        return names

    def include(self, nodes: Sequence[NodeProto], constants: Sequence[TensorProto]) -> None:
        """Add part of another graph, whose names are its own."""
        self._nodes.extend(nodes)
        self._constants.extend(constants)

    def constant(self, values: NDArray[np.generic]) -> str:
        """Return a constant; the same one is kept once."""
        key = values.dtype.str.encode() + str(values.shape).encode() + values.tobytes()
        if key not in self._numbers:
            self._numbers[key] = self._name()
            self._constants.append(numpy_helper.from_array(values, self._numbers[key]))
        return self._numbers[key]

    def number(self, value: float) -> str:
        """Return a float32 constant without dimensions."""
        return self.constant(np.array(value, np.float32))

    def model(self, name: str) -> bytes:
        """Return the whole, checked; the same graph gives the same bytes."""
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, initializer=self._constants
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))

    def _append(
        self,
        operator: str,
        values: Sequence[str],
        names: Sequence[str],
        attributes: Mapping[str, Any],
    ) -> None:
        self._nodes.append(helper.make_node(operator, values, names, **attributes))

    def _name(self) -> str:
        self._count += 1
        return f"demoire_{self._count}"


def plane_shape(picture_format: PictureFormat, shape: Shape) -> list[int | str]:
    """Return the shape of a plane's tensor of bytes; TensorRT has no uint16.

    Args:
        picture_format: More than 8 bits take two bytes each, the lower first.
        shape: Without those: (N, 1, H, W).
    """
    return [*shape] if picture_format.bits == 8 else [*shape, 2]


def codes_of(graph: Graph, picture_format: PictureFormat, plane: str) -> str:
    """Return float32 codes, (N, 1, H, W), of a plane's bytes."""
    if picture_format.bits == 8:
        return graph.add("Cast", plane, to=FLOAT)
    low, high = graph.split(graph.add("Cast", plane, to=FLOAT), axis=4, parts=2)
    codes = graph.add("Add", low, graph.add("Mul", high, graph.number(256)))
    return graph.add("Squeeze", codes, graph.constant(np.array([4])))


def put_plane(
    graph: Graph, picture_format: PictureFormat, codes: str, *, name: str, shape: Shape
) -> None:
    """Make a plane's bytes an output.

    Args:
        graph: Where.
        picture_format: The plane's.
        codes: Whole float32 codes within the format's range, (N, 1, H, W).
        name: Of the output.
        shape: That of `codes`.
    """
    if picture_format.bits > 8:
        high = graph.add("Floor", graph.add("Mul", codes, graph.number(1 / 256)))
        low = graph.add("Sub", codes, graph.add("Mul", high, graph.number(256)))
        axis = graph.constant(np.array([4]))
        codes = graph.add(
            "Concat", *(graph.add("Unsqueeze", part, axis) for part in (low, high)), axis=4
        )
    graph.add("Cast", codes, output=name, to=BYTE)
    graph.output(name, BYTE, plane_shape(picture_format, shape))
