"""The buffers of requests in flight, and what callers hold of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engines.backends.torch_buffers import PlaneBlock
from engines.backends.torch_lanes import Lanes, Mark
from engines.backends.torch_program import Shapes, Work
from engines.engine import DevicePicture, Plane, Planes
from engines.errors import EngineError


class Slot:
    """The buffers around the program for one request, used again and again."""

    def __init__(self, work: Work, lanes: Lanes) -> None:
        dtype = work.program.source.flat.dtype
        self.host = lanes.host_block(work.shapes, work.batch, dtype=dtype)
        self.planes = self.host.arrays()[1]
        self.source = PlaneBlock(work.shapes, work.batch, dtype=dtype, device=lanes.device)
        self.target = PlaneBlock(work.shapes, work.batch, dtype=dtype, device=lanes.device)
        self.pending: TorchRequest | None = None


class TorchRequest:
    """Pictures on their way.

    Args:
        slot: Where they are computed.
        send: Queues the copy to the host: what the planes will be, (batch, 1, H, W) each, and the
            mark behind it. Called once, before the slot is used again.
        shapes: (H, W) of each plane of a result.
        count: Pictures in it.
        backend: For messages.
        held: Pictures that the device may be reading from until then.
    """

    def __init__(
        self,
        slot: Slot,
        send: Callable[[], tuple[list[Plane], Mark]],
        *,
        shapes: Shapes,
        count: int,
        backend: str,
        held: Sequence[DevicePicture] = (),
    ) -> None:
        self._slot: Slot | None = slot
        self._send = send
        self._sent: tuple[list[Plane], Mark] | None = None
        self._shapes = shapes
        self._count = count
        self._backend = backend
        self._held = held
        self._pictures: list[Planes] = []
        self._error: EngineError | None = None

    def send(self) -> None:
        """Queue what comes after the computation."""
        if self._sent is None:
            self._sent = self._send()

    def finish(self) -> None:
        """Wait until the slot is free again; keeps an error for `result`."""
        slot, self._slot = self._slot, None
        if slot is None:
            return
        slot.pending = None
        try:
            self.send()
            assert self._sent is not None
            planes, mark = self._sent
            mark.synchronize()
        except RuntimeError as error:  # `AcceleratorError` is one.
            self._error = EngineError(f"{self._backend}: a request failed: {error}")
            return
        finally:
            self._held = ()
        crops = list(zip(planes, self._shapes, strict=True))
        self._pictures = [
            tuple(plane[i, 0, :rows, :columns] for plane, (rows, columns) in crops)
            for i in range(self._count)
        ]

    def result(self) -> list[Planes]:
        """See `Request.result`."""
        self.finish()
        if self._error is not None:
            raise self._error
        return self._pictures
