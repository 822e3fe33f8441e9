"""Where a session's work is queued: on a CPU it is done at once, on a GPU in streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from engines.backends.torch_buffers import PlaneBlock

Lane = Literal["in", "compute", "smooth", "out"]
"""Work of one lane is done in order; lanes do not wait for each other unless they are told to."""


class Mark(Protocol):
    """A place in a lane; `torch.cuda.Event` is one."""

    def synchronize(self) -> None:
        """Wait until all work of the lane before the mark is done.

        Raises:
            RuntimeError: It failed.
        """
        ...


class Lanes(Protocol):
    """A device and its queues, used by one thread."""

    device: torch.device

    def queue(self, lane: Lane, work: Callable[[], None], *, after: Mark | None = None) -> Mark:
        """Let `work` put its kernels and copies into a lane, and return the mark behind them.

        Args:
            lane: Where they wait.
            work: Called before this returns; may itself wait for what it queued.
            after: In another lane: they begin when that is passed.
        """
        ...

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Copy as a part of queued work, from or to a host block or on the device."""
        ...

    def host_block(
        self, shapes: Sequence[tuple[int, int]], batch: int, *, dtype: torch.dtype
    ) -> PlaneBlock:
        """Return memory of the host that `copy` need not wait for."""
        ...

    def finish(self) -> None:
        """Wait for all lanes."""
        ...


class _Passed:
    """The mark behind work that is done."""

    def synchronize(self) -> None:
        """There is nothing to wait for."""


class HostLanes:
    """Implements `Lanes` where every call returns when it is done, as on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def queue(self, lane: Lane, work: Callable[[], None], *, after: Mark | None = None) -> Mark:
        """See `Lanes.queue`; the work is done when this returns."""
        del lane, after
        work()
        return _Passed()

    def copy(self, target: Tensor, source: Tensor) -> None:
        """See `Lanes.copy`."""
        target.copy_(source)

    def host_block(
        self, shapes: Sequence[tuple[int, int]], batch: int, *, dtype: torch.dtype
    ) -> PlaneBlock:
        """See `Lanes.host_block`; ordinary memory."""
        return PlaneBlock(shapes, batch, dtype=dtype)

    def finish(self) -> None:
        """Nothing is in flight between calls."""
