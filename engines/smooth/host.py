"""The blender of planes in memory: OpenCV moves and measures, fused OpenVINO graphs blend.

OpenVINO compiles the blend of a plane (widen, subtract, weigh, add, round, narrow) into one loop: a
millisecond for the three planes of 1080p on one core, where OpenCV's `blendLinear` takes 1.3 for
luma alone. A loop has one result: asked for two, OpenVINO makes two, and keeps what lies between
them in float32; what rounding takes is therefore worked out by a graph of its own, from the start.

The past is what was shown, as bytes, and the 256ths that rounding took: without them a share of a
small difference rounds to nothing, and at a share of 0.1 a ghost of four levels stays for ever.
Where the past is moved they are dropped: between samples there is no telling them, and differences
of one level that stay calm what is left of the fringes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.backends.openvino_quiet import core, ops, ov
from engines.backends.padding import empty_planes
from engines.engine import PictureFormat, Planes
from engines.smooth.drift import Tone
from engines.smooth.layout import block_grid, middle, row_gains, subsampling
from engines.smooth.motion import Homography, Thumbnail, at_scale
from engines.smooth.trust import BLOCK, Blocks
from engines.smooth.warp import warp_into

if TYPE_CHECKING:
    from openvino import Node

    from engines.smooth.smoother import Rows

_CONFIG: dict[str, Any] = {
    "PERFORMANCE_HINT": "LATENCY",
    # Pinned threads wait for whatever decoder or encoder thread shares their core.
    "ENABLE_CPU_PINNING": False,
    "INFERENCE_PRECISION_HINT": "f32",
    # A second one doubles the CPU time and takes a tenth off the wait, which is for memory.
    "INFERENCE_NUM_THREADS": 1,
}
_PARTS = 256
_MIDDLE = 128
"""256ths of a code that was not rounded."""
_NUDGE = 0.12
"""Of a code, towards the present, where nothing finer than codes is kept: at a share of a quarter,
two codes then make a step of one either way, and a single one none."""
_BlockRows = tuple[int, int, int]
_Result = Literal["codes", "rest"]


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
        self._still = _BlendGraph(picture_format, shapes, exact=True)
        self._moving = _BlendGraph(picture_format, shapes, exact=False)
        self._light: _LightGraph | None = None  # few clips have bands
        self._past: Planes = empty_planes(picture_format, shapes)
        self._rest = [np.full(shape, _MIDDLE, np.uint8) for shape in shapes]
        self._warped = empty_planes(picture_format, shapes)
        self._in_place = False
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
        """See `Blender.compare`."""
        self._in_place = homography is None
        half = self._past_half
        if homography is not None:
            planes = zip(self._past, self._warped, self._subsampling, strict=True)
            for plane, target, scale in planes:
                warp_into(plane, at_scale(homography, *scale), target)
            halves = [self._halved(plane) for plane in self._warped]
            half, self._past_means = halves[0], [self._block_means(h) for h in halves]
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
        """See `Blender.blend`; the result is new arrays, which the next picture is blended with."""
        if self._in_place:
            result, self._rest = self._still.run(
                picture, self._past, shares, tones, rest=self._rest
            )
        else:
            result, _ = self._moving.run(picture, self._warped, shares, tones)
            for rest in self._rest:
                rest.fill(_MIDDLE)
        self._past = result
        self._in_place = False
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

    def _block_means(self, half: Thumbnail) -> Blocks:
        """Return the mean of each block of a plane at half its size, float32."""
        # In 256ths: a mean of bytes is rounded to a byte. OpenCV is quick where it halves, and with
        # 16 bits twice as quick as with float32.
        fine: NDArray[np.uint16] = np.multiply(half, _PARTS, dtype=np.uint16)
        while fine.shape[0] > 2 * self._size[1] and fine.shape[1] > 2 * self._size[0]:
            fine = _shrunk(fine, factor=2)
        means = cv2.resize(fine, self._size, interpolation=cv2.INTER_AREA)
        return np.multiply(means, np.float32(1 / _PARTS), dtype=np.float32)


def _shrunk(plane: NDArray[Any], *, factor: int) -> NDArray[Any]:
    """Return the means of cells of a plane, in its own type."""
    size = tuple(max(1, side // factor) for side in plane.shape[::-1])
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


class _BlendGraph:
    """The fused graphs for planes of one format.

    Args:
        picture_format: Of the pictures.
        shapes: (H, W) of each plane.
        exact: Whether it takes and gives what rounding takes.
    """

    def __init__(
        self, picture_format: PictureFormat, shapes: Sequence[tuple[int, int]], *, exact: bool
    ) -> None:
        self._format = picture_format
        self._codes = 1 << (picture_format.bits - 8)  # per 8-bit level
        self._shapes = list(shapes)
        self._grids = [
            _block_rows(picture_format, plane, shape) for plane, shape in enumerate(shapes)
        ]
        results: list[_Result] = ["codes", "rest"] if exact else ["codes"]
        self._requests = [
            core()
            .compile_model(_graph(self._grids, picture_format, result, exact=exact), "CPU", _CONFIG)
            .create_infer_request()
            for result in results
        ]

    def run(
        self,
        picture: Planes,
        past: Planes,
        shares: Sequence[Blocks],
        tones: Sequence[Tone],
        *,
        rest: Sequence[NDArray[np.uint8]] = (),
    ) -> tuple[Planes, list[NDArray[np.uint8]]]:
        """Return the blended planes, and, of an exact graph, their 256ths: new arrays.

        Args:
            picture: Codes.
            past: Codes.
            shares: Of the picture in the result.
            tones: What has become of the past's levels.
            rest: 256ths of the past, for an exact graph.
        """
        codes = empty_planes(self._format, self._shapes)
        left = [np.empty(plane.shape, np.uint8) for plane in rest]
        inputs: list[NDArray[Any]] = []
        for plane, grid in enumerate(self._grids):
            scalars = np.array([tones[plane].gain, tones[plane].offset * self._codes], np.float32)
            inputs += [picture[plane].reshape(grid), past[plane].reshape(grid)]
            inputs += [_along_rows(shares[plane], grid), scalars[:1], scalars[1:]]
            inputs += [p.reshape(grid) for p in rest[plane:][:1]]
        for request, results in zip(self._requests, (codes, left), strict=False):
            # The arrays outlive the call: OpenVINO holds their addresses only.
            for index, values in enumerate(inputs):
                request.set_input_tensor(index, ov.Tensor(values, shared_memory=True))
            for index, (values, grid) in enumerate(zip(results, self._grids, strict=True)):
                tensor = ov.Tensor(values.reshape(grid), shared_memory=True)
                request.set_output_tensor(index, tensor)
            request.infer()
        return codes, left


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
            zero = _number(middle(picture_format, plane))
            lit = ops.add(ops.multiply(ops.subtract(ops.convert(codes, "f32"), zero), gain), zero)
            bounded = ops.clamp(ops.add(lit, _number(0.5)), 0.0, picture_format.peak + 0.998)
            narrow = "u8" if picture_format.dtype is np.uint8 else "u16"
            results.append(ops.result(ops.convert(ops.floor(bounded), narrow)))
        model = ov.Model(results, inputs, "light")
        self._request = core().compile_model(model, "CPU", _CONFIG).create_infer_request()

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


def _graph(
    grids: Sequence[_BlockRows], picture_format: PictureFormat, result: _Result, *, exact: bool
) -> ov.Model:
    """Return the blend of all planes, each seen as rows of blocks.

    Inputs are picture, past, share along a row, gain and offset of each, and 256ths of an exact
    one; outputs the result of each.
    """
    inputs, results = [], []
    for grid in grids:
        plane, past = (ops.parameter(list(grid), picture_format.dtype) for _ in range(2))
        share = ops.parameter([grid[0], 1, grid[2]], np.float32)
        gain, offset = ops.parameter([1], np.float32), ops.parameter([1], np.float32)
        inputs += [plane, past, share, gain, offset]
        before = ops.convert(past, "f32")
        if exact:
            rest = ops.parameter(list(grid), np.uint8)
            inputs.append(rest)
            part = ops.multiply(ops.convert(rest, "f32"), _number(1 / 256))
            # The codes were rounded from half above; a 256th stands for its middle.
            before = ops.add(before, ops.add(part, _number(1 / 512 - 0.5)))
        before = ops.add(ops.multiply(before, gain), offset)
        apart = ops.subtract(ops.convert(plane, "f32"), before)
        step = ops.multiply(apart, share)
        if not exact:
            step = ops.add(step, ops.clamp(apart, -_NUDGE, _NUDGE))
        blended = ops.add(ops.add(before, step), _number(0.5))
        bounded = ops.clamp(blended, 0.0, picture_format.peak + 0.998)
        whole = ops.floor(bounded)
        if result == "codes":
            narrow = "u8" if picture_format.dtype is np.uint8 else "u16"
            results.append(ops.result(ops.convert(whole, narrow)))
        else:
            left = ops.floor(ops.multiply(ops.subtract(bounded, whole), _number(256)))
            results.append(ops.result(ops.convert(left, "u8")))
    return ov.Model(results, inputs, f"smoothing_{result}")


def _block_rows(picture_format: PictureFormat, plane: int, shape: tuple[int, int]) -> _BlockRows:
    """Return the shape of a plane seen as rows of blocks: those, their rows, columns."""
    rows, height, columns, width = block_grid(picture_format, plane, shape)
    return rows, height, columns * width


def _along_rows(share: Blocks, grid: _BlockRows) -> Blocks:
    """Return a value for each sample of a row, from one for each block.

    Loops over eight samples, a block's, would be half as fast as those over a whole row.
    """
    size = grid[2], grid[0]
    wide = cv2.resize(np.ascontiguousarray(share), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(wide, np.float32).reshape(grid[0], 1, grid[2])


def _number(value: float) -> Node:
    return ops.constant(np.float32(value))
