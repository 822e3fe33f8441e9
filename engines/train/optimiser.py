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
            # Those of one shape move together: a GPU spends its time on launches otherwise.
            alike: dict[tuple[int, ...], list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shape = tuple(parameter.shape) if parameter.ndim > 1 else ()
                    alike.setdefault(shape, []).append(parameter)
            for shape, parameters in alike.items():
                if shape:
                    torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                    self._take_orthogonal_steps(parameters, group["lr"])
                else:
                    self._take_adam_steps(parameters, group["lr"])

    def _take_orthogonal_steps(self, parameters: list[Tensor], rate: float) -> None:
        """Move kernels of one shape."""
        gradients = [cast(Tensor, parameter.grad) for parameter in parameters]
        momenta = self._state_of(parameters, "momentum")
        torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momenta, _MOMENTUM)  # Nesterov's
        matrices = torch.stack([tensor.flatten(1) for tensor in ahead])
        scale = _RMS * math.sqrt(max(matrices.shape[1:]))
        updates = (_orthogonalise_all(matrices) * scale).reshape(-1, *parameters[0].shape)
        torch._foreach_add_(parameters, list(updates.unbind()), alpha=-rate)

    def _take_adam_steps(self, parameters: list[Tensor], rate: float) -> None:
        """Move parameters of one dimension."""
        gradients = [cast(Tensor, parameter.grad) for parameter in parameters]
        firsts = self._state_of(parameters, "first")
        seconds = self._state_of(parameters, "second")
        for parameter in parameters:
            self.state[parameter]["step"] = self.state[parameter].get("step", torch.zeros(())) + 1
        step = float(self.state[parameters[0]]["step"])
        b1, b2 = _SECOND_DECAYS
        torch._foreach_lerp_(firsts, gradients, 1 - b1)
        torch._foreach_mul_(seconds, b2)
        torch._foreach_addcmul_(seconds, gradients, gradients, 1 - b2)
        sizes = torch._foreach_sqrt(seconds)
        torch._foreach_div_(sizes, math.sqrt(1 - b2**step))
        torch._foreach_add_(sizes, _EPSILON)
        torch._foreach_addcdiv_(parameters, firsts, sizes, -rate / (1 - b1**step))

    def _state_of(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        """Return what is remembered of each parameter, zeros at first."""
        for parameter in parameters:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter)
        return [self.state[parameter][name] for parameter in parameters]


def _orthogonalise_all(matrices: Tensor) -> Tensor:
    # One by one, a GPU mostly waits for launches; a CPU takes 1.4 times as long for them together.
    if matrices.device.type == "cpu":
        return torch.stack([orthogonalise(matrix) for matrix in matrices])
    return orthogonalise(matrices)


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
