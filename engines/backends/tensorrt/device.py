"""What a session needs of a device; `cuda` is the real one.

Work is put on streams: what one stream is given happens in that order, and streams know of each
other only by events. Nothing here waits except `synchronize`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from engines.engine import DlpackExporter

Shapes = Mapping[str, tuple[int, ...]]
"""The size of each input by name."""


class Memory(Protocol):
    """Bytes on the device, or pinned ones of the host."""

    @property
    def size(self) -> int:
        """How many."""
        ...

    def part(self, begin: int, size: int) -> Memory:
        """Return some of these bytes; they live as long as any part of them."""
        ...


class HostMemory(Memory, Protocol):
    """Pinned memory: what the device copies from and to while the host does something else."""

    @property
    def bytes(self) -> NDArray[np.uint8]:
        """All of it, (size,): an array of its own each time.

        It keeps the memory alive, and lives itself as long as any view of it.
        """
        ...


class Surface(Protocol):
    """A plane of another library's in the device's memory, its rows as far apart as it likes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """In samples: (H, W), or (H, W, 2) where two take turns."""
        ...

    @property
    def size(self) -> int:
        """Bytes, without those between rows."""
        ...


class Event(Protocol):
    """A point in a stream."""

    def synchronize(self) -> None:
        """Wait until everything before it is done."""
        ...


class Launch(Protocol):
    """A program with its tensors' places: one unit of work for a stream."""


class Program(Protocol):
    """A compiled graph for inputs of certain sizes; one launch at a time."""

    def bind(self, tensors: Mapping[str, Memory]) -> Launch:
        """Return a launch that reads and writes these, all inputs and outputs by name.

        Runs it once, so that later ones begin at once.

        Raises:
            EngineError: It failed.
        """
        ...


class Loaded(Protocol):
    """A compiled graph on the device."""

    def inputs_and_outputs(self) -> Mapping[str, str]:
        """Return the element type of each by name: `uint8` or `float32`."""
        ...

    def prepare(self, shapes: Shapes) -> Program:
        """Make a program for inputs of these sizes.

        Raises:
            DeviceMemoryError: They are larger than what it was compiled for, or need more memory
                than there is.
        """
        ...


class Stream(Protocol):
    """A queue of work."""

    def copy(self, source: Memory, target: Memory) -> None:
        """Copy all bytes of `source` to as many of `target`."""
        ...

    def copy_rows(self, source: Surface, target: Memory) -> None:
        """Copy a plane's rows to as many bytes of `target`, one right behind the other."""
        ...

    def launch(self, work: Launch) -> None:
        """Run a program.

        Raises:
            EngineError: It cannot be started.
        """
        ...

    def record(self) -> Event:
        """Return the point that this stream has come to."""
        ...

    def wait(self, event: Event) -> None:
        """Let what follows begin when another stream has come to a point."""
        ...

    def wait_for_default(self) -> None:
        """Let what follows begin when the device's default stream has come to where it is now.

        That is where other libraries work which were told of no stream, FFmpeg's decoders too.
        """
        ...


class Device(Protocol):
    """One GPU."""

    @property
    def name(self) -> str:
        """In words, with its number."""
        ...

    @property
    def kind(self) -> str:
        """What compiled graphs depend on: the model of the device."""
        ...

    def activate(self) -> None:
        """Make it the calling thread's; before anything else in a thread."""
        ...

    def allocate(self, size: int) -> Memory:
        """Return so many bytes of zeros.

        Raises:
            DeviceMemoryError: There are not so many.
        """
        ...

    def pin(self, size: int) -> HostMemory:
        """Return so many bytes of the host.

        Raises:
            DeviceMemoryError: There are not so many that can be pinned.
        """
        ...

    def stream(self) -> Stream:
        """Return a new stream, which no other waits for unasked."""
        ...

    def surface(self, exporter: DlpackExporter) -> Surface:
        """Look at a plane of another library's; whoever calls keeps it, and waits for it.

        Raises:
            EngineError: It is not in this device's memory, or its rows have holes.
        """
        ...

    def load(self, plan: bytes) -> Loaded:
        """Put a compiled graph on the device.

        Raises:
            EngineError: It is refused: made for another device or by another version.
        """
        ...

    def elapsed_ms(self, begin: Event, end: Event) -> float:
        """Return the time between two points that have passed."""
        ...


def size_of(shape: Sequence[int], dtype: type[np.generic]) -> int:
    """Return the bytes of a tensor."""
    return int(np.prod(shape)) * np.dtype(dtype).itemsize
