"""The blender in torch, on any device: what `host` is held against, and what a GPU runs.

`SmoothingStep` is the whole arithmetic on planes as one module of operators that ONNX, OpenVINO and
TensorRT have; the past goes in and comes out as tensors, so it never leaves the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.engine import PictureFormat
from engines.smooth.drift import Tone
from engines.smooth.layout import block_grid, middle, row_gains, subsampling
from engines.smooth.motion import Homography, Thumbnail, at_scale
from engines.smooth.trust import BLOCK, Blocks

if TYPE_CHECKING:
    from engines.smooth.smoother import Rows

_IN_PLACE = np.eye(3)


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
        homographies: Tensor,
        shares: tuple[Tensor, ...],
        tones: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the result, integer planes as `picture`, and the same before rounding, float32.

        Args:
            picture: Codes, (1, 1, H, W) each, uint8 or uint16, luma a multiple of 8 both ways.
            past: What came before, float32 of the same shapes.
            homographies: For each plane, from its pixels to those of the past, (P, 3, 3) float32.
            shares: Of the picture in the result, 0..1, a value for each block: (rows, columns).
            tones: For each plane, gain and offset in codes of the past's levels, (P, 2) float32.
        """
        results, blended = [], []
        for plane, (codes, before) in enumerate(zip(picture, past, strict=True)):
            grid = block_grid(self._format, plane, (codes.shape[2], codes.shape[3]))
            moved = warp(before, homographies[plane]) * tones[plane, 0] + tones[plane, 1]
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


class TorchBlender:
    """Implements `Blender` for tensors on one device.

    Args:
        picture_format: Of the pictures.
        shapes: (H, W) of each plane: padded, luma to a multiple of 8.
        device: Where the pictures are.
    """

    def __init__(
        self,
        picture_format: PictureFormat,
        shapes: Sequence[tuple[int, int]],
        device: torch.device,
    ) -> None:
        self._step = SmoothingStep(picture_format).eval()
        self._format = picture_format
        self._device = device
        self._scales = [subsampling(picture_format, plane) for plane in range(len(shapes))]
        self._codes = 1 << (picture_format.bits - 8)  # per 8-bit level
        self._size = shapes[0][0] // BLOCK, shapes[0][1] // BLOCK
        self._past = tuple(torch.zeros(1, 1, *shape, device=device) for shape in shapes)
        self._halves: list[Tensor] = []
        self._homographies = self._matrices(None)

    def look(self, picture: tuple[Tensor, ...]) -> tuple[Thumbnail, list[Blocks]]:
        """See `Blender.look`."""
        self._halves = [self._half(plane.to(torch.float32)) for plane in picture]
        # White of 10 bits is 255.75.
        luma = (self._halves[0][0, 0] + 0.5).floor().clamp(max=255).to(torch.uint8)
        return luma.cpu().numpy(), [self._block_means(half) for half in self._halves]

    def relit(self, picture: tuple[Tensor, ...], gains: Rows) -> tuple[Tensor, ...]:
        """See `Blender.relit`."""
        return tuple(self._relit(codes, plane, gains) for plane, codes in enumerate(picture))

    def compare(
        self, homography: Homography | None, tones: Sequence[Tone]
    ) -> tuple[Blocks, list[Blocks]]:
        """See `Blender.compare`."""
        self._homographies = self._matrices(homography)
        past = self._past
        if homography is not None:
            # As bytes are, see `host`: what is moved is what was shown.
            past = self._past = tuple((plane + 0.5).floor() for plane in past)
            moves = zip(past, self._homographies, strict=True)
            past = tuple(warp(plane, matrix) for plane, matrix in moves)
        apart = [
            half - (self._half(plane) * tone.gain + tone.offset)
            for half, plane, tone in zip(self._halves, past, tones, strict=True)
        ]
        return self._block_means(apart[0].abs()), [self._block_means(half) for half in apart]

    def blend(
        self, picture: tuple[Tensor, ...], shares: Sequence[Blocks], tones: Sequence[Tone]
    ) -> tuple[Tensor, ...]:
        """See `Blender.blend`."""
        scalars = torch.tensor(
            [(tone.gain, tone.offset * self._codes) for tone in tones], device=self._device
        )
        weights = tuple(torch.from_numpy(share).to(self._device) for share in shares)
        result: tuple[Tensor, ...]
        result, self._past = self._step(picture, self._past, self._homographies, weights, scalars)
        self._homographies = self._matrices(None)
        return result

    def _relit(self, codes: Tensor, plane: int, gains: Rows) -> Tensor:
        rows = torch.from_numpy(row_gains(gains, codes.shape[2])).to(self._device)[:, None]
        zero = middle(self._format, plane)
        lit = (codes.to(torch.float32) - zero) * rows + zero
        return (lit + 0.5).floor().clamp(0, self._format.peak).to(codes.dtype)

    def _matrices(self, homography: Homography | None) -> Tensor:
        matrix = _IN_PLACE if homography is None else homography
        scaled = np.stack([at_scale(matrix, *scale) for scale in self._scales])
        return torch.from_numpy(scaled.astype(np.float32)).to(self._device)

    def _half(self, plane: Tensor) -> Tensor:
        """Return a plane at half its size in 8-bit levels."""
        return functional.avg_pool2d(plane, 2) * (1 / self._codes)

    def _block_means(self, half: Tensor) -> Blocks:
        """Return the mean of each block of a plane at half its size."""
        window = (half.shape[2] // self._size[0], half.shape[3] // self._size[1])
        means: Blocks = functional.avg_pool2d(half, window)[0, 0].cpu().numpy()
        return means
