"""How the weights are moved: Muon for matrices and kernels, AdamW for what is left."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_SECOND_DECAYS = (0.9, 0.999)
_EPSILON = 1e-8
# Coefficients of Jordan et al. (2024): fast towards singular values of about 1, not exactly 1.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_QUINTIC_STEPS = 5
_RMS = 0.2
"""Size of an update of one learning rate, as AdamW's typically is (Liu et al., 2025)."""


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates (Jordan et al., "Muon", 2024).

    A kernel (out, in, h, w) counts as a matrix (out, in h w). Updates are scaled as in Liu et al.,
    "Muon is scalable for LLM training" (2025), so that one learning rate serves both parts.
    Parameters with one dimension (biases) take AdamW's step.

    Args:
        parameters: Of the network.
        rate: Learning rate, AdamW's usual size.
        weight_decay: Decoupled, for matrices and kernels.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], rate: float, *, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": rate, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if parameter.ndim > 1:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    update = _orthogonal_update(parameter.grad, state)
                else:
                    update = _adam_update(parameter.grad, state)
                parameter.add_(update, alpha=-group["lr"])


def _orthogonal_update(gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
    if not state:
        state["momentum"] = torch.zeros_like(gradient)
    momentum = state["momentum"]
    momentum.lerp_(gradient, 1 - _MOMENTUM)
    ahead = gradient.lerp(momentum, _MOMENTUM)  # Nesterov's
    matrix = ahead.flatten(1)
    scale = _RMS * math.sqrt(max(matrix.shape))
    update: Tensor = orthogonalise(matrix) * scale
    return update.reshape(ahead.shape)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Return (m, n) with its singular values brought near 1, by a Newton-Schulz iteration."""
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-12)
    a, b, c = _QUINTIC
    for _ in range(_QUINTIC_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def _adam_update(gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
    if not state:
        state["step"] = torch.zeros(())
        state["first"], state["second"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    state["step"] += 1
    step = float(state["step"])
    b1, b2 = _SECOND_DECAYS
    first = state["first"].lerp_(gradient, 1 - b1) / (1 - b1**step)
    second = state["second"].lerp_(gradient * gradient, 1 - b2) / (1 - b2**step)
    update: Tensor = first / (second.sqrt() + _EPSILON)
    return update
