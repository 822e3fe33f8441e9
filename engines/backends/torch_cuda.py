"""A session's lanes as CUDA streams, its program as a CUDA graph, its parts timed by the device.

Run on an H200 with torch 2.11; written for torch 2.13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

import torch
from torch import Tensor

from engines.backends.torch_buffers import PlaneBlock
from engines.backends.torch_lanes import Lane, Mark
from engines.backends.torch_request import TorchRequest
from engines.backends.torch_session import TorchSession
from engines.engine import DevicePicture, DeviceTimes, Moment

_WARM_UP = 3
"""Runs before a capture: libraries choose their algorithms, and allocate, in the first ones."""


class CudaLanes:
    """Implements `Lanes` with a stream for each lane.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.streams = {lane: _stream(device) for lane in get_args(Lane)}

    def queue(self, lane: Lane, work: Callable[[], None], *, after: Mark | None = None) -> Mark:
        """See `Lanes.queue`."""
        stream = self.streams[lane]
        if after is not None:
            assert isinstance(after, torch.cuda.Event)
            stream.wait_event(after)
        with torch.cuda.stream(stream):
            work()
        # Blocking: who waits for it sleeps, and leaves the core to the decoder and the encoder.
        mark = _event(blocking=True)
        mark.record(stream)
        return mark

    def copy(self, target: Tensor, source: Tensor) -> None:
        """See `Lanes.copy`."""
        target.copy_(source, non_blocking=True)

    def host_block(
        self, shapes: Sequence[tuple[int, int]], batch: int, *, dtype: torch.dtype
    ) -> PlaneBlock:
        """See `Lanes.host_block`; page-locked."""
        return PlaneBlock(shapes, batch, dtype=dtype, pinned=True)

    def finish(self) -> None:
        """See `Lanes.finish`."""
        for stream in self.streams.values():
            stream.synchronize()


def warm_up(work: Callable[[], None], lanes: CudaLanes, lane: Lane) -> None:
    """Do work in a lane until nothing about it is new; raises `RuntimeError` where it fails."""
    # What was made so far was made in the stream of whoever called.
    torch.cuda.synchronize(lanes.device)
    for _ in range(_WARM_UP):
        lanes.queue(lane, work).synchronize()


def captured(work: Callable[[], None], lanes: CudaLanes, lane: Lane) -> Callable[[], None]:
    """Return work that is warm as a CUDA graph, to be replayed in the same lane.

    Raises:
        RuntimeError: Something in it cannot be captured.
    """
    graph = torch.cuda.CUDAGraph()
    stream = lanes.streams[lane]
    with (
        # `torch.cuda.graph` leaves its stream the current one where a capture fails.
        torch.cuda.stream(stream),
        # Other threads have sessions of their own, and go on allocating meanwhile.
        torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"),
    ):
        work()
    replay: Callable[[], None] = graph.replay
    return replay


class CudaSession(TorchSession):
    """A session on a CUDA device; implements `DeviceTimed` and `TakesDevicePictures`."""

    _lanes: CudaLanes

    def submit_device(
        self,
        pictures: Sequence[DevicePicture],
        *,
        strength: float = 1.0,
        moments: Sequence[Moment] = (),
    ) -> TorchRequest:
        """See `TakesDevicePictures.submit_device`."""
        return self._submit_device(pictures, strength=strength, moments=moments)

    def device_times(self, *, repeats: int) -> DeviceTimes:
        """See `DeviceTimed.device_times`; without smoothing."""
        for slot in self._slots:
            if slot.pending is not None:
                slot.pending.finish()
        slot = self._slots[0]
        grey = 1 << (self.format.bits - 1)
        for plane in slot.planes:
            plane.fill(grey)
        copy_in = self._timed("in", lambda: self._load(slot), repeats)
        infer = self._timed("compute", lambda: self._compute(slot, 1.0), repeats)
        copy_out = self._timed("out", lambda: self._copy_out(slot), repeats)
        return DeviceTimes(copy_in, infer, copy_out)

    def _timed(self, lane: Lane, work: Callable[[], object], repeats: int) -> tuple[float, ...]:
        """Return how long work of one lane takes, in ms, alone on the device."""
        stream = self._lanes.streams[lane]
        times_ms = []
        for number in range(_WARM_UP + repeats):
            begin, end = _event(enable_timing=True), _event(enable_timing=True)
            begin.record(stream)
            work()
            end.record(stream)
            end.synchronize()
            if number >= _WARM_UP:
                times_ms.append(float(begin.elapsed_time(end)))
        return tuple(times_ms)


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _event(*, blocking: bool = False, enable_timing: bool = False) -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing, blocking)  # type: ignore[no-untyped-call]
