"""The blender of planes on a device: small copies go to the host, whole planes stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.backends.tensorrt.device import Device, HostMemory, Launch, Memory, Program, size_of
from engines.backends.tensorrt.network import cleaned_name, plane_names
from engines.backends.tensorrt.smoothing import (
    ERROR,
    THUMBNAIL,
    TONES,
    Part,
    SmoothingGraphs,
    Step,
    named,
)
from engines.smooth.drift import Tone
from engines.smooth.layout import row_gains, subsampling
from engines.smooth.motion import Homography, Thumbnail, at_scale
from engines.smooth.trust import Blocks

if TYPE_CHECKING:
    from engines.backends.tensorrt.device import Stream
    from engines.smooth.smoother import Rows

DevicePlanes = tuple[Memory, ...]
"""Planes on the device, padded."""

Programs = Callable[[Step], Program]
"""Gives the compiled graph of a step."""


class DeviceBlender:
    """Implements `Blender` for planes on a device.

    Pictures are copied to places of its own, so that each step is bound once; what it returns is
    one of these, and the caller waits for that before it gives the next picture.

    Args:
        graphs: Format and sizes.
        programs: Their compiled graphs.
        device: Where they run.
        stream: Its own; what comes before is waited for by whoever calls.
        relights: Whether `relit` is ever called.
    """

    def __init__(
        self,
        graphs: SmoothingGraphs,
        programs: Programs,
        *,
        device: Device,
        stream: Stream,
        relights: bool,
    ) -> None:
        self._format = graphs.picture_format
        self._stream = stream
        self._names = plane_names(self._format)
        self._heights = [shape[0] for shape in graphs.shapes]
        self._scales = [subsampling(self._format, plane) for plane in range(len(self._names))]
        self._codes = 1 << (self._format.bits - 8)  # per 8-bit level
        self._tensors = _Tensors(graphs, device)
        # Each step runs once when it is bound: a homography of zeros would leave no numbers in what
        # the first picture is blended with, however little of it counts.
        for name in self._names:
            self._give(named(name, "matrix"), np.eye(3).reshape(9))
        self._stream.record().synchronize()
        steps: list[Step] = ["look", "move", "compare", "blend"]
        steps += ["relight"] if relights else []
        self._launches: dict[Step, Launch] = {
            step: programs(step).bind(self._tensors.of(step)) for step in steps
        }

    def look(self, picture: DevicePlanes) -> tuple[Thumbnail, list[Blocks]]:
        """See `Blender.look`."""
        self._take(picture)
        self._stream.launch(self._launches["look"])
        luma, *means = self._fetch(THUMBNAIL, *(named(name, "means") for name in self._names))
        return luma[0, 0], means

    def relit(self, picture: DevicePlanes, gains: Rows) -> DevicePlanes:
        """See `Blender.relit`."""
        for name, height in zip(self._names, self._heights, strict=True):
            self._give(named(name, "gain"), row_gains(gains, height)[:, None])
        self._take(picture)
        self._stream.launch(self._launches["relight"])
        return self._result

    def compare(
        self, homography: Homography | None, tones: Sequence[Tone]
    ) -> tuple[Blocks, list[Blocks]]:
        """See `Blender.compare`."""
        memory = self._tensors.memory
        if homography is None:
            for name in self._names:
                self._stream.copy(memory(named(name, "past")), memory(named(name, "moved")))
        else:
            for name, scale in zip(self._names, self._scales, strict=True):
                self._give(named(name, "matrix"), at_scale(homography, *scale).reshape(9))
            self._stream.launch(self._launches["move"])
        self._give(TONES, np.array([(tone.gain, tone.offset) for tone in tones]))
        self._stream.launch(self._launches["compare"])
        error, *offsets = self._fetch(ERROR, *(named(name, "offset") for name in self._names))
        return error, offsets

    def blend(
        self, picture: DevicePlanes, shares: Sequence[Blocks], tones: Sequence[Tone]
    ) -> DevicePlanes:
        """See `Blender.blend`; the picture is the last one looked at, which is here already."""
        self._give(TONES, np.array([(tone.gain, tone.offset * self._codes) for tone in tones]))
        for name, share in zip(self._names, shares, strict=True):
            self._give(named(name, "share"), share)
        self._stream.launch(self._launches["blend"])
        return self._result

    @property
    def _result(self) -> DevicePlanes:
        return tuple(self._tensors.memory(cleaned_name(name)) for name in self._names)

    def _take(self, picture: DevicePlanes) -> None:
        """Copy a picture to where the graphs read it."""
        for name, plane in zip(self._names, picture, strict=True):
            target = self._tensors.memory(name)
            if plane is not target:
                self._stream.copy(plane, target)

    def _give(self, name: str, values: NDArray[Any]) -> None:
        """Copy small values to the device; what was given before has been waited for."""
        staged, array = self._tensors.staged(name)
        array[...] = values
        self._stream.copy(staged, self._tensors.memory(name))

    def _fetch(self, *names: str) -> list[NDArray[Any]]:
        """Wait for small results and return copies of them."""
        arrays = []
        for name in names:
            staged, array = self._tensors.staged(name)
            self._stream.copy(self._tensors.memory(name), staged)
            arrays.append(array)
        self._stream.record().synchronize()
        return [array.copy() for array in arrays]


class _Tensors:
    """All that the steps read and write, each under its name, once.

    Args:
        graphs: Format and sizes.
        device: Where it is.
    """

    def __init__(self, graphs: SmoothingGraphs, device: Device) -> None:
        self._device = device
        self._names = plane_names(graphs.picture_format)
        self._sizes = _sizes(graphs)
        self._memories = {
            name: device.allocate(size_of(shape, dtype))
            for name, (shape, dtype) in self._sizes.items()
        }
        self._staged: dict[str, tuple[HostMemory, NDArray[Any]]] = {}

    def memory(self, name: str) -> Memory:
        """Return where a tensor is."""
        return self._memories[name]

    def staged(self, name: str) -> tuple[HostMemory, NDArray[Any]]:
        """Return the host's side of a small tensor."""
        if name not in self._staged:
            shape, dtype = self._sizes[name]
            memory = self._device.pin(size_of(shape, dtype))
            self._staged[name] = memory, memory.bytes.view(dtype).reshape(shape)
        return self._staged[name]

    def of(self, step: Step) -> dict[str, Memory]:
        """Return what a step reads and writes."""
        parts: dict[Step, tuple[Part, ...]] = {
            "look": ("half", "means"),
            "move": ("past", "matrix", "moved"),
            "compare": ("half", "moved", "offset"),
            "blend": ("moved", "share", "past"),
            "relight": ("gain",),
        }
        names = [named(name, part) for part in parts[step] for name in self._names]
        names += self._names if step in ("look", "blend", "relight") else ()
        names += map(cleaned_name, self._names if step in ("blend", "relight") else ())
        names += {"look": [THUMBNAIL], "compare": [TONES, ERROR], "blend": [TONES]}.get(step, [])
        return {name: self._memories[name] for name in names}


def _sizes(graphs: SmoothingGraphs) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
    """Return shape and type of every tensor."""
    form, blocks, real = graphs.picture_format, graphs.blocks, np.float32
    names = plane_names(form)
    sizes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        TONES: ((len(names), 2), real),
        ERROR: (blocks, real),
    }
    for index, (name, (height, width)) in enumerate(zip(names, graphs.shapes, strict=True)):
        half, whole = (1, 1, height // 2, width // 2), (1, 1, height, width)
        if index == 0:
            sizes[THUMBNAIL] = half, np.uint8
        stored: tuple[tuple[int, ...], type[np.generic]]
        stored = (whole, np.uint8) if form.bits == 8 else ((*whole, 2), np.uint8)
        sizes |= {
            name: stored,
            cleaned_name(name): stored,
            named(name, "half"): (half, real),
            named(name, "past"): (whole, real),
            named(name, "moved"): (whole, real),
            named(name, "matrix"): ((9,), real),
            named(name, "gain"): ((height, 1), real),
        }
        of_blocks: tuple[Part, ...] = ("means", "offset", "share")
        sizes |= {named(name, part): (blocks, real) for part in of_blocks}
    return sizes
