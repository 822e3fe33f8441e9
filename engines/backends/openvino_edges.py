"""How planes get into and out of a graph's tensors: as they are, or as blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engines.backends.blocks import LAYOUTS, BlockOrder
from engines.backends.openvino_blocks import on_blocks
from engines.backends.openvino_graph import build_graph
from engines.backends.openvino_quiet import ov
from engines.backends.padding import pad_into
from engines.engine import PictureFormat, Planes

Tensor = NDArray[np.uint8] | NDArray[np.uint16]


class Edges(Protocol):
    """Of graphs for one format and padded size."""

    def build(self, exported: ov.Model, batch: int, *, int8: bool) -> ov.Model:
        """Return a graph for `batch` pictures, leaving `exported` as it is.

        Inputs are as `write` fills them, then the strength, float32 (1,); outputs as `read` takes
        them.

        Args:
            exported: The file.
            batch: Pictures.
            int8: Whether bytes may be multiplied by int8 weights; less exact, and only right where
                the CPU has instructions for it.

        Raises:
            EngineError: The file is not built as ours are.
        """
        ...

    def write(self, picture: Planes, tensors: Sequence[Tensor], index: int) -> None:
        """Copy a picture to its place in the inputs, mirrored beyond its edges."""
        ...

    def read(self, tensors: Sequence[Tensor], index: int) -> Planes:
        """Return a picture's padded planes of the outputs, which must not change any more."""
        ...


def edges_of(picture_format: PictureFormat, shapes: Sequence[tuple[int, int]]) -> Edges:
    """Return the edges of a format whose planes are padded to `shapes`, (H, W) each."""
    if picture_format.layout in LAYOUTS:
        return BlockEdges(picture_format, shapes)
    return PlaneEdges(picture_format, shapes)


class BlockEdges:
    """Planes are put together as blocks: one tensor, (N, rows, columns, samples)."""

    def __init__(self, picture_format: PictureFormat, shapes: Sequence[tuple[int, int]]) -> None:
        self._format = picture_format
        self._order = BlockOrder(picture_format, shapes)

    def build(self, exported: ov.Model, batch: int, *, int8: bool) -> ov.Model:
        """See `Edges.build`."""
        int8 = int8 and self._format.bits == 8
        shape = (batch, *self._order.shape)
        return on_blocks(exported.clone(), self._format, shape, int8=int8)

    def write(self, picture: Planes, tensors: Sequence[Tensor], index: int) -> None:
        """See `Edges.write`."""
        self._order.pack(picture, tensors[0][index])

    def read(self, tensors: Sequence[Tensor], index: int) -> Planes:
        """See `Edges.read`."""
        return self._order.unpack(tensors[0][index])


class PlaneEdges:
    """A tensor for each plane, (N, 1, H, W)."""

    def __init__(self, picture_format: PictureFormat, shapes: Sequence[tuple[int, int]]) -> None:
        self._format, self._shapes = picture_format, tuple(shapes)

    def build(self, exported: ov.Model, batch: int, *, int8: bool) -> ov.Model:
        """See `Edges.build`; nothing is int8."""
        shapes = tuple((batch, 1, *shape) for shape in self._shapes)
        return build_graph(exported, self._format, shapes)

    def write(self, picture: Planes, tensors: Sequence[Tensor], index: int) -> None:
        """See `Edges.write`."""
        for plane, tensor in zip(picture, tensors, strict=True):
            pad_into(plane, tensor[index, 0])

    def read(self, tensors: Sequence[Tensor], index: int) -> Planes:
        """See `Edges.read`."""
        return tuple(tensor[index, 0] for tensor in tensors)
