"""The smoothing of `engines.smooth.reference` as graphs for pictures of one size.

Five small ones, because the host decides between them: what to do with the past depends on copies
that only it looks at. Whole planes, the past among them, stay on the device from one to the next.
Planes are bytes as in `engines.backends.tensorrt.network`, the past is float32 codes, (1, 1, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engines.backends.tensorrt.network import cleaned_name, plane_names
from engines.backends.tensorrt.onnx_graph import (
    BYTE,
    FLOAT,
    Graph,
    codes_of,
    plane_shape,
    put_plane,
)
from engines.engine import PictureFormat
from engines.smooth.layout import block_grid, middle
from engines.smooth.trust import BLOCK

Step = Literal["look", "move", "compare", "blend", "relight"]

THUMBNAIL = "thumbnail"
ERROR = "error"
TONES = "tones"


Part = Literal["half", "means", "past", "moved", "matrix", "offset", "share", "gain"]
"""What there is of each plane besides itself, all of it float32:

- `half`: the plane at half its size, in 8-bit levels; `means`: those of its blocks, (rows, columns)
- `past`: the plane that came before; `moved`: the same, moved to where the picture is
- `matrix`: the plane's homography, (9,)
- `offset`: mean differences of blocks; `share`: the picture's share of each
- `gain`: of rows, (H, 1)
"""


def named(plane: str, part: Part) -> str:
    """Return what a part of a plane is called as an input or output."""
    return f"{plane}_{part}"


@dataclass(frozen=True)
class SmoothingGraphs:
    """Writes the graphs of one format.

    Args:
        picture_format: Of the pictures.
        shapes: (H, W) of each plane, padded: luma a multiple of 8.
    """

    picture_format: PictureFormat
    shapes: Sequence[tuple[int, int]]

    def write(self, step: Step) -> bytes:
        """Return the graph of a step as ONNX, all its sizes fixed."""
        steps: dict[Step, Callable[[Graph], None]] = {
            "look": self._look,
            "move": self._move,
            "compare": self._compare,
            "blend": self._blend,
            "relight": self._relight,
        }
        graph = Graph()
        steps[step](graph)
        return graph.model(f"demoire_{step}")

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return self.shapes[0][0] // BLOCK, self.shapes[0][1] // BLOCK

    def _planes(self) -> Iterator[tuple[int, str, tuple[int, int]]]:
        """Yield number, name and shape of each plane."""
        names = plane_names(self.picture_format)
        for index, (name, shape) in enumerate(zip(names, self.shapes, strict=True)):
            yield index, name, shape

    def _look(self, graph: Graph) -> None:
        """Halves, the thumbnail and block means of a picture."""
        for index, name, (height, width) in self._planes():
            half = self._halved(graph, self._codes(graph, name, (height, width)))
            size = height // 2, width // 2
            if index == 0:
                rounded = graph.add("Floor", graph.add("Add", half, graph.number(0.5)))
                # White of 10 bits is 255.75.
                bounded = graph.add("Clip", rounded, graph.number(0), graph.number(255))
                graph.add("Cast", bounded, output=THUMBNAIL, to=BYTE)
                graph.output(THUMBNAIL, BYTE, (1, 1, *size))
            self._put(graph, half, named(name, "half"), (1, 1, *size))
            self._put(
                graph, self._block_means(graph, half, size), named(name, "means"), self.blocks
            )

    def _move(self, graph: Graph) -> None:
        """The past, in whole codes as it was shown, where homographies take it."""
        for _, name, (height, width) in self._planes():
            past = graph.input(named(name, "past"), FLOAT, (1, 1, height, width))
            shown = graph.add("Floor", graph.add("Add", past, graph.number(0.5)))
            matrix = graph.input(named(name, "matrix"), FLOAT, (9,))
            moved = graph.add(
                "GridSample",
                shown,
                _grid(graph, matrix, height, width),
                mode="linear",
                padding_mode="border",
                align_corners=0,
            )
            self._put(graph, moved, named(name, "moved"), (1, 1, height, width))

    def _compare(self, graph: Graph) -> None:
        """How blocks of the picture differ from those of the past, in 8-bit levels."""
        tones = self._tones(graph)
        for index, name, (height, width) in self._planes():
            size = height // 2, width // 2
            half = graph.input(named(name, "half"), FLOAT, (1, 1, *size))
            past = graph.input(named(name, "moved"), FLOAT, (1, 1, height, width))
            toned = _toned(graph, self._halved(graph, past), tones[index])
            apart = graph.add("Sub", half, toned)
            if index == 0:
                error = self._block_means(graph, graph.add("Abs", apart), size)
                self._put(graph, error, ERROR, self.blocks)
            self._put(
                graph, self._block_means(graph, apart, size), named(name, "offset"), self.blocks
            )

    def _blend(self, graph: Graph) -> None:
        """`SmoothingStep` of a past that has been moved."""
        tones = self._tones(graph)
        peak = graph.number(self.picture_format.peak)
        for index, name, shape in self._planes():
            codes = self._codes(graph, name, shape)
            before = graph.input(named(name, "moved"), FLOAT, (1, 1, *shape))
            share = graph.input(named(name, "share"), FLOAT, self.blocks)
            grid = block_grid(self.picture_format, index, shape)
            each = _reshaped(graph, share, (grid[0], 1, grid[2], 1))
            moved = _toned(graph, before, tones[index])
            apart = _reshaped(graph, graph.add("Sub", codes, moved), grid)
            step = graph.add("Mul", each, apart)
            mixed = graph.add("Add", _reshaped(graph, moved, grid), step)
            mixed = graph.add("Clip", mixed, graph.number(0), peak)
            mixed = _reshaped(graph, mixed, (1, 1, *shape))
            self._put_plane(graph, mixed, name, shape)
            self._put(graph, mixed, named(name, "past"), (1, 1, *shape))

    def _relight(self, graph: Graph) -> None:
        """A picture with each row brighter or darker."""
        for index, name, shape in self._planes():
            codes = self._codes(graph, name, shape)
            gain = graph.input(named(name, "gain"), FLOAT, (shape[0], 1))
            zero = graph.number(middle(self.picture_format, index))
            lit = graph.add("Mul", graph.add("Sub", codes, zero), gain)
            peak = graph.number(self.picture_format.peak)
            bounded = graph.add("Clip", graph.add("Add", lit, zero), graph.number(0), peak)
            self._put_plane(graph, bounded, name, shape)

    def _codes(self, graph: Graph, name: str, shape: tuple[int, int]) -> str:
        plane = graph.input(name, BYTE, plane_shape(self.picture_format, (1, 1, *shape)))
        return codes_of(graph, self.picture_format, plane)

    def _put_plane(self, graph: Graph, exact: str, name: str, shape: tuple[int, int]) -> None:
        """Make codes an output, rounded from half up."""
        whole = graph.add("Floor", graph.add("Add", exact, graph.number(0.5)))
        put_plane(graph, self.picture_format, whole, name=cleaned_name(name), shape=(1, 1, *shape))

    def _put(self, graph: Graph, value: str, name: str, shape: Sequence[int]) -> None:
        graph.add("Identity", value, output=name)
        graph.output(name, FLOAT, shape)

    def _tones(self, graph: Graph) -> list[tuple[str, str]]:
        """Return gain and offset of each plane, from one input, float32 (P, 2)."""
        tones = graph.input(TONES, FLOAT, (len(self.shapes), 2))
        flat = _reshaped(graph, tones, (2 * len(self.shapes),))
        parts = graph.split(flat, axis=0, parts=2 * len(self.shapes))
        return list(zip(parts[::2], parts[1::2], strict=True))

    def _halved(self, graph: Graph, codes: str) -> str:
        half = graph.add("AveragePool", codes, kernel_shape=[2, 2], strides=[2, 2])
        return graph.add("Mul", half, graph.number(1 / (1 << (self.picture_format.bits - 8))))

    def _block_means(self, graph: Graph, half: str, size: tuple[int, int]) -> str:
        window = [side // count for side, count in zip(size, self.blocks, strict=True)]
        means = graph.add("AveragePool", half, kernel_shape=window, strides=window)
        return _reshaped(graph, means, self.blocks)


def _reshaped(graph: Graph, value: str, shape: Sequence[int]) -> str:
    return graph.add("Reshape", value, graph.constant(np.array(shape, np.int64)))


def _toned(graph: Graph, value: str, tone: tuple[str, str]) -> str:
    gain, offset = tone
    return graph.add("Add", graph.add("Mul", value, gain), offset)


def _grid(graph: Graph, matrix: str, height: int, width: int) -> str:
    """Return where `GridSample` shall take each pixel from, (1, H, W, 2); see `reference.warp`."""
    h = graph.split(matrix, axis=0, parts=9)
    x = graph.constant(np.arange(width, dtype=np.float32)[None, :])
    y = graph.constant(np.arange(height, dtype=np.float32)[:, None])

    def row(number: int) -> str:
        across = graph.add("Mul", h[3 * number], x)
        down = graph.add("Mul", h[3 * number + 1], y)
        return graph.add("Add", graph.add("Add", across, down), h[3 * number + 2])

    depth = row(2)
    ends = []
    for number, size in ((0, width), (1, height)):
        place = graph.add("Div", row(number), depth)
        # -1 and 1 are the outer edges of the first and the last sample.
        scaled = graph.add("Mul", place, graph.number(2 / size))
        ends.append(graph.add("Add", scaled, graph.number(1 / size - 1)))
    axis = graph.constant(np.array([0, 3]))
    return graph.add("Concat", *(graph.add("Unsqueeze", end, axis) for end in ends), axis=3)
