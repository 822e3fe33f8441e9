"""Pictures in flight on one device.

Three streams: pictures are copied in on one while the network runs on another and results are
copied out on a third; smoothing has one of its own, because the host decides in the middle of it.
Each slot has its own tensors, so that the next picture never waits for the one before to leave.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.backends.padding import pad_into
from engines.backends.tensorrt.blender import DeviceBlender, DevicePicture
from engines.backends.tensorrt.device import Device, Event, HostMemory, Memory, Program, size_of
from engines.backends.tensorrt.network import STRENGTH, cleaned_name, plane_names
from engines.engine import (
    DeviceTimes,
    Flicker,
    Moment,
    PictureFormat,
    Plane,
    Planes,
    Smoothing,
    check_moments,
    check_pictures,
)
from engines.errors import EngineError
from engines.smooth.smoother import Smoother

if TYPE_CHECKING:
    from engines.backends.tensorrt.device import Launch

_UNCOUNTED = 5
"""Pictures before those that are timed."""


@dataclass(frozen=True)
class SessionLayout:
    """Where the planes of a request lie: one after the other, all pictures of each together."""

    picture_format: PictureFormat
    shapes: tuple[tuple[int, int], ...]
    """(H, W) of each plane, padded."""
    batch: int

    @property
    def sizes(self) -> list[int]:
        """Bytes of each plane of one picture."""
        return [size_of(shape, self.picture_format.dtype) for shape in self.shapes]

    @property
    def size(self) -> int:
        """Bytes of a whole request."""
        return self.batch * sum(self.sizes)

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the size of each input of the network's graph."""
        last = () if self.picture_format.bits == 8 else (2,)
        names = plane_names(self.picture_format)
        planes = {
            name: (self.batch, 1, *shape, *last)
            for name, shape in zip(names, self.shapes, strict=True)
        }
        return planes | {STRENGTH: (1,)}

    def parts(self, memory: Memory) -> list[Memory]:
        """Return each plane of a request, all its pictures."""
        sizes = [self.batch * size for size in self.sizes]
        begins = [sum(sizes[:index]) for index in range(len(sizes))]
        return [memory.part(begin, size) for begin, size in zip(begins, sizes, strict=True)]

    def picture(self, memory: Memory, number: int) -> DevicePicture:
        """Return the planes of one picture of a request."""
        parts = zip(self.parts(memory), self.sizes, strict=True)
        return tuple(part.part(number * size, size) for part, size in parts)

    def planes(self, array: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """Return a request's bytes as planes, (N, H, W) each, without copying."""
        views, begin = [], 0
        for shape, size in zip(self.shapes, self.sizes, strict=True):
            end = begin + self.batch * size
            samples = array[begin:end].view(self.picture_format.dtype)
            views.append(samples.reshape(self.batch, *shape))
            begin = end
        return views


class PinnedPool:
    """Pinned memory for results; it comes back when the last array over it is gone.

    Args:
        device: Where it is copied from.
        size: Bytes of each.
        count: How many to have ready.
    """

    def __init__(self, device: Device, size: int, *, count: int) -> None:
        self._device = device
        self._size = size
        # Arrays end in whatever thread; a deque's ends are safe.
        self._free = deque(device.pin(size) for _ in range(count))

    def take(self) -> tuple[HostMemory, NDArray[np.uint8]]:
        """Return memory and all of it as an array, which is the caller's."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = self._device.pin(self._size)
        array = memory.bytes
        weakref.finalize(array, self._free.append, memory).atexit = False
        return memory, array


class _Slot:
    """One request's tensors and what computes them.

    Args:
        layout: Of its pictures.
        device: Where it is.
        program: The network's.
    """

    def __init__(self, layout: SessionLayout, device: Device, program: Program) -> None:
        self.staged = device.pin(layout.size)
        self.inputs = layout.planes(self.staged.bytes)
        self.staged_strength = device.pin(4)
        self.strength = self.staged_strength.bytes.view(np.float32)
        self.device_inputs = device.allocate(layout.size)
        self.device_strength = device.allocate(4)
        self.device_outputs = device.allocate(layout.size)
        names = plane_names(layout.picture_format)
        tensors = dict(zip(names, layout.parts(self.device_inputs), strict=True))
        results = layout.parts(self.device_outputs)
        tensors |= {cleaned_name(name): r for name, r in zip(names, results, strict=True)}
        self.launch: Launch = program.bind(tensors | {STRENGTH: self.device_strength})
        self.pending: TensorRtRequest | None = None


class TensorRtRequest:
    """Pictures on their way through a device.

    Args:
        finish: Waits for them; returns them in the padded layout.
        shapes: (H, W) of each plane as it is shown.
    """

    def __init__(
        self, finish: Callable[[], list[Planes]], shapes: Sequence[tuple[int, int]]
    ) -> None:
        self._finish: Callable[[], list[Planes]] | None = finish
        self._shapes = shapes
        self._pictures: list[Planes] = []
        self._error: EngineError | None = None

    def finish(self) -> None:
        """Wait until the slot is free again; keeps an error for `result`."""
        finish, self._finish = self._finish, None
        if finish is None:
            return
        try:
            padded = finish()
        except EngineError as error:
            self._error = error
            return
        self._pictures = [
            tuple(
                plane[:rows, :columns]
                for plane, (rows, columns) in zip(planes, self._shapes, strict=True)
            )
            for planes in padded
        ]

    def result(self) -> list[Planes]:
        """See `Request.result`."""
        self.finish()
        if self._error is not None:
            raise self._error
        return self._pictures


class TensorRtSession:
    """One picture format on one device.

    Args:
        layout: Of requests.
        device: Where they are computed.
        program: The network's.
        depth: Requests in flight.
    """

    def __init__(
        self, layout: SessionLayout, device: Device, program: Program, *, depth: int
    ) -> None:
        self.format = layout.picture_format
        self.batch = layout.batch
        self.depth = depth
        self._layout = layout
        self._device = device
        self._inlet, self._network, self._outlet = (device.stream() for _ in range(3))
        self._slots = [_Slot(layout, device, program) for _ in range(depth)]
        self._next = 0
        self._results = PinnedPool(device, layout.size, count=depth + 1)
        self._smoothing: Smoothing | None = None
        self._smoother: Smoother[DevicePicture] | None = None
        self._smoothed = PinnedPool(device, 0, count=0)
        self._steady = self._outlet

    def smooth(
        self,
        smoothing: Smoothing,
        blender: DeviceBlender,
        stream: Any,  # noqa: ANN401
    ) -> None:
        """Have each picture blended with those before it; before the first one is submitted.

        Args:
            smoothing: How long the past lasts.
            blender: For this session's pictures.
            stream: The blender's.
        """
        self._smoothing = smoothing
        self._smoother = Smoother(self.format, smoothing, blender)
        self._steady = stream
        self._smoothed = PinnedPool(self._device, sum(self._layout.sizes), count=self.depth + 1)

    @property
    def flicker(self) -> Flicker | None:
        """See `Session.flicker`."""
        return self._smoother.flicker if self._smoother else None

    def submit(
        self,
        pictures: Sequence[Planes],
        *,
        strength: float = 1.0,
        moments: Sequence[Moment] = (),
    ) -> TensorRtRequest:
        """See `Session.submit`; waits for the oldest request when all are in flight."""
        check_pictures(pictures, self.format, self.batch)
        check_moments(pictures, moments, self._smoothing)
        if not self._slots:
            raise EngineError("tensorrt: the session is closed; open another one")
        self._device.activate()
        slot = self._slots[self._next]
        self._next = (self._next + 1) % self.depth
        if slot.pending is not None:
            slot.pending.finish()
        for index, planes in enumerate(pictures):
            for plane, target in zip(planes, slot.inputs, strict=True):
                pad_into(plane, target[index])
        slot.strength[0] = strength
        computed = self._start(slot)
        if self._smoother is None:
            finish = self._fetched(slot, computed, len(pictures))
        else:
            finish = self._in_order(self._smoother, slot, computed, list(moments))
        request = TensorRtRequest(finish, self.format.plane_shapes)
        slot.pending = request
        return request

    def device_times(self, *, repeats: int) -> DeviceTimes:
        """See `DeviceTimed.device_times`."""
        self._device.activate()
        self._finish_all()
        slot = self._slots[0]
        slot.staged.bytes.fill(128)
        slot.strength[0] = 1.0
        target, _ = self._results.take()
        streams = (self._inlet, self._network, self._outlet)
        times: tuple[list[float], ...] = ([], [], [])
        for number in range(_UNCOUNTED + repeats):
            for stream, found in zip(streams, times, strict=True):
                begin = stream.record()
                if stream is self._inlet:
                    stream.copy(slot.staged, slot.device_inputs)
                elif stream is self._network:
                    stream.launch(slot.launch)
                else:
                    stream.copy(slot.device_outputs, target)
                end = stream.record()
                end.synchronize()
                if number >= _UNCOUNTED:
                    found.append(self._device.elapsed_ms(begin, end))
        copy_in, infer, copy_out = (tuple(found) for found in times)
        return DeviceTimes(copy_in_ms=copy_in, infer_ms=infer, copy_out_ms=copy_out)

    def close(self) -> None:
        """Wait for what is in flight and give the tensors back; results stay valid."""
        if self._slots:
            self._device.activate()
            self._finish_all()
        self._slots = []

    def _finish_all(self) -> None:
        """Wait for what is in flight, the oldest first: smoothing needs them in order."""
        for slot in [*self._slots[self._next :], *self._slots[: self._next]]:
            if slot.pending is not None:
                slot.pending.finish()

    def _start(self, slot: _Slot) -> Event:
        """Copy a slot's pictures in and run the network; return when that is done."""
        self._inlet.copy(slot.staged, slot.device_inputs)
        self._inlet.copy(slot.staged_strength, slot.device_strength)
        self._network.wait(self._inlet.record())
        self._network.launch(slot.launch)
        return self._network.record()

    def _fetched(self, slot: _Slot, computed: Event, count: int) -> Callable[[], list[Planes]]:
        """Copy a slot's results out; return what waits for them."""
        memory, array = self._results.take()
        self._outlet.wait(computed)
        self._outlet.copy(slot.device_outputs, memory)
        done = self._outlet.record()

        def finish() -> list[Planes]:
            done.synchronize()
            planes = self._layout.planes(array)
            return [_of_picture(planes, number) for number in range(count)]

        return finish

    def _in_order(
        self,
        smoother: Smoother[DevicePicture],
        slot: _Slot,
        computed: Event,
        moments: Sequence[Moment],
    ) -> Callable[[], list[Planes]]:
        """Return what smooths a slot's results, one after the other, and copies them out."""
        single = SessionLayout(self.format, self._layout.shapes, 1)

        def finish() -> list[Planes]:
            self._steady.wait(computed)
            pictures = []
            for number, moment in enumerate(moments):
                picture = self._layout.picture(slot.device_outputs, number)
                smooth = smoother.smooth(picture, moment)
                memory, array = self._smoothed.take()
                for plane, target in zip(smooth, single.parts(memory), strict=True):
                    self._steady.copy(plane, target)
                self._steady.record().synchronize()
                pictures.append(_of_picture(single.planes(array), 0))
            return pictures

        return finish


def _of_picture(planes: Sequence[NDArray[Any]], number: int) -> Planes:
    views: list[Plane] = [plane[number] for plane in planes]
    return tuple(views)
