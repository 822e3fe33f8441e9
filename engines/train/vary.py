"""Batches as other people's copies of the pictures might look: both pictures are changed alike."""

from __future__ import annotations

import math
import random

import torch
from torch import Tensor
from torch.nn import functional

from engines.train.config import TrainConfig
from engines.train.data import Planes

# Half of it, less an offset, still holds the loss's widest pool of chroma.
_LEAST_SIDE = 64

_GRAIN = (0.5 / 255, 8 / 255)
"""Standard deviation of the strongest grain of a batch, in units of white."""
_GRAIN_SIZES = (1, 1, 2, 3)
_REACHES = (4, 8, 16, 32)
"""Luma samples over which detail is told from shading."""


def vary(
    planes: Planes, truth: Planes, *, config: TrainConfig, multiple: int, rng: random.Random
) -> tuple[Planes, Planes]:
    """Return a batch with each variation made by its share of the steps.

    Args:
        planes: Pictures with moiré.
        truth: The same without.
        config: Its shares are used.
        multiple: Height and width stay multiples of it.
        rng: Draws.
    """
    if rng.random() < config.squeezed:
        least = math.ceil(max(config.crop * 3 / 8, _LEAST_SIDE) / multiple)
        height, width = (multiple * rng.randint(least, config.crop // multiple) for _ in range(2))
        planes, truth = (
            squeeze(planes, height=height, width=width),
            squeeze(truth, height=height, width=width),
        )
    elif rng.random() < config.copied:
        factor = rng.uniform(1.5, 4)
        planes, truth = copy_smaller(planes, factor), copy_smaller(truth, factor)
    if rng.random() < config.recoloured:
        planes, truth = recolour(planes, truth, rng=rng)
    if rng.random() < config.overlaid:
        planes, truth = overlay(planes, truth, rng=rng)
    if rng.random() < config.grained:
        planes, truth = grain(planes, truth, rng=rng)
    return planes, truth


def copy_smaller(planes: Planes, factor: float) -> Planes:
    """Shrink planes by `factor` and enlarge them again."""

    def copy(plane: Tensor) -> Tensor:
        height, width = plane.shape[-2:]
        small = functional.interpolate(
            plane, (round(height / factor), round(width / factor)), mode="area"
        )
        return functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)

    return tuple(copy(plane) for plane in planes)


def squeeze(planes: Planes, *, height: int, width: int) -> Planes:
    """Shrink a picture to (height, width) luma samples, both even."""
    sizes = ((height, width), (height // 2, width // 2), (height // 2, width // 2))
    return tuple(
        functional.interpolate(plane, size, mode="area")
        for plane, size in zip(planes, sizes, strict=True)
    )


def recolour(planes: Planes, truth: Planes, *, rng: random.Random) -> tuple[Planes, Planes]:
    """Dim both pictures, strengthen or weaken their chroma and turn their hue, alike."""
    dim, gain, angle = rng.uniform(0.3, 1), rng.uniform(0.7, 2), rng.uniform(-math.pi, math.pi)
    a, b = dim * gain * math.cos(angle), dim * gain * math.sin(angle)

    def change(picture: Planes) -> Planes:
        y, u, v = picture[0], picture[1] - 0.5, picture[2] - 0.5
        return y * dim, (a * u - b * v + 0.5).clamp(0, 1), (b * u + a * v + 0.5).clamp(0, 1)

    return change(planes), change(truth)


def overlay(planes: Planes, truth: Planes, *, rng: random.Random) -> tuple[Planes, Planes]:
    """Add the detail of the batch's neighbour, without its moiré, to both pictures alike."""
    share, reach = rng.uniform(0.3, 1), rng.choice(_REACHES)

    def detail(plane: Tensor, pool: int) -> Tensor:
        other = plane.roll(1, 0)
        coarse = functional.interpolate(
            functional.avg_pool2d(other, pool, ceil_mode=True), other.shape[-2:], mode="bilinear"
        )
        return share * (other - coarse)

    added = tuple(
        detail(plane, pool)
        for plane, pool in zip(truth, (reach, reach // 2, reach // 2), strict=True)
    )
    return _add(planes, added), _add(truth, added)


def grain(planes: Planes, truth: Planes, *, rng: random.Random) -> tuple[Planes, Planes]:
    """Add the same noise to both pictures: fine, or as coarse as a denoised or enlarged one."""
    luma = math.exp(rng.uniform(*map(math.log, _GRAIN)))
    chroma, pool = luma * rng.uniform(0, 1), rng.choice(_GRAIN_SIZES)

    def noise(plane: Tensor, deviation: float) -> Tensor:
        count, _, height, width = plane.shape
        shape = (count, 1, math.ceil(height / pool), math.ceil(width / pool))
        # Each sample has its own strength.
        each = torch.rand(count, 1, 1, 1, device=plane.device)
        drawn = torch.randn(shape, device=plane.device) * (deviation * each)
        if pool == 1:
            return drawn
        return functional.interpolate(drawn, (height, width), mode="bilinear")

    added = tuple(
        noise(plane, sigma) for plane, sigma in zip(planes, (luma, chroma, chroma), strict=True)
    )
    return _add(planes, added), _add(truth, added)


def _add(picture: Planes, added: Planes) -> Planes:
    return tuple((a + b).clamp(0, 1) for a, b in zip(picture, added, strict=True))
