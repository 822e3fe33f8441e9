"""How the weights are moved: Muon for matrices and kernels, AdamW for what is left."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

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
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            alike: dict[tuple[int, ...], list[Tensor]] = {}
            for parameter in moved:
                if parameter.ndim > 1:
                    alike.setdefault(tuple(parameter.shape), []).append(parameter)
                else:
                    update = _adam_update(cast(Tensor, parameter.grad), self.state[parameter])
                    parameter.add_(update, alpha=-group["lr"])
            for parameters in alike.values():
                self._move_alike(parameters, group["lr"], group["weight_decay"])

    def _move_alike(self, parameters: list[Tensor], rate: float, decay: float) -> None:
        """Move kernels of one shape together: a GPU spends its time on launches otherwise."""
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        gradients = [cast(Tensor, parameter.grad) for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momenta, _MOMENTUM)  # Nesterov's
        matrices = torch.stack([tensor.flatten(1) for tensor in ahead])
        scale = _RMS * math.sqrt(max(matrices.shape[1:]))
        updates = [
            update.reshape(parameter.shape)
            for update, parameter in zip(
                (orthogonalise(matrices) * scale).unbind(), parameters, strict=True
            )
        ]
        torch._foreach_mul_(parameters, 1 - rate * decay)
        torch._foreach_add_(parameters, updates, alpha=-rate)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return (..., m, n) with singular values brought near 1, by a Newton-Schulz iteration."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    a, b, c = _QUINTIC
    for _ in range(_QUINTIC_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


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
