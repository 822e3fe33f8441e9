"""From a decoder's picture to the network's inputs, as a graph: planes apart, codes low, padded.

What `engines.backends.padding.pad_into` does to planes of the host is done by reading rows and
columns in an order that is known when the graph is written, so both give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.backends.padding import mirrored
from engines.backends.tensorrt.network import plane_names
from engines.backends.tensorrt.onnx_graph import BYTE, FLOAT, Graph, put_plane
from engines.engine import PictureFormat

LUMA = "luma"
CHROMA = "chroma"


@dataclass(frozen=True)
class SurfaceGraph:
    """Writes the graph of one size.

    Inputs are the bytes of `DevicePicture.luma` and `.chroma`, rows without anything between them:
    (H, W) and (ceil(H / 2), ceil(W / 2), 2) uint8, above 8 bits with a last axis of two more, the
    lower byte first. Outputs are the inputs of `ExportedNetwork.between`, for one picture.

    Args:
        picture_format: Of the picture, 4:2:0.
        shapes: (H, W) of each plane, padded.
    """

    picture_format: PictureFormat
    shapes: Sequence[tuple[int, int]]

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes of luma and chroma."""
        (height, width), (rows, columns), _ = self.picture_format.plane_shapes
        sample = np.dtype(self.picture_format.dtype).itemsize
        return height * width * sample, rows * columns * 2 * sample

    def write(self) -> bytes:
        """Return the graph as ONNX, all its sizes fixed."""
        graph = Graph()
        luma, chroma, _ = self.picture_format.plane_shapes
        y = self._codes(graph, LUMA, luma)
        pairs = self._codes(graph, CHROMA, (*chroma, 2))
        axis = graph.constant(np.array([2]))
        parts = graph.split(pairs, axis=2, parts=2)
        planes = [y, *(graph.add("Squeeze", part, axis) for part in parts)]
        names = plane_names(self.picture_format)
        for name, plane, padded in zip(names, planes, self.shapes, strict=True):
            self._put(graph, plane, name, padded)
        return graph.model("demoire_surface")

    def _codes(self, graph: Graph, name: str, shape: tuple[int, ...]) -> str:
        """Return float32 codes of an input of that shape."""
        bits = self.picture_format.bits
        if bits == 8:
            return graph.add("Cast", graph.input(name, BYTE, shape), to=FLOAT)
        stored = graph.add("Cast", graph.input(name, BYTE, [*shape, 2]), to=FLOAT)
        axis = len(shape)
        low, high = graph.split(stored, axis=axis, parts=2)
        whole = graph.add("Add", low, graph.add("Mul", high, graph.number(256)))
        # Decoders leave the lower bits at zero, and FFmpeg's own conversion drops them.
        codes = graph.add("Floor", graph.add("Mul", whole, graph.number(2.0 ** (bits - 16))))
        return graph.add("Squeeze", codes, graph.constant(np.array([axis])))

    def _put(self, graph: Graph, plane: str, name: str, padded: tuple[int, int]) -> None:
        shape = self.picture_format.plane_shapes[plane_names(self.picture_format).index(name)]
        for axis, (length, wanted) in enumerate(zip(shape, padded, strict=True)):
            if wanted > length:
                order = graph.constant(mirrored(length, wanted))
                plane = graph.add("Gather", plane, order, axis=axis)
        whole = graph.add("Reshape", plane, graph.constant(np.array([1, 1, *padded], np.int64)))
        put_plane(graph, self.picture_format, whole, name=name, shape=(1, 1, *padded))
