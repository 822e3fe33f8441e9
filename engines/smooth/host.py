"""The blender of planes in memory: OpenCV warps and measures, one fused OpenVINO graph blends.

OpenVINO compiles the blend of a plane (widen, subtract, weigh, add, round, narrow) into loops that
run from cache: 1.8 ms for the three planes of 1080p, where OpenCV's `blendLinear` takes 1.3 for
luma alone and knows no float32. The past is float32 because a share of a small difference rounds
to nothing in 8 bits: at a share of 0.1, a ghost of four levels would stay for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.backends.openvino_quiet import ops, ov
from engines.backends.padding import empty_planes
from engines.engine import CHROMA_SHIFT, PictureFormat, Planes
from engines.smooth.drift import Tone
from engines.smooth.motion import Homography, Thumbnail, at_scale
from engines.smooth.trust import BLOCK, Blocks

_Real = NDArray[np.float32]
_Grid = tuple[int, int, int, int]


class HostBlender:
    """Implements `Blender` for planes in memory, contiguous.

    The past is compared with the present at half size, in bytes: what is shown of it, moved.

    Args:
        picture_format: Of the pictures.
        shapes: (H, W) of each plane: padded, luma to a multiple of 8.
    """

    def __init__(self, picture_format: PictureFormat, shapes: Sequence[tuple[int, int]]) -> None:
        self._subsampling = [subsampling(picture_format, plane) for plane in range(len(shapes))]
        self._size = shapes[0][1] // BLOCK, shapes[0][0] // BLOCK
        self._level = 1 / (1 << (picture_format.bits - 8))  # 8-bit levels per code
        self._graph = _BlendGraph(picture_format, shapes)
        self._past: Sequence[_Real] = [np.zeros(shape, np.float32) for shape in shapes]
        self._next: Sequence[_Real] = [np.zeros(shape, np.float32) for shape in shapes]
        self._warped = [np.zeros(shape, np.float32) for shape in shapes]
        self._moved: Sequence[_Real] = self._past
        self._halves: list[Thumbnail] = []
        self._past_halves: list[Thumbnail] = []
        self._means: list[Blocks] = []

    def look(self, picture: Planes) -> tuple[Thumbnail, list[Blocks]]:
        """See `Blender.look`."""
        self._halves = [self._half(plane) for plane in picture]
        self._means = [self._block_means(half) for half in self._halves]
        return self._halves[0], self._means

    def compare(
        self, homography: Homography | None, tones: Sequence[Tone]
    ) -> tuple[Blocks, list[Blocks]]:
        """See `Blender.compare`."""
        halves = self._past_halves
        if homography is not None:
            self._moved = self._warp(self._past, homography, scale=1, into=self._warped)
            halves = self._warp(halves, homography, scale=2)
        halves = [
            np.asarray(cv2.convertScaleAbs(half, alpha=tone.gain, beta=tone.offset), np.uint8)
            for half, tone in zip(halves, tones, strict=True)
        ]
        error = self._block_means(np.asarray(cv2.absdiff(self._halves[0], halves[0]), np.uint8))
        offsets = [
            means - self._block_means(half) for means, half in zip(self._means, halves, strict=True)
        ]
        return error, offsets

    def blend(self, picture: Planes, shares: Sequence[Blocks], tones: Sequence[Tone]) -> Planes:
        """See `Blender.blend`; the result is new arrays, which are read once more before the next.

        So they must not be written to until then.
        """
        result = self._graph.run(picture, self._moved, shares, tones, into=self._next)
        self._past, self._next = self._next, self._past
        self._moved = self._past
        self._past_halves = [self._half(plane) for plane in result]
        return result

    def _half(self, plane: NDArray[Any]) -> Thumbnail:
        """Return a plane at half its size in 8-bit levels, uint8."""
        size = (max(1, plane.shape[1] // 2), max(1, plane.shape[0] // 2))
        half = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
        if half.dtype != np.uint8:
            half = cv2.convertScaleAbs(half, alpha=self._level)
        return np.asarray(half, np.uint8)

    def _block_means(self, half: NDArray[np.uint8]) -> Blocks:
        """Return the mean of each block of a plane at half its size."""
        # From float32: a mean of bytes is rounded to a byte.
        means = cv2.resize(half.astype(np.float32), self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(means, np.float32)

    def _warp(
        self,
        planes: Sequence[NDArray[Any]],
        homography: Homography,
        *,
        scale: int,
        into: Sequence[NDArray[Any]] | None = None,
    ) -> list[NDArray[Any]]:
        """Return planes at 1 / `scale` of their size, moved to where the picture is now."""
        return [
            cv2.warpPerspective(
                plane,
                at_scale(homography, scale * across, scale * down),
                plane.shape[::-1],
                dst=None if into is None else into[index],
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for index, (plane, (across, down)) in enumerate(
                zip(planes, self._subsampling, strict=True)
            )
        ]


class _BlendGraph:
    """The fused graph for planes of one format."""

    def __init__(self, picture_format: PictureFormat, shapes: Sequence[tuple[int, int]]) -> None:
        self._format = picture_format
        self._codes = 1 << (picture_format.bits - 8)  # per 8-bit level
        self._shapes = list(shapes)
        self._grids = [
            block_grid(picture_format, plane, shape) for plane, shape in enumerate(shapes)
        ]
        graph = _graph(self._grids, picture_format.dtype, picture_format.peak)
        # Pinned threads wait for whatever decoder or encoder thread shares their core.
        config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._request = ov.Core().compile_model(graph, "CPU", config).create_infer_request()

    def run(
        self,
        picture: Planes,
        past: Sequence[_Real],
        shares: Sequence[Blocks],
        tones: Sequence[Tone],
        *,
        into: Sequence[_Real],
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


def _graph(grids: Sequence[_Grid], dtype: type[np.uint8] | type[np.uint16], peak: int) -> ov.Model:
    """Return the blend of all planes, each seen as blocks: (rows, 8, columns, 8) for luma.

    Inputs are picture, past, share, gain and offset of each; outputs the result and the new past.
    """
    inputs, results = [], []
    half = ops.constant(np.float32(0.5))
    for grid in grids:
        plane, past = ops.parameter(list(grid), dtype), ops.parameter(list(grid), np.float32)
        share = ops.parameter([grid[0], 1, grid[2], 1], np.float32)
        gain, offset = ops.parameter([1], np.float32), ops.parameter([1], np.float32)
        inputs += [plane, past, share, gain, offset]
        before = ops.add(ops.multiply(past, gain), offset)
        apart = ops.subtract(ops.convert(plane, "f32"), before)
        blended = ops.clamp(ops.add(before, ops.multiply(apart, share)), 0.0, float(peak))
        narrow = ops.convert(
            ops.floor(ops.add(blended, half)), "u8" if dtype is np.uint8 else "u16"
        )
        results += [ops.result(narrow), ops.result(blended)]
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
