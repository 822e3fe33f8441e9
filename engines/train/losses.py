"""What training minimises: differences of planes at several scales, where eyes would see them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

LUMA_SCALES = ((1, 0.5), (2, 0.5), (4, 1.0), (8, 1.0), (16, 1.0), (32, 0.5))
CHROMA_SCALES = ((1, 0.5), (2, 0.5), (4, 1.0), (8, 1.0), (16, 0.5))
"""(pooling, weight): fringes live in the bands that pooling keeps, noise and codecs in the rest."""

STEPS_POOL, STEPS_WEIGHT = 4, 0.5
"""Steps between neighbouring cells of this size: the network works in blocks, whose edges show on
flat ground long before a mean over pixels notices them."""

EDGES_WEIGHT = 0.25
"""Of luma's pixel-to-pixel steps: keeps text sharp."""

MASKING = 0.02
"""Mean luma step between pixels, in units of white, that hides half of a fringe: text and texture
mask what lies on them, and what codecs do to them is not for the network to undo."""

HARM_POOLS, UNHARMED, HARM_REGION = (1, 2, 4), 0.004, 64
"""Where the input was right to `UNHARMED` (a level) over regions of so many samples, texture does
not excuse an error: masked alone, networks take fences, brickwork and leather for a panel's grid.
Elsewhere it must not count: under noise, taking faint fringes away makes many pixels worse, and in
smaller regions every fringe has places where it is nothing."""

EPSILON = 1e-3
"""Where the losses turn from L1 to quadratic: a quarter of an 8-bit level."""

TYPICAL_LOSS = 0.04
"""Loss, at half the size, of a simulated input of middling strength: there `weights_by_strength`
gives 1."""

_CELL = 8
_EACH = (1, 2, 3)


def charbonnier(difference: Tensor) -> Tensor:
    """Return sqrt(d^2 + epsilon^2) - epsilon: L1 with a smooth bottom (Charbonnier 1994)."""
    return torch.sqrt(difference * difference + EPSILON * EPSILON) - EPSILON


def steps(difference: Tensor) -> tuple[Tensor, Tensor]:
    """Return the absolute forward differences of (N, 1, H, W), across and down."""
    return difference.diff(dim=-1).abs(), difference.diff(dim=-2).abs()


def visibility(luma: Tensor) -> Tensor:
    """Return how well an error is seen, (N, 1, H/8, W/8) in 0..1: 1 on flat ground.

    Args:
        luma: The truth's, (N, 1, H, W) in 0..1.
    """
    across, down = steps(luma)
    busy = functional.avg_pool2d(across[..., :-1, :] + down[..., :-1], _CELL)
    return MASKING / (MASKING + busy)


def _pooled(plane: Tensor, pool: int) -> Tensor:
    return functional.avg_pool2d(plane, pool) if pool > 1 else plane


def seen(errors: Tensor, weights: Tensor) -> Tensor:
    """Return each sample's mean of errors (N, 1, h, w), (N,), under weights of any resolution."""
    rows, columns = weights.shape[-2:]
    if errors.shape[-2] > rows:  # fewer samples to weigh than by enlarging the weights
        errors = functional.adaptive_avg_pool2d(errors, (rows, columns))
    else:
        weights = functional.interpolate(weights, errors.shape[-2:], mode="nearest")
    return (errors * weights).mean(_EACH)


def plane_loss(difference: Tensor, scales: Sequence[tuple[int, float]], weights: Tensor) -> Tensor:
    """Return the weighted loss of (N, 1, H, W) over average-pooled scales, (N,).

    The steps between pooled cells count beside it, see `STEPS_POOL`.

    Args:
        difference: Output less truth.
        scales: Pools and their weights, finest first; each pool divides the next.
        weights: Of places, see `visibility`.
    """
    terms, pooled, done = [], difference, 1
    for pool, weight in scales:
        # Of the means of the scale before: a pool of the whole picture each cost twice the time.
        pooled, done = _pooled(pooled, pool // done), pool
        terms.append(weight * seen(charbonnier(pooled), weights))
        if pool == STEPS_POOL:
            terms += [STEPS_WEIGHT * seen(step, weights) for step in steps(pooled)]
    return torch.stack(terms).sum(0)


def harm(error: Tensor, before: Tensor) -> Tensor:
    """Return how much larger an error (N, 1, H, W) is than it was, where it was next to none, (N,).

    Args:
        error: Of the output.
        before: Of the input.
    """
    regions = [max(1, side // HARM_REGION) for side in before.shape[-2:]]
    wrong = functional.adaptive_avg_pool2d(before.abs(), (regions[0], regions[1]))
    right = 1 / (1 + (wrong / UNHARMED) ** 2)
    terms = []
    for pool in HARM_POOLS:
        now, then = _pooled(error, pool), _pooled(before, pool)
        terms.append(seen(functional.relu(now.abs() - then.abs()), right))
    return torch.stack(terms).sum(0)


def demoire_loss(
    outputs: Sequence[Tensor],
    truths: Sequence[Tensor],
    *,
    inputs: Sequence[Tensor] | None = None,
    harm_weight: float = 1.0,
    offset: tuple[int, int] = (0, 0),
) -> Tensor:
    """Return each sample's loss, (N,), over Y, U and V planes in 0..1; 0 for equal planes.

    Chroma counts as heavily as luma: most of what disturbs is colour.

    Args:
        outputs: What the network made of a picture; luma at least 64 high and wide.
        truths: What it should have made.
        inputs: The picture; `harm` counts where it is given.
        harm_weight: How much it counts.
        offset: Rows and columns, each below 8, to leave out of luma, and half of them of chroma,
            so that the cells of pooling do not always coincide with the network's blocks.
    """
    rows, columns = offset
    weights = visibility(truths[0][..., rows:, columns:])
    errors = [a - b for a, b in zip(outputs, truths, strict=True)]
    y, u, v = errors
    y = y[..., rows:, columns:]
    u, v = (plane[..., rows // 2 :, columns // 2 :] for plane in (u, v))
    edges = torch.stack([seen(step, weights) for step in steps(y)]).sum(0)
    loss: Tensor = (
        plane_loss(y, LUMA_SCALES, weights)
        + EDGES_WEIGHT * edges
        + plane_loss(u, CHROMA_SCALES, weights)
        + plane_loss(v, CHROMA_SCALES, weights)
    )
    if inputs is not None:
        for error, truth, given in zip(errors, truths, inputs, strict=True):
            loss = loss + harm_weight * harm(error, given - truth)
    return loss


def weights_by_strength(inputs: Sequence[Tensor], truths: Sequence[Tensor]) -> Tensor:
    """Return each sample's weight, (N,), in 0.5..2.5: the inverse root of its input's loss.

    Errors of strong moiré are tens of times those of weak moiré; unweighted, a network learns next
    to nothing from the faint, long fringes that real clips have most of. Samples without moiré
    count once: they are many, and weighed up they teach to leave everything alone.
    """
    # At half the size: fringes are all there, noise is not, and it takes a quarter of the time.
    halves = ([functional.avg_pool2d(p, 2) for p in planes] for planes in (inputs, truths))
    strength = demoire_loss(*halves)
    weights = torch.sqrt(TYPICAL_LOSS / strength.clamp_min(1e-9)).clamp(0.5, 2.5)
    return torch.where(strength > 1e-4, weights, torch.ones_like(weights))
