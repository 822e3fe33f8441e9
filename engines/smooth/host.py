"""The blender of planes in memory: OpenCV warps and measures, one fused OpenVINO graph blends.

OpenVINO compiles the blend of a plane (widen, subtract, weigh, add, round, narrow) into loops that
run from cache: 1.8 ms for the three planes of 1080p, where OpenCV's `blendLinear` takes 1.3 for
luma alone and knows no float32. The past is float32 because a share of a small difference rounds
to nothing in 8 bits: at a share of 0.1, a ghost of four levels would stay for ever.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.backends.openvino_quiet import ops, ov
from engines.backends.padding import empty_planes
from engines.engine import CHROMA_SHIFT, PictureFormat, Planes
from engines.smooth.drift import Tone
from engines.smooth.motion import Homography, Thumbnail, at_scale
from engines.smooth.trust import BLOCK, Blocks
from engines.smooth.warp import Real, warp_into

if TYPE_CHECKING:
    from openvino import Node

    from engines.smooth.smoother import Rows

_CONFIG: dict[str, Any] = {
    "PERFORMANCE_HINT": "LATENCY",
    # Pinned threads wait for whatever decoder or encoder thread shares their core.
    "ENABLE_CPU_PINNING": False,
    "INFERENCE_PRECISION_HINT": "f32",
    # By itself OpenVINO takes one for each physical core; memory is faster read by two.
    "INFERENCE_NUM_THREADS": min(4, os.cpu_count() or 1),
}
_Grid = tuple[int, int, int, int]


class HostBlender:
    """Implements `Blender` for planes in memory, contiguous.

    Args:
        picture_format: Of the pictures.
        shapes: (H, W) of each plane: padded, luma to a multiple of 8.
    """

    def __init__(self, picture_format: PictureFormat, shapes: Sequence[tuple[int, int]]) -> None:
        self._subsampling = [subsampling(picture_format, plane) for plane in range(len(shapes))]
        self._size = shapes[0][1] // BLOCK, shapes[0][0] // BLOCK
        self._level = 1 / (1 << (picture_format.bits - 8))  # 8-bit levels per code
        self._format = picture_format
        self._graph = _BlendGraph(picture_format, shapes)
        self._light: _LightGraph | None = None  # few clips have bands
        self._past: Sequence[Real] = [np.zeros(shape, np.float32) for shape in shapes]
        self._next: Sequence[Real] = [np.zeros(shape, np.float32) for shape in shapes]
        self._warped = [np.zeros(shape, np.float32) for shape in shapes]
        self._moved: Sequence[Real] = self._past
        # Of the present, and of the past as it lies: luma at half size, each plane's block means.
        self._half = self._past_half = np.zeros((1, 1), np.uint8)
        self._means: list[Blocks] = []
        self._past_means: list[Blocks] = []

    def look(self, picture: Planes) -> tuple[Thumbnail, list[Blocks]]:
        """See `Blender.look`."""
        halves = [self._halved(plane) for plane in picture]
        self._half, self._means = halves[0], [self._block_means(half) for half in halves]
        return self._half, self._means

    def relit(self, picture: Planes, gains: Rows) -> Planes:
        """See `Blender.relit`."""
        if self._light is None:
            self._light = _LightGraph(self._format, [plane.shape for plane in picture])
        return self._light.run(picture, gains)

    def compare(
        self, homography: Homography | None, tones: Sequence[Tone]
    ) -> tuple[Blocks, list[Blocks]]:
        """See `Blender.compare`; the past's luma is rounded to bytes for it."""
        half: NDArray[Any] = self._past_half
        if homography is not None:
            planes = zip(self._past, self._warped, self._subsampling, strict=True)
            for plane, target, scale in planes:
                warp_into(plane, at_scale(homography, *scale), target)
            self._moved = self._warped
            half = self._level * _shrunk(self._warped[0], factor=2)
            self._past_means = [
                self._block_means(half),
                *[self._level * self._block_means(plane) for plane in self._warped[1:]],
            ]
        self._past_means = [
            means * np.float32(tone.gain) + np.float32(tone.offset)
            for means, tone in zip(self._past_means, tones, strict=True)
        ]
        shown = cv2.convertScaleAbs(half, alpha=tones[0].gain, beta=tones[0].offset)
        error = self._block_means(np.asarray(cv2.absdiff(self._half, shown), np.uint8))
        offsets = [
            after - before for after, before in zip(self._means, self._past_means, strict=True)
        ]
        return error, offsets

    def blend(self, picture: Planes, shares: Sequence[Blocks], tones: Sequence[Tone]) -> Planes:
        """See `Blender.blend`; the result is new arrays."""
        result = self._graph.run(picture, self._moved, shares, tones, into=self._next)
        self._past, self._next = self._next, self._past
        self._moved = self._past
        self._past_half = self._halved(result[0])
        # Shares are the same all over a block, so its mean is blended as its samples are.
        self._past_means = [
            before + share * (after - before)
            for before, after, share in zip(
                self._past_means or self._means, self._means, shares, strict=True
            )
        ]
        return result

    def _halved(self, plane: NDArray[Any]) -> Thumbnail:
        """Return a plane at half its size in 8-bit levels, uint8."""
        half = _shrunk(plane, factor=2)
        if half.dtype != np.uint8:
            half = cv2.convertScaleAbs(half, alpha=self._level)
        return np.asarray(half, np.uint8)

    def _block_means(self, plane: NDArray[Any]) -> Blocks:
        """Return the mean of each block of a plane at whatever size."""
        # From float32: a mean of bytes is rounded to a byte.
        means = cv2.resize(
            plane.astype(np.float32, copy=False), self._size, interpolation=cv2.INTER_AREA
        )
        return np.asarray(means, np.float32)


