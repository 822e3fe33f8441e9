"""The namesakes of `primitives` for tensors, on any device, as OpenCV computes them.

No convolution and no matrix product: on a GPU both may round to TF32, and what switches that off
is shared by all threads. A sum of shifted pictures is exact, and its taps are few.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from engines.simulate.primitives import DIGITAL_WHITE, interleave

if TYPE_CHECKING:
    from engines.simulate.camera import Shrink

_CUBIC = -0.75
"""Slope of OpenCV's cubic kernel at 1."""
_SLIVER = 1e-3
"""Share of a source pixel below which OpenCV leaves it out of an area."""
_LUMA = (0.299, 0.587, 0.114)


def nearest(image: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """See `primitives.nearest`."""
    height, width, channels = image.shape
    row, column = (
        _mirrored(torch.round(at).long(), count) for at, count in ((y, height), (x, width))
    )
    pixels = image.reshape(-1, channels)
    return pixels.index_select(0, (row * width + column).flatten()).reshape(*x.shape, channels)


def blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """See `primitives.blur`."""
    size = round(8 * sigma + 1) | 1
    kernel = cast(NDArray[np.float32], cv2.getGaussianKernel(size, sigma, cv2.CV_32F))  # (size, 1)
    return correlate(correlate(image, kernel), kernel.T)


def correlate(image: torch.Tensor, kernel: NDArray[np.floating[Any]]) -> torch.Tensor:
    """See `primitives.correlate`."""
    total = torch.zeros_like(image)
    for weight, neighbour in zip(kernel.flat, _neighbours(image, kernel.shape), strict=True):
        if weight:
            total.add_(neighbour, alpha=float(weight))
    return total


def shift(image: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """See `primitives.shift`."""
    return correlate(correlate(image, _cubic(y)[:, None]), _cubic(x)[None])


def resize(image: torch.Tensor, *, height: int, width: int, method: Shrink) -> torch.Tensor:
    """See `primitives.resize`."""
    taps = {"area": _area_taps, "linear": _linear_taps, "nearest": _nearest_taps}[method]
    for axis, length in enumerate((height, width)):
        index, weight = taps(image.shape[axis], length)
        image = _resampled(image, axis, index, weight.astype(np.float32))
    return image


def bilateral(image: torch.Tensor, *, step: float, sigma: float) -> torch.Tensor:
    """See `primitives.bilateral`."""
    total, weights = torch.zeros_like(image), torch.zeros_like(image)
    places = np.ndindex(5, 5)
    for (row, column), neighbour in zip(places, _neighbours(image, (5, 5)), strict=True):
        squared = (row - 2) ** 2 + (column - 2) ** 2
        if squared > 2**2:
            continue
        exponent = (neighbour - image) ** 2 / (2 * step**2) + squared / (2 * sigma**2)
        weight = torch.exp(-exponent)
        total += weight * neighbour
        weights += weight
    return total / weights


def demosaic_bilinear(raw: torch.Tensor) -> torch.Tensor:
    """See `primitives.demosaic_bilinear`."""
    _, above, _, left, _, right, _, below, _ = around = _digital_neighbours(raw)
    return _interpolated(around, (above + left + right + below + 2) // 4)


def demosaic_edge_aware(raw: torch.Tensor) -> torch.Tensor:
    """See `primitives.demosaic_edge_aware`."""
    _, above, _, left, _, right, _, below, _ = around = _digital_neighbours(raw)
    along_column = (left - right).abs() > (above - below).abs()
    green = torch.where(along_column, above + below + 1, left + right + 1) // 2
    return _interpolated(around, green)


def transform(image: torch.Tensor, matrix: NDArray[np.float32]) -> torch.Tensor:
    """See `primitives.transform`."""
    weights = torch.asarray(matrix.T, device=image.device)  # of R, G and B in each result
    red, green, blue = (image[..., channel, None] * weights[channel] for channel in range(3))
    return red + green + blue


def luma(rgb: torch.Tensor) -> torch.Tensor:
    """See `primitives.luma`."""
    red, green, blue = (weight * rgb[..., channel] for channel, weight in enumerate(_LUMA))
    return red + green + blue


def to_ycc(rgb: torch.Tensor) -> torch.Tensor:
    """See `primitives.to_ycc`."""
    y = luma(rgb)
    return torch.stack([y, (rgb[..., 0] - y) * 0.713 + 0.5, (rgb[..., 2] - y) * 0.564 + 0.5], dim=2)


def from_ycc(ycc: torch.Tensor) -> torch.Tensor:
    """See `primitives.from_ycc`."""
    y, red, blue = ycc[..., 0], ycc[..., 1] - 0.5, ycc[..., 2] - 0.5
    return torch.stack([y + 1.403 * red, y - 0.714 * red - 0.344 * blue, y + 1.773 * blue], dim=2)


def standard_normal(
    like: torch.Tensor, rng: np.random.Generator, *, shape: tuple[int, ...]
) -> torch.Tensor:
    """See `primitives.standard_normal`."""
    generator = torch.Generator(like.device).manual_seed(int(rng.integers(2**63)))
    return torch.randn(shape, generator=generator, dtype=torch.float32, device=like.device)


def _mirrored(index: torch.Tensor, count: int) -> torch.Tensor:
    """Return the places within 0..count-1 that places beyond the border mirror."""
    period = max(1, 2 * (count - 1))
    within = index.abs() % period
    return torch.minimum(within, period - within)


def _neighbours(image: torch.Tensor, kernel: tuple[int, ...]) -> Iterator[torch.Tensor]:
    """Yield the picture as each place of a kernel sees it, row by row, mirrored at the border."""
    size = image.shape[:2]
    for axis, (length, taps) in enumerate(zip(size, kernel, strict=True)):
        places = torch.arange(-(taps // 2), length + taps // 2, device=image.device)
        image = image.index_select(axis, _mirrored(places, length))
    for row, column in np.ndindex(*kernel):
        yield image[row : row + size[0], column : column + size[1]]


def _cubic(move: float) -> NDArray[np.float64]:
    """Return the kernel of odd length that moves by parts of a pixel (Keys' cubic convolution)."""
    whole = int(np.floor(-move))
    rest = -move - whole
    near = [((_CUBIC + 2) * t - (_CUBIC + 3)) * t * t + 1 for t in (rest, 1 - rest)]
    far = _CUBIC * (((rest + 1) - 5) * (rest + 1) + 8) * (rest + 1) - 4 * _CUBIC
    radius = max(1 - whole, whole + 2)
    kernel = np.zeros(2 * radius + 1)
    kernel[radius + whole - 1 : radius + whole + 3] = far, *near, 1 - far - sum(near)
    return kernel


_Taps = tuple[NDArray[np.intp], NDArray[np.float64]]
"""Source pixels of each new one and their weights, both (taps, length)."""


def _area_taps(source: int, length: int) -> _Taps:
    scale = source / length
    begin = np.arange(length) * scale
    pixel = np.floor(begin).astype(np.intp) + np.arange(int(np.ceil(scale)) + 1)[:, None]
    covered = np.minimum(begin + scale, pixel + 1) - np.maximum(begin, pixel)
    weight = np.where(covered > _SLIVER, covered, 0) / scale
    return np.minimum(pixel, source - 1), weight


def _linear_taps(source: int, length: int) -> _Taps:
    centre = (np.arange(length) + 0.5) * (source / length) - 0.5
    before = np.floor(centre).astype(np.intp)
    after = centre - before
    index = np.stack([before, before + 1]).clip(0, source - 1)
    return index, np.stack([1 - after, after])


def _nearest_taps(source: int, length: int) -> _Taps:
    index = (2 * np.arange(length) + 1) * source // (2 * length)
    return index[None], np.ones((1, length))


def _resampled(
    image: torch.Tensor, axis: int, index: NDArray[np.intp], weight: NDArray[np.float32]
) -> torch.Tensor:
    """Return the weighted sum of source pixels along an axis, (taps, length) of each."""
    shape = [-1 if other == axis else 1 for other in range(image.ndim)]
    places, weights = (torch.asarray(table, device=image.device) for table in (index, weight))
    taps = [
        image.index_select(axis, place) * share.reshape(shape)
        for place, share in zip(places, weights, strict=True)
    ]
    return torch.stack(taps).sum(0)


def _digital_neighbours(raw: torch.Tensor) -> list[torch.Tensor]:
    """Return the 3x3 neighbours of a mosaic in the steps of 16 bits, (H, W) int32, row by row."""
    digital = (raw * DIGITAL_WHITE).clamp(0, 65535).int()
    return list(_neighbours(digital, (3, 3)))


def _interpolated(around: list[torch.Tensor], green: torch.Tensor) -> torch.Tensor:
    """Return the RGB of a mosaic's neighbours: `green`, and means of the nearest red and blue."""
    a, above, b, left, here, right, c, below, d = around
    out = interleave(
        here,
        green=green,
        row=(left + right + 1) // 2,
        column=(above + below + 1) // 2,
        opposite=(a + b + c + d + 2) // 4,
    )
    out[0], out[-1] = out[1], out[-2]
    out[:, 0], out[:, -1] = out[:, 1], out[:, -2]
    return out.float() / DIGITAL_WHITE
