"""What training minimises: differences of planes at several scales, and of their edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

LUMA_SCALES = ((1, 1.0), (4, 1.0), (8, 1.0), (16, 0.5))
CHROMA_SCALES = ((1, 1.0), (4, 1.0), (8, 0.5))
"""(pooling, weight): fringes live in the bands that pooling keeps, noise and JPEG in the rest."""


def charbonnier(difference: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Return the mean of sqrt(d^2 + epsilon^2): L1 with a smooth bottom (Charbonnier 1994)."""
    return torch.sqrt(difference * difference + epsilon * epsilon).mean()


def edges(difference: Tensor) -> Tensor:
    """Return the mean absolute forward difference of (N, 1, H, W), both axes: keeps text sharp."""
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()


def plane_loss(difference: Tensor, scales: Sequence[tuple[int, float]]) -> Tensor:
    """Return the weighted Charbonnier loss of (N, 1, H, W) over average-pooled scales."""
    terms = [
        weight * charbonnier(functional.avg_pool2d(difference, pool) if pool > 1 else difference)
        for pool, weight in scales
    ]
    return torch.stack(terms).sum()


def demoire_loss(outputs: Sequence[Tensor], truths: Sequence[Tensor]) -> Tensor:
    """Return the loss of Y, U and V planes in 0..1, chroma counted as heavily as luma."""
    y, u, v = (a - b for a, b in zip(outputs, truths, strict=True))
    return (
        plane_loss(y, LUMA_SCALES)
        + 0.5 * edges(y)
        + plane_loss(u, CHROMA_SCALES)
        + plane_loss(v, CHROMA_SCALES)
    )
