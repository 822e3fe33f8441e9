"""The blender in torch, on any device: what `host` is held against, and what a GPU runs.

`SmoothingStep` is the whole arithmetic on planes as one module of operators that ONNX, OpenVINO and
TensorRT have; the past goes in and comes out as tensors, so it never leaves the device.

`TorchBlender` does the same between tensors that stay where they are, in a few parts. A GPU keeps
each as a CUDA graph: launched one by one, their hundred kernels take Python five milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engines.engine import PictureFormat
from engines.smooth.drift import Tone
from engines.smooth.layout import block_grid, middle, row_gains, subsampling
from engines.smooth.motion import Homography, Thumbnail, at_scale
from engines.smooth.trust import BLOCK, Blocks

if TYPE_CHECKING:
    from engines.smooth.smoother import Rows

Part = Callable[[], None]
"""Work between tensors that stay where they are."""
Keep = Callable[[Part], Part]
"""Takes a part and returns what does the same whenever it is called."""


class SmoothingStep(nn.Module):
    """Moves the past, weighs it against the present, and rounds: for planes of one format.

    Args:
        picture_format: Of the pictures.
    """

    def __init__(self, picture_format: PictureFormat) -> None:
        super().__init__()
        self._format = picture_format
        self._dtype = torch.uint8 if picture_format.bits == 8 else torch.uint16

    def forward(
        self,
        picture: tuple[Tensor, ...],
        past: tuple[Tensor, ...],
        homographies: Tensor | None,
        shares: tuple[Tensor, ...],
        tones: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the result, integer planes as `picture`, and the same before rounding, float32.

        Args:
            picture: Codes, (1, 1, H, W) each, uint8 or uint16, luma a multiple of 8 both ways.
            past: What came before, float32 of the same shapes.
            homographies: For each plane, from its pixels to those of the past, (P, 3, 3) float32;
                None where the past lies where the picture does.
            shares: Of the picture in the result, 0..1, a value for each block: (rows, columns).
            tones: For each plane, gain and offset in codes of the past's levels, (P, 2) float32.
        """
        results, blended = [], []
        for plane, (codes, before) in enumerate(zip(picture, past, strict=True)):
            grid = block_grid(self._format, plane, (codes.shape[2], codes.shape[3]))
            moved = before if homographies is None else warp(before, homographies[plane])
            moved = moved * tones[plane, 0] + tones[plane, 1]
            share = shares[plane][:, None, :, None]
            apart = (codes.to(torch.float32) - moved).reshape(grid)
            mixed = (moved.reshape(grid) + share * apart).reshape(codes.shape)
            mixed = mixed.clamp(0, self._format.peak)
            results.append((mixed + 0.5).floor().to(self._dtype))
            blended.append(mixed)
        return tuple(results), tuple(blended)


