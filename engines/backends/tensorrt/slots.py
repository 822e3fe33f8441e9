"""The places of requests in flight, and what callers hold of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from engines.backends.tensorrt.network import STRENGTH, cleaned_name, plane_names
from engines.errors import EngineError

if TYPE_CHECKING:
    from engines.backends.tensorrt.device import Device, Launch, Program
    from engines.backends.tensorrt.layout import SessionLayout
    from engines.engine import DevicePicture, Planes


class Slot:
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
        held: Pictures that the device may be reading from until then.
    """

    def __init__(
        self,
        finish: Callable[[], list[Planes]],
        shapes: Sequence[tuple[int, int]],
        held: Sequence[DevicePicture],
    ) -> None:
        self._finish: Callable[[], list[Planes]] | None = finish
        self._shapes = shapes
        self._held = held
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
        finally:
            self._held = ()
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
