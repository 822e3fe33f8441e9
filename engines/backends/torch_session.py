"""Sessions of the back ends that are made of torch: several requests over the same buffers.

A request is copied in, computed and copied out in lanes of its device (`torch_lanes`). The graph
reads from one block of memory and writes to another, which stay where they are, so that a CUDA
graph can hold their addresses; each slot has blocks of its own around them, so that the next
request is copied while this one is computed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from engines.backends.padding import pad_into
from engines.backends.torch_buffers import PlaneBlock, ResultPool
from engines.backends.torch_device_input import DeviceInput
from engines.backends.torch_lanes import Lanes, Mark
from engines.backends.torch_program import Work
from engines.backends.torch_request import Slot, TorchRequest
from engines.device_picture import check_device_pictures
from engines.engine import (
    DevicePicture,
    Flicker,
    Moment,
    Plane,
    Planes,
    Smoothing,
    check_moments,
    check_pictures,
)
from engines.errors import EngineError
from engines.smooth.reference import Keep, TorchBlender, as_it_is
from engines.smooth.smoother import Smoother


class TorchSession:
    """One picture format through one program.

    Args:
        work: What it does.
        lanes: Where; of its own.
        depth: Requests in flight.
        smoothing: See `Engine.open`.
        keep: For the parts of smoothing, see `TorchBlender`; called in the lane `smooth`.
    """

    def __init__(
        self,
        work: Work,
        lanes: Lanes,
        *,
        depth: int,
        smoothing: Smoothing | None,
        keep: Keep = as_it_is,
    ) -> None:
        self.format = work.format
        self.batch = work.batch
        self.depth = depth
        self._work = work
        self._lanes = lanes
        self._smoothing = smoothing
        self._smoother: Smoother[tuple[Tensor, ...]] | None = None
        if smoothing is not None:
            self._smoother = self._new_smoother(smoothing, keep)
        self._slots = [Slot(work, lanes) for _ in range(depth)]
        self._next = 0
        self._results = self._result_pool()
        self._device_input: DeviceInput | None = None
        # Who forgets to close frees buffers that a device may still be writing to.
        weakref.finalize(self, lanes.finish).atexit = False

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
    ) -> TorchRequest:
        """See `Session.submit`; waits for the oldest request when all are in flight."""
        check_pictures(pictures, self.format, self.batch)
        check_moments(pictures, moments, self._smoothing)
        slot = self._freed()
        for index, planes in enumerate(pictures):
            for plane, padded in zip(planes, slot.planes, strict=True):
                pad_into(plane, padded[index, 0])
        return self._started(
            slot, lambda: self._load(slot), len(pictures), strength=strength, moments=moments
        )

    def _submit_device(
        self,
        pictures: Sequence[DevicePicture],
        *,
        strength: float = 1.0,
        moments: Sequence[Moment] = (),
    ) -> TorchRequest:
        """See `TakesDevicePictures.submit_device`, of sessions on a device that has such."""
        check_device_pictures(pictures, self.format, self.batch)
        check_moments(pictures, moments, self._smoothing)
        slot = self._freed()
        if self._device_input is None:
            work, device = self._work, self._lanes.device
            self._device_input = DeviceInput(work.format, work.shapes, device, backend=work.backend)
        source = self._device_input
        parts = [source.look(picture) for picture in pictures]

        def load() -> Mark:
            return self._lanes.queue("in", lambda: source.fill(slot.source, parts))

        return self._started(
            slot, load, len(pictures), strength=strength, moments=moments, held=list(pictures)
        )

    def close(self) -> None:
        """Wait for what is in flight and give the buffers back; results stay valid."""
        for slot in self._slots:
            if slot.pending is not None:
                slot.pending.finish()
        self._lanes.finish()
        self._slots = []

    def _freed(self) -> Slot:
        """Return the next slot, which nothing uses any more."""
        if not self._slots:
            raise EngineError(f"{self._work.backend}: the session is closed; open another one")
        slot = self._slots[self._next]
        self._next = (self._next + 1) % self.depth
        if slot.pending is not None:
            slot.pending.finish()
        return slot

    def _started(
        self,
        slot: Slot,
        load: Callable[[], Mark],
        count: int,
        *,
        strength: float,
        moments: Sequence[Moment],
        held: Sequence[DevicePicture] = (),
    ) -> TorchRequest:
        """Compute what `load` brings into a slot."""
        try:
            computed = self._compute(slot, strength, after=load())

            def send() -> tuple[list[Plane], Mark]:
                if self._smoother is not None:
                    return self._smooth_out(slot, self._smoother, moments, after=computed)
                return self._copy_out(slot, after=computed)

            request = TorchRequest(
                slot,
                send,
                shapes=self.format.plane_shapes,
                count=count,
                backend=self._work.backend,
                held=held,
            )
            if self._smoother is None:
                request.send()
        except RuntimeError as error:
            raise EngineError(
                f"{self._work.backend}: {self.format} failed on {self._lanes.device}: {error}"
            ) from error
        slot.pending = request
        return request

    def _load(self, slot: Slot) -> Mark:
        return self._lanes.queue("in", lambda: self._lanes.copy(slot.source.flat, slot.host.flat))

    def _compute(self, slot: Slot, strength: float, *, after: Mark | None = None) -> Mark:
        program, run, copy = self._work.program, self._work.run, self._lanes.copy

        def compute() -> None:
            program.strength.fill_(strength)
            copy(program.source.flat, slot.source.flat)
            run()
            copy(slot.target.flat, program.target.flat)

        return self._lanes.queue("compute", compute, after=after)

    def _copy_out(self, slot: Slot, *, after: Mark | None = None) -> tuple[list[Plane], Mark]:
        block, planes = self._results.take()
        return planes, self._lanes.queue(
            "out", lambda: self._lanes.copy(block.flat, slot.target.flat), after=after
        )

    def _smooth_out(
        self,
        slot: Slot,
        smoother: Smoother[tuple[Tensor, ...]],
        moments: Sequence[Moment],
        *,
        after: Mark,
    ) -> tuple[list[Plane], Mark]:
        """Smooth one picture after the other where they are, and copy each out.

        In a lane of its own: the small copies on which smoothing decides wait for this request
        only, while the next one is computed. What smoothing allocates is freed in that lane as
        well, so its results are copied out there.
        """
        block, planes = self._results.take()

        def smooth() -> None:
            with torch.no_grad():
                for i, moment in enumerate(moments):
                    picture = tuple(plane[i : i + 1] for plane in slot.target.planes)
                    for target, result in zip(
                        block.planes, smoother.smooth(picture, moment), strict=True
                    ):
                        self._lanes.copy(target[i : i + 1], result)

        return planes, self._lanes.queue("smooth", smooth, after=after)

    def _new_smoother(self, smoothing: Smoothing, keep: Keep) -> Smoother[tuple[Tensor, ...]]:
        work, made = self._work, list[TorchBlender]()

        def make() -> None:
            with torch.no_grad():
                blender = TorchBlender(work.format, work.shapes, self._lanes.device, keep=keep)
                if smoothing.deband:
                    # What it takes is then among what torch keeps for this lane.
                    picture = tuple(plane[:1] for plane in work.program.target.planes)
                    blender.relit(picture, np.ones(work.shapes[0][0] // 2, np.float32))
                made.append(blender)

        # In its lane, since a stream's memory goes back to that stream.
        self._lanes.queue("smooth", make).synchronize()
        return Smoother(work.format, smoothing, made[0])

    def _result_pool(self) -> ResultPool:
        shapes, batch = self._work.shapes, self._work.batch
        dtype = self._work.program.source.flat.dtype
        return ResultPool(
            lambda: self._lanes.host_block(shapes, batch, dtype=dtype),
            lambda: PlaneBlock(shapes, batch, dtype=dtype),
            in_flight=self.depth,
        )