def warp(plane: Tensor, homography: Tensor) -> Tensor:
    """Return a plane, (1, 1, H, W) float32, with each pixel taken from where a homography says.

    Bilinear; beyond the edge its samples are repeated.
    """
    height, width = plane.shape[2:]
    x = torch.arange(width, dtype=torch.float32, device=plane.device)[None, :]
    y = torch.arange(height, dtype=torch.float32, device=plane.device)[:, None]
    h = homography
    depth = h[2, 0] * x + h[2, 1] * y + h[2, 2]
    across = (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / depth
    down = (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / depth
    # -1 and 1 are the outer edges of the first and the last sample.
    grid = torch.stack([(2 * across + 1) / width - 1, (2 * down + 1) / height - 1], dim=-1)
    return functional.grid_sample(
        plane, grid[None], mode="bilinear", padding_mode="border", align_corners=False
    )


def as_it_is(part: Part) -> Part:
    """Return the part itself, see `Keep`."""
    return part


class TorchBlender:
    """Implements `Blender` for tensors on one device.

    Pictures are copied in; what it returns is its own, and holds until the next one is blended.

    Args:
        picture_format: Of the pictures.
        shapes: (H, W) of each plane: padded, luma to a multiple of 8.
        device: Where the pictures are.
        keep: Given each part of the work once, from here.
    """

    def __init__(
        self,
        picture_format: PictureFormat,
        shapes: Sequence[tuple[int, int]],
        device: torch.device,
        *,
        keep: Keep = as_it_is,
    ) -> None:
        self._format = picture_format
        self._device = device
        self._scales = [subsampling(picture_format, plane) for plane in range(len(shapes))]
        self._codes = 1 << (picture_format.bits - 8)  # per 8-bit level
        self._blocks = shapes[0][0] // BLOCK, shapes[0][1] // BLOCK
        self._arithmetic = SmoothingStep(picture_format).eval()
        count, half = len(shapes), (shapes[0][0] // 2, shapes[0][1] // 2)
        dtype = torch.uint8 if picture_format.bits == 8 else torch.uint16
        self._picture, self._result = self._zeros(shapes, dtype), self._zeros(shapes, dtype)
        self._past, self._moved = (self._zeros(shapes, torch.float32) for _ in range(2))
        halves = [(height // 2, width // 2) for height, width in shapes]
        self._halves = self._zeros(halves, torch.float32)
        self._thumbnail = Staged([half], torch.uint8, device)
        self._means = Staged([self._blocks] * count, torch.float32, device)
        self._apart = Staged([self._blocks] * (1 + count), torch.float32, device)
        self._orders = Staged([(count, 3, 3), (count, 2)], torch.float32, device)
        self._shares = Staged([self._blocks] * count, torch.float32, device)
        self._to_codes = torch.tensor([1.0, float(self._codes)], device=device)
        # A homography of zeros would leave no numbers in the past, however little of it counts.
        self._order(np.eye(3), [Tone()] * count)
        self._orders.send()
        self._look, self._move = keep(self._look_at), keep(self._move_past)
        self._stay, self._compare = keep(self._leave_past), keep(self._tell_apart)
        self._blend = keep(self._mix)

    def look(self, picture: tuple[Tensor, ...]) -> tuple[Thumbnail, list[Blocks]]:
        """See `Blender.look`."""
        for target, plane in zip(self._picture, picture, strict=True):
            target.copy_(plane)
        self._look()
        self._wait()
        (thumbnail,) = self._thumbnail.values()
        return thumbnail, self._means.values()

    def relit(self, picture: tuple[Tensor, ...], gains: Rows) -> tuple[Tensor, ...]:
        """See `Blender.relit`; the result is new."""
        return tuple(self._relit(codes, plane, gains) for plane, codes in enumerate(picture))

    def compare(
        self, homography: Homography | None, tones: Sequence[Tone]
    ) -> tuple[Blocks, list[Blocks]]:
        """See `Blender.compare`."""
        self._order(np.eye(3) if homography is None else homography, tones)
        self._orders.send()
        (self._stay if homography is None else self._move)()
        self._compare()
        self._wait()
        error, *offsets = self._apart.values()
        return error, offsets

    def blend(
        self, picture: tuple[Tensor, ...], shares: Sequence[Blocks], tones: Sequence[Tone]
    ) -> tuple[Tensor, ...]:
        """See `Blender.blend`; the picture is here already."""
        self._orders.arrays[1][...] = [(tone.gain, tone.offset) for tone in tones]
        self._orders.send()
        for array, share in zip(self._shares.arrays, shares, strict=True):
            array[...] = share
        self._shares.send()
        self._blend()
        return self._result

    def _look_at(self) -> None:
        for target, plane in zip(self._halves, self._picture, strict=True):
            target.copy_(self._half(plane.to(torch.float32)))
        # White of 10 bits is 255.75.
        self._thumbnail.tensors[0].copy_((self._halves[0][0, 0] + 0.5).floor().clamp(max=255))
        for target, half in zip(self._means.tensors, self._halves, strict=True):
            target.copy_(self._block_means(half))
        self._thumbnail.fetch()
        self._means.fetch()

    def _move_past(self) -> None:
        for plane, (past, moved) in enumerate(zip(self._past, self._moved, strict=True)):
            # As bytes are, see `host`: what is moved is what was shown.
            moved.copy_(warp((past + 0.5).floor(), self._orders.tensors[0][plane]))

    def _leave_past(self) -> None:
        for past, moved in zip(self._past, self._moved, strict=True):
            moved.copy_(past)

    def _tell_apart(self) -> None:
        error, *offsets = self._apart.tensors
        planes = zip(self._halves, self._moved, self._orders.tensors[1], offsets, strict=True)
        for plane, (half, moved, tone, target) in enumerate(planes):
            apart = half - (self._half(moved) * tone[0] + tone[1])
            target.copy_(self._block_means(apart))
            if plane == 0:
                error.copy_(self._block_means(apart.abs()))
        self._apart.fetch()

    def _mix(self) -> None:
        tones = self._orders.tensors[1] * self._to_codes
        shares = tuple(self._shares.tensors)
        results, blended = self._arithmetic(self._picture, self._moved, None, shares, tones)
        for target, codes in zip(self._result, results, strict=True):
            target.copy_(codes)
        for target, plane in zip(self._past, blended, strict=True):
            target.copy_(plane)

    def _order(self, homography: Homography, tones: Sequence[Tone]) -> None:
        """Write down where the past is moved to, and what becomes of its levels."""
        matrices, levels = self._orders.arrays
        matrices[...] = [at_scale(homography, *scale) for scale in self._scales]
        levels[...] = [(tone.gain, tone.offset) for tone in tones]

    def _relit(self, codes: Tensor, plane: int, gains: Rows) -> Tensor:
        rows = torch.from_numpy(row_gains(gains, codes.shape[2])).to(self._device)[:, None]
        zero = middle(self._format, plane)
        lit = (codes.to(torch.float32) - zero) * rows + zero
        return (lit + 0.5).floor().clamp(0, self._format.peak).to(codes.dtype)

    def _half(self, plane: Tensor) -> Tensor:
        """Return a plane at half its size in 8-bit levels."""
        return functional.avg_pool2d(plane, 2) * (1 / self._codes)

    def _block_means(self, half: Tensor) -> Tensor:
        """Return the mean of each block of a plane at half its size, (rows, columns)."""
        window = (half.shape[2] // self._blocks[0], half.shape[3] // self._blocks[1])
        return functional.avg_pool2d(half, window)[0, 0]

    def _zeros(self, shapes: Sequence[tuple[int, int]], dtype: torch.dtype) -> tuple[Tensor, ...]:
        make = partial(torch.zeros, dtype=dtype, device=self._device)
        return tuple(make(1, 1, *shape) for shape in shapes)

    def _wait(self) -> None:
        """Wait for what was queued; the caller sleeps."""
        if self._device.type == "cuda":
            event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            event.record()
            event.synchronize()


class Staged:
    """Small values in one piece on the host and one on a device, so that one copy moves them all.

    Args:
        shapes: Of each value.
        dtype: Of all.
        device: Which.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, ...]], dtype: torch.dtype, device: torch.device
    ) -> None:
        sizes = [math.prod(shape) for shape in shapes]
        pinned = device.type == "cuda"
        self._here = torch.zeros(sum(sizes), dtype=dtype, pin_memory=pinned)
        self._there = torch.zeros(sum(sizes), dtype=dtype, device=device)

        def parts(whole: Tensor) -> list[Tensor]:
            pieces = torch.split(whole, sizes)
            return [part.view(shape) for part, shape in zip(pieces, shapes, strict=True)]

        self.arrays: list[NDArray[Any]] = [part.numpy() for part in parts(self._here)]
        """The host's."""
        self.tensors = parts(self._there)
        """The device's."""

    def send(self) -> None:
        """Queue the copy to the device."""
        self._there.copy_(self._here, non_blocking=True)

    def fetch(self) -> None:
        """Queue the copy to the host."""
        self._here.copy_(self._there, non_blocking=True)

    def values(self) -> list[NDArray[Any]]:
        """Return copies of the host's, once they are there."""
        return [array.copy() for array in self.arrays]