def _shrunk(plane: NDArray[Any], *, factor: int) -> NDArray[Any]:
    """Return the means of cells of a plane, in its own type."""
    size = tuple(max(1, side // factor) for side in plane.shape[::-1])
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


class _BlendGraph:
    """The fused graph for planes of one format."""

    def __init__(self, picture_format: PictureFormat, shapes: Sequence[tuple[int, int]]) -> None:
        self._format = picture_format
        self._codes = 1 << (picture_format.bits - 8)  # per 8-bit level
        self._shapes = list(shapes)
        self._grids = [
            block_grid(picture_format, plane, shape) for plane, shape in enumerate(shapes)
        ]
        graph = _graph(self._grids, picture_format)
        self._request = ov.Core().compile_model(graph, "CPU", _CONFIG).create_infer_request()

    def run(
        self,
        picture: Planes,
        past: Sequence[Real],
        shares: Sequence[Blocks],
        tones: Sequence[Tone],
        *,
        into: Sequence[Real],
    ) -> Planes:
        """Return the blended planes, new arrays; the same unrounded is written to `into`."""
        result = empty_planes(self._format, self._shapes)
        inputs: list[NDArray[Any]] = []
        outputs: list[NDArray[Any]] = []
        for plane, grid in enumerate(self._grids):
            weights = np.ascontiguousarray(shares[plane]).reshape(grid[0], 1, grid[2], 1)
            tone = tones[plane]
            scalars = np.array([tone.gain, tone.offset * self._codes], np.float32)
            inputs += [picture[plane].reshape(grid), past[plane].reshape(grid), weights]
            inputs += [scalars[:1], scalars[1:]]
            outputs += [result[plane].reshape(grid), into[plane].reshape(grid)]
        # The arrays outlive the call: OpenVINO holds their addresses only.
        for index, values in enumerate(inputs):
            self._request.set_input_tensor(index, ov.Tensor(values, shared_memory=True))
        for index, values in enumerate(outputs):
            self._request.set_output_tensor(index, ov.Tensor(values, shared_memory=True))
        self._request.infer()
        return result


class _LightGraph:
    """Multiplies rows, fused as the blend is."""

    def __init__(self, picture_format: PictureFormat, shapes: Sequence[tuple[int, ...]]) -> None:
        self._format = picture_format
        self._shapes = [(rows, columns) for rows, columns in shapes]
        inputs, results = [], []
        for plane, shape in enumerate(self._shapes):
            codes = ops.parameter(list(shape), picture_format.dtype)
            gain = ops.parameter([shape[0], 1], np.float32)
            inputs += [codes, gain]
            zero = ops.constant(np.float32(middle(picture_format, plane)))
            lit = ops.add(ops.multiply(ops.subtract(ops.convert(codes, "f32"), zero), gain), zero)
            results.append(ops.result(_rounded(lit, picture_format)))
        model = ov.Model(results, inputs, "light")
        self._request = ov.Core().compile_model(model, "CPU", _CONFIG).create_infer_request()

    def run(self, picture: Planes, gains: Rows) -> Planes:
        """Return new planes."""
        result = empty_planes(self._format, self._shapes)
        columns = [row_gains(gains, rows)[:, None] for rows, _ in self._shapes]
        for plane, codes in enumerate(picture):
            self._request.set_input_tensor(2 * plane, ov.Tensor(codes, shared_memory=True))
            gain = ov.Tensor(columns[plane], shared_memory=True)
            self._request.set_input_tensor(2 * plane + 1, gain)
            tensor = ov.Tensor(result[plane], shared_memory=True)
            self._request.set_output_tensor(plane, tensor)
        self._request.infer()
        return result


def row_gains(gains: Rows, rows: int) -> Rows:
    """Return gains of rows at half size for all rows of a plane; the last one's for padding."""
    step = 1 if rows < 2 * len(gains) else 2
    spread = np.repeat(gains, step)[:rows]
    return np.pad(spread, (0, rows - len(spread)), mode="edge").astype(np.float32, copy=False)


def middle(picture_format: PictureFormat, plane: int) -> int:
    """Return the code of a plane that light does not change: no light, or no colour."""
    if plane == 0 or picture_format.layout == "gbr":
        return 0
    return 1 << (picture_format.bits - 1)


def _rounded(codes: Node, picture_format: PictureFormat) -> Node:
    """Return codes as the format's integers."""
    whole = ops.floor(ops.add(codes, ops.constant(np.float32(0.5))))
    within = ops.clamp(whole, 0.0, float(picture_format.peak))
    return ops.convert(within, "u8" if picture_format.dtype is np.uint8 else "u16")


def _graph(grids: Sequence[_Grid], picture_format: PictureFormat) -> ov.Model:
    """Return the blend of all planes, each seen as blocks: (rows, 8, columns, 8) for luma.

    Inputs are picture, past, share, gain and offset of each; outputs the result and the new past.
    """
    inputs, results = [], []
    for grid in grids:
        plane = ops.parameter(list(grid), picture_format.dtype)
        past = ops.parameter(list(grid), np.float32)
        share = ops.parameter([grid[0], 1, grid[2], 1], np.float32)
        gain, offset = ops.parameter([1], np.float32), ops.parameter([1], np.float32)
        inputs += [plane, past, share, gain, offset]
        before = ops.add(ops.multiply(past, gain), offset)
        apart = ops.subtract(ops.convert(plane, "f32"), before)
        blended = ops.add(before, ops.multiply(apart, share))
        bounded = ops.clamp(blended, 0.0, float(picture_format.peak))
        results += [ops.result(_rounded(bounded, picture_format)), ops.result(bounded)]
    return ov.Model(results, inputs, "smoothing")


def subsampling(picture_format: PictureFormat, plane: int) -> tuple[int, int]:
    """Return how many pixels a plane's sample stands for, across and down."""
    shift_x, shift_y = CHROMA_SHIFT[picture_format.layout] if plane else (0, 0)
    return 1 << shift_x, 1 << shift_y


def block_grid(picture_format: PictureFormat, plane: int, shape: tuple[int, int]) -> _Grid:
    """Return the shape of a plane seen as blocks: rows of blocks, their rows, and so across."""
    across, down = subsampling(picture_format, plane)
    rows, columns = BLOCK // down, BLOCK // across
    return shape[0] // rows, rows, shape[1] // columns, columns
