"""What training minimises: differences of planes at several scales, and of their edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

LUMA_SCALES = ((1, 1.0), (4, 1.0), (8, 1.0), (16, 0.5))
CHROMA_SCALES = ((1, 1.0), (4, 1.0), (8, 0.5))
"""(pooling, weight): fringes live in the bands that pooling keeps, noise and JPEG in the rest."""

STEPS_POOL, STEPS_WEIGHT = 4, 0.5
"""Steps between neighbouring cells of this size: the network works in blocks, whose edges show on
flat ground long before a mean over pixels notices them."""

EPSILON = 1e-3
"""Where the losses turn from L1 to quadratic: a quarter of an 8-bit level."""

FLOOR = EPSILON * sum(weight for _, weight in LUMA_SCALES + 2 * CHROMA_SCALES)
"""Loss of a perfect output."""

TYPICAL_LOSS = 0.1
"""Loss of a simulated input of middling strength: there `weights_by_strength` gives 1."""

_EACH = (1, 2, 3)


def charbonnier(difference: Tensor) -> Tensor:
    """Return the mean of sqrt(d^2 + epsilon^2): L1 with a smooth bottom (Charbonnier 1994)."""
    return torch.sqrt(difference * difference + EPSILON * EPSILON).mean(_EACH)


def edges(difference: Tensor) -> Tensor:
    """Return the mean absolute forward difference of (N, 1, H, W), both axes: keeps text sharp."""
    return difference.diff(dim=-1).abs().mean(_EACH) + difference.diff(dim=-2).abs().mean(_EACH)


def plane_loss(difference: Tensor, scales: Sequence[tuple[int, float]]) -> Tensor:
    """Return the weighted Charbonnier loss of (N, 1, H, W) over average-pooled scales.

    The steps between pooled cells count beside it, see `STEPS_POOL`.
    """
    pools = {pool: functional.avg_pool2d(difference, pool) for pool, _ in scales if pool > 1}
    terms = [weight * charbonnier(pools.get(pool, difference)) for pool, weight in scales]
    terms.append(STEPS_WEIGHT * edges(pools[STEPS_POOL]))
    return torch.stack(terms).sum(0)


def demoire_loss(
    outputs: Sequence[Tensor], truths: Sequence[Tensor], *, offset: tuple[int, int] = (0, 0)
) -> Tensor:
    """Return each sample's loss, (N,), over Y, U and V planes in 0..1.

    Chroma counts as heavily as luma: most of what disturbs is colour.

    Args:
        outputs: What the network made of a picture.
        truths: What it should have made.
        offset: Rows and columns to leave out of every plane, so that the cells of pooling do not
            always coincide with the network's blocks.
    """
    y, u, v = ((a - b)[..., offset[0] :, offset[1] :] for a, b in zip(outputs, truths, strict=True))
    return (
        plane_loss(y, LUMA_SCALES)
        + 0.5 * edges(y)
        + plane_loss(u, CHROMA_SCALES)
        + plane_loss(v, CHROMA_SCALES)
    )


def weights_by_strength(inputs: Sequence[Tensor], truths: Sequence[Tensor]) -> Tensor:
    """Return each sample's weight, (N,), in 0.5..2.5: the inverse root of its input's loss.

    Errors of strong moiré are tens of times those of weak moiré; unweighted, a network learns next
    to nothing from the faint, long fringes that real clips have most of. Samples without moiré
    count once: they are many, and weighed up they teach to leave everything alone.
    """
    strength = demoire_loss(inputs, truths)
    weights = torch.sqrt(TYPICAL_LOSS / strength).clamp(0.5, 2.5)
    return torch.where(strength > 1.1 * FLOOR, weights, torch.ones_like(weights))
