"""Pictures in flight on one device.

Three streams: pictures are brought in on one while the network runs on another and results are
copied out on a third; smoothing has one of its own, because the host decides in the middle of it.
Each slot has its own tensors, so that the next picture never waits for the one before to leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from engines.backends.padding import pad_into
from engines.backends.tensorrt.blender import DeviceBlender, DevicePlanes
from engines.backends.tensorrt.device import Device, Event, Program
from engines.backends.tensorrt.inlet import SurfaceInlet
from engines.backends.tensorrt.layout import PinnedPool, SessionLayout
from engines.backends.tensorrt.slots import Slot, TensorRtRequest
from engines.device_picture import check_device_pictures
from engines.engine import (
    DevicePicture,
    DeviceTimes,
    Flicker,
    Moment,
    Plane,
    Planes,
    Smoothing,
    check_moments,
    check_pictures,
)
from engines.errors import EngineError
from engines.smooth.smoother import Smoother

if TYPE_CHECKING:
    from engines.backends.tensorrt.surfaces import SurfaceGraph

_UNCOUNTED = 5
"""Pictures before those that are timed."""


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
        self._slots = [Slot(layout, device, program) for _ in range(depth)]
        self._next = 0
        self._results = PinnedPool(device, layout.size, count=depth + 1)
        self._smoothing: Smoothing | None = None
        self._smoother: Smoother[DevicePlanes] | None = None
        self._smoothed = PinnedPool(device, 0, count=0)
        self._steady = self._outlet
        self._open_surfaces: Callable[[], SurfaceInlet] | None = None
        self._surfaces: SurfaceInlet | None = None

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

    def take_surfaces(self, graph: SurfaceGraph, program: Callable[[], Program]) -> None:
        """Have pictures taken from the device's memory, too.

        Args:
            graph: For this session's pictures.
            program: Gives its compiled graph, once the first such picture is there.
        """

        def opened() -> SurfaceInlet:
            return SurfaceInlet(
                graph,
                program(),
                self._layout,
                device=self._device,
                stream=self._inlet,
                inputs=[slot.device_inputs for slot in self._slots],
            )

        self._open_surfaces = opened

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
        slot = self._slots[self._freed()]
        for index, planes in enumerate(pictures):
            for plane, target in zip(planes, slot.inputs, strict=True):
                pad_into(plane, target[index])
        self._inlet.copy(slot.staged, slot.device_inputs)
        return self._started(slot, len(pictures), strength=strength, moments=moments)

    def submit_device(
        self,
        pictures: Sequence[DevicePicture],
        *,
        strength: float = 1.0,
        moments: Sequence[Moment] = (),
    ) -> TensorRtRequest:
        """See `TakesDevicePictures.submit_device`; the first call may build an engine."""
        check_device_pictures(pictures, self.format, self.batch)
        check_moments(pictures, moments, self._smoothing)
        number = self._freed()
        self._surface_inlet().fill(number, pictures)
        return self._started(
            self._slots[number], len(pictures), strength=strength, moments=moments, held=pictures
        )

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
        self._slots, self._surfaces = [], None

    def _finish_all(self) -> None:
        """Wait for what is in flight, the oldest first: smoothing needs them in order."""
        for slot in [*self._slots[self._next :], *self._slots[: self._next]]:
            if slot.pending is not None:
                slot.pending.finish()

    def _freed(self) -> int:
        """Return the number of the next slot, which nothing uses any more."""
        if not self._slots:
            raise EngineError("tensorrt: the session is closed; open another one")
        self._device.activate()
        number = self._next
        self._next = (self._next + 1) % self.depth
        pending = self._slots[number].pending
        if pending is not None:
            pending.finish()
        return number

    def _surface_inlet(self) -> SurfaceInlet:
        if self._surfaces is None:
            if self._open_surfaces is None:
                raise EngineError(f"tensorrt: pictures of {self.format} come from the host only")
            # Each slot's inputs are written to while what fills them is prepared.
            self._finish_all()
            self._surfaces = self._open_surfaces()
        return self._surfaces

    def _started(
        self,
        slot: Slot,
        count: int,
        *,
        strength: float,
        moments: Sequence[Moment],
        held: Sequence[DevicePicture] = (),
    ) -> TensorRtRequest:
        """Compute what the inlet brings into a slot."""
        slot.strength[0] = strength
        self._inlet.copy(slot.staged_strength, slot.device_strength)
        self._network.wait(self._inlet.record())
        self._network.launch(slot.launch)
        computed = self._network.record()
        if self._smoother is None:
            finish = self._fetched(slot, computed, count)
        else:
            finish = self._in_order(self._smoother, slot, computed, list(moments))
        request = TensorRtRequest(finish, self.format.plane_shapes, list(held))
        slot.pending = request
        return request

    def _fetched(self, slot: Slot, computed: Event, count: int) -> Callable[[], list[Planes]]:
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
        smoother: Smoother[DevicePlanes],
        slot: Slot,
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
