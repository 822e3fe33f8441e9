"""What a session computes, between buffers that stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from engines.backends.torch_buffers import PlaneBlock
from engines.backends.torch_network import Cleaning
from engines.engine import PictureFormat

Shapes = Sequence[tuple[int, int]]
"""(H, W) of each padded plane."""


class Program:
    """Arithmetic between blocks that stay where they are.

    Args:
        cleaning: Of planes of these shapes.
        source: What it reads; on the device.
        target: What it writes, of the same shapes.
        flags: Makes the context in which torch picks its algorithms.
    """

    def __init__(
        self,
        cleaning: Cleaning,
        source: PlaneBlock,
        target: PlaneBlock,
        *,
        flags: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.source = source
        self.target = target
        self.strength = torch.ones(1, device=source.flat.device)
        """Share of the residual to subtract, float32 (1,)."""
        self._cleaning = cleaning
        self._flags = flags

    def __call__(self) -> None:
        """Clean what is in `source`, the whole batch, into `target`."""
        with torch.no_grad(), self._flags():
            cleaned = self._cleaning(self.source.planes, self.strength)
        for plane, result in zip(self.target.planes, cleaned, strict=True):
            plane.copy_(result)


@dataclass(frozen=True)
class Work:
    """What a session does to pictures of one format."""

    format: PictureFormat
    shapes: Shapes
    batch: int
    program: Program
    run: Callable[[], None]
    """The program itself, or a CUDA graph that was captured from it."""
    backend: str
    """Key in `BACKENDS`, for messages."""
