"""How wide a network computes, and what makes it faster where that works."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from engines.errors import EngineError

if TYPE_CHECKING:
    from engines.models.planes import IntegerPlanes

_log = logging.getLogger(__name__)

Precision = Literal["auto", "f32", "f16", "bf16"]
Choice = Literal["auto", "on", "off"]

DTYPES: dict[str, torch.dtype] = {
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
}
"""Types by the names of `EngineInfo.precision`."""

Result = TypeVar("Result")
Cleaning = Callable[[tuple[Tensor, ...], Tensor], tuple[Tensor, ...]]
"""`IntegerPlanes` or what was compiled from it: planes and strength in, cleaned planes out."""


class NarrowNetwork(nn.Module):
    """A network of another precision between a view and residuals in float32.

    Only the network is narrower: codes, view and subtraction stay in float32, so that a strength
    of zero returns every picture bit for bit.

    Args:
        network: Takes and returns tensors of `dtype`.
        dtype: What it computes in.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype

    def forward(self, y: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        """Return residuals, float32; see `engines.models.network.Network.forward`."""
        residuals = self.network(y.to(self.dtype), u.to(self.dtype), v.to(self.dtype))
        return tuple(residual.to(torch.float32) for residual in residuals)


def precision_of(module: nn.Module) -> str:
    """Return the precision of a module's weights, by which its layers compute.

    Raises:
        EngineError: It is none of `DTYPES`.
    """
    found = {parameter.dtype for parameter in module.parameters()}
    names = sorted(name for name, dtype in DTYPES.items() if dtype in found)
    if not names or len(names) != len(found):
        raise EngineError(f"torch: the network's weights are of {found}, not of {list(DTYPES)}")
    return "+".join(names)


def compiled(planes: IntegerPlanes) -> Cleaning:
    """Return `planes` compiled by `torch.compile` for one size; the first call compiles.

    In inductor's usual mode: it tried every tiling of every product for more than a minute where
    it was asked to.
    """
    compiled = torch.compile(  # type: ignore[call-overload]  # one of them is not in its stubs
        planes,
        fullgraph=True,
        dynamic=False,
        # Each size is a compilation of its own, and after eight of a function torch refuses more.
        isolate_recompiles=True,
    )
    return cast(Cleaning, compiled)


def attempt(
    faster: Callable[[], Result], plain: Callable[[], Result], *, choice: Choice, what: str
) -> Result:
    """Return what `faster` does, or `plain`.

    Args:
        faster: Raises `RuntimeError` where it does not work.
        plain: Always works.
        choice: `on` insists on the first, `off` on the second; `auto` tries the first and logs why
            it took the second.
        what: The option and what it stands for, e.g. `compile (torch.compile)`.

    Raises:
        EngineError: The first does not work and was insisted on.
        RuntimeError: There is too little memory for it.
    """
    if choice == "off":
        return plain()
    try:
        return faster()
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        reason = first_line(error)
        if choice == "on":
            option = what.split()[0]
            raise EngineError(
                f"torch: {what} does not work here: {reason}; use {option}=auto or {option}=off"
            ) from error
    # After the handler: the error's traceback holds whatever was allocated on the way.
    _log.warning("torch: %s does not work here, so it is left out: %s", what, reason)
    return plain()


def out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error, or one that it came from, tells of too little memory.

    Where a capture runs out of memory, ending it fails as well, and that is what is raised.
    """
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError):
            return True
        # Page-locked memory, and ordinary memory on a CPU, have no type of their own.
        if isinstance(error, RuntimeError) and any(
            words in str(error).lower() for words in ("out of memory", "can't allocate memory")
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def first_line(error: BaseException) -> str:
    """Return what an error says before it goes into details."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
