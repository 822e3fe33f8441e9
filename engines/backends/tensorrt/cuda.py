"""A GPU through NVIDIA's own Python: `cuda.core` for memory and streams, TensorRT's runtime.

Memory, streams, events and graphs were tested on an H200, by the contract that
`tests/engines/slow_device.py` is held to, too; TensorRT itself has not run on a GPU yet.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.backends.nvidia import gpu_names
from engines.backends.tensorrt.cuda_surface import CudaSurface, copy_rows, surface_of
from engines.backends.tensorrt.device import Launch, Memory, Shapes, Surface
from engines.backends.tensorrt.library import type_name
from engines.errors import DeviceMemoryError, EngineError

try:
    import cuda.core as cuda
except ImportError as error:
    raise EngineError(
        f"the tensorrt back end cannot import cuda.core ({error}): pip install 'demoire[trt-rtx]'"
        " for a GeForce RTX, 'demoire[tensorrt]' for other NVIDIA GPUs"
    ) from error

if TYPE_CHECKING:
    from engines.backends.tensorrt.library import Library
    from engines.engine import DlpackExporter

_log = logging.getLogger(__name__)

_NO_MEMORY = "OUT_OF_MEMORY"

# A thread that waits sleeps: decoder and encoder need the cores.
_EVENTS = cuda.EventOptions(timing_enabled=True, blocking_sync=True)


@dataclass(frozen=True)
class CudaMemory:
    """Bytes somewhere: implements `Memory`, and `HostMemory` where the host has them."""

    buffer: Any
    """A `cuda.core.Buffer`."""
    size: int

    @property
    def address(self) -> int:
        """Where it begins."""
        return int(self.buffer.handle)

    def part(self, begin: int, size: int) -> CudaMemory:
        """See `Memory.part`."""
        view = cuda.Buffer.from_handle(self.address + begin, size, owner=self.buffer)
        return CudaMemory(view, size)

    @property
    def bytes(self) -> NDArray[np.uint8]:
        """See `HostMemory.bytes`."""
        raw: Any = (ctypes.c_uint8 * self.size).from_address(self.address)
        raw.owner = self.buffer
        return np.frombuffer(raw, np.uint8)


class CudaEvent:
    """Implements `Event`."""

    def __init__(self, event: Any) -> None:  # noqa: ANN401
        self.event = event

    def synchronize(self) -> None:
        """See `Event.synchronize`."""
        try:
            self.event.sync()
        except Exception as error:  # cuda.core's own class is private
            raise EngineError(f"tensorrt: the GPU failed: {error}") from error


class CudaStream:
    """Implements `Stream`."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401
        self.stream = stream

    def copy(self, source: Memory, target: Memory) -> None:
        """See `Stream.copy`."""
        assert isinstance(source, CudaMemory)
        assert isinstance(target, CudaMemory)
        assert source.size == target.size
        source.buffer.copy_to(target.buffer, stream=self.stream)

    def copy_rows(self, source: Surface, target: Memory) -> None:
        """See `Stream.copy_rows`."""
        assert isinstance(source, CudaSurface)
        assert isinstance(target, CudaMemory)
        assert source.size == target.size
        copy_rows(source, target.address, int(self.stream.handle))

    def launch(self, work: Launch) -> None:
        """See `Stream.launch`."""
        assert isinstance(work, CudaLaunch)
        work.run(self)

    def record(self) -> CudaEvent:
        """See `Stream.record`."""
        return CudaEvent(self.stream.record(options=_EVENTS))

    def wait(self, event: Any) -> None:  # noqa: ANN401
        """See `Stream.wait`."""
        self.stream.wait(event.event)

    def wait_for_default(self) -> None:
        """See `Stream.wait_for_default`; streams that do not block take no notice of it unasked."""
        self.stream.wait(cuda.LEGACY_DEFAULT_STREAM)


class CudaLaunch:
    """A program's work with its places: a CUDA graph where one can be captured.

    Args:
        context: TensorRT's, with input sizes and scratch memory set.
        tensors: All inputs and outputs.
        name: For messages.
    """

    def __init__(self, context: Any, tensors: Mapping[str, Memory], name: str) -> None:  # noqa: ANN401
        self._context = context
        self._tensors = tensors
        self._name = name
        self._graph: Any = None

    def run(self, stream: CudaStream) -> None:
        """Put it on a stream."""
        if self._graph is None:
            self._enqueue(stream.stream)
            return
        try:
            self._graph.launch(stream.stream)
        except Exception as error:  # cuda.core's own class is private
            raise EngineError(f"tensorrt: {self._name} failed to start: {error}") from error

    def capture(self, stream: CudaStream) -> None:
        """Run it once, which chooses and loads kernels, and keep what that does as a graph."""
        self._enqueue(stream.stream)
        stream.record().synchronize()
        capturable = getattr(self._context, "is_stream_capturable", None)
        if capturable is not None and not capturable(int(stream.stream.handle)):
            _log.info("tensorrt: %s cannot be captured as a CUDA graph; it is enqueued", self._name)
            return
        self._graph = self._captured(stream.stream.create_graph_builder())

    def _captured(self, builder: Any) -> Any:  # noqa: ANN401
        try:
            builder.begin_building("thread_local")
            self._enqueue(builder.stream)
            return builder.end_building().complete()
        except EngineError:
            raise
        except Exception as error:  # of several classes: also where the work broke the capture off
            raise EngineError(
                f"tensorrt: {self._name} cannot be captured as a CUDA graph: {error}"
            ) from error
        finally:
            # A capture that failed must end too, or this thread may not so much as allocate; the
            # driver then says once more what is known by now.
            with suppress(Exception):
                builder.close()

    def _enqueue(self, stream: Any) -> None:  # noqa: ANN401
        # Others use the context with places of their own.
        for name, memory in self._tensors.items():
            assert isinstance(memory, CudaMemory)
            self._context.set_tensor_address(name, memory.address)
        if not self._context.execute_async_v3(int(stream.handle)):
            raise EngineError(f"tensorrt: {self._name} failed to start")


class CudaProgram:
    """Implements `Program`: one execution context."""

    def __init__(self, context: Any, scratch: Memory, device: CudaDevice, name: str) -> None:  # noqa: ANN401
        self._context = context
        self._scratch = scratch  # only its address is TensorRT's
        self._device = device
        self._name = name

    def bind(self, tensors: Mapping[str, Memory]) -> CudaLaunch:
        """See `Program.bind`."""
        launch = CudaLaunch(self._context, tensors, self._name)
        launch.capture(self._device.stream())
        return launch


class CudaLoaded:
    """Implements `Loaded`: one deserialized engine."""

    def __init__(self, engine: Any, trt: Any, device: CudaDevice) -> None:  # noqa: ANN401
        self._engine = engine
        self._trt = trt
        self._device = device

    def inputs_and_outputs(self) -> dict[str, str]:
        """See `Loaded.inputs_and_outputs`."""
        return {name: type_name(self._engine.get_tensor_dtype(name)) for name in self._names()}

    def prepare(self, shapes: Shapes) -> CudaProgram:
        """See `Loaded.prepare`; only as much scratch memory as these sizes need."""
        profile = self._profile_for(shapes)
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._engine.create_execution_context(strategy)
        if context is None:
            raise DeviceMemoryError(f"{self._device.name}: no memory for another context")
        stream = self._device.stream()
        context.set_optimization_profile_async(profile, int(stream.stream.handle))
        stream.record().synchronize()
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise EngineError(f"tensorrt: refuses {name} of {shape}")
        size = max(1, context.update_device_memory_size_for_shapes())
        scratch = self._device.allocate(size)
        context.set_device_memory(scratch.address, size)
        return CudaProgram(context, scratch, self._device, self._engine.name)

    def _names(self) -> list[str]:
        return [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]

    def _profile_for(self, shapes: Shapes) -> int:
        """Return the first profile that these sizes lie in: they are ordered by size."""
        free = {n: shape for n, shape in shapes.items() if -1 in self._engine.get_tensor_shape(n)}
        for profile in range(max(1, self._engine.num_optimization_profiles)):
            ranges = (
                (self._engine.get_tensor_profile_shape(name, profile), shape)
                for name, shape in free.items()
            )
            if all(_within(shape, least, most) for (least, _, most), shape in ranges):
                return profile
        raise DeviceMemoryError(f"tensorrt: the engine is not made for sizes like {dict(shapes)}")


class CudaDevice:
    """Implements `Device`.

    Args:
        index: The GPU's number.
        library: The TensorRT that runs there.

    Raises:
        EngineError: There is no driver or no such GPU.
    """

    def __init__(self, index: int, library: Library) -> None:
        self._trt = library.trt
        self._library = library
        self._index = index
        try:
            gpu_names()  # says better than what follows that there is no driver
            self._device = cuda.Device(index)
            self._device.set_current()
            capability = self._device.compute_capability
            self.name = f"cuda:{index}: {self._device.name}"
        except EngineError as error:
            raise EngineError(f"tensorrt: cuda:{index} cannot be used: {error}") from error
        except Exception as error:  # no such GPU, no right to it: a class each, none of them public
            raise EngineError(
                f"tensorrt: cuda:{index} cannot be used: {' '.join(str(error).split())}"
            ) from error
        self.kind = f"{self._device.name}, compute capability {capability[0]}.{capability[1]}"
        self._setup = self.stream()
        self._pinned = cuda.LegacyPinnedMemoryResource()
        self._runtime = self._trt.Runtime(library.logger)

    def activate(self) -> None:
        """See `Device.activate`."""
        self._device.set_current()

    def allocate(self, size: int) -> CudaMemory:
        """See `Device.allocate`."""
        try:
            buffer = self._device.allocate(size, stream=self._setup.stream)
            buffer.fill(0, stream=self._setup.stream)
            self._setup.stream.sync()
        except Exception as error:
            raise self._fault(error, f"{size} bytes") from error
        return CudaMemory(buffer, size)

    def pin(self, size: int) -> CudaMemory:
        """See `Device.pin`."""
        try:
            return CudaMemory(self._pinned.allocate(size), size)
        except Exception as error:
            raise self._fault(error, f"{size} pinned bytes of the host") from error

    def stream(self) -> CudaStream:
        """See `Device.stream`."""
        return CudaStream(self._device.create_stream(options=cuda.StreamOptions(nonblocking=True)))

    def surface(self, exporter: DlpackExporter) -> CudaSurface:
        """See `Device.surface`."""
        return surface_of(exporter, self._index)

    def load(self, plan: bytes) -> CudaLoaded:
        """See `Device.load`."""
        self._library.logger.last = ""
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(
                f"{self._library.name} refuses the engine on {self.name}:"
                f" {self._library.logger.last or 'no reason given'}"
            )
        return CudaLoaded(engine, self._trt, self)

    def elapsed_ms(self, begin: Any, end: Any) -> float:  # noqa: ANN401
        """See `Device.elapsed_ms`."""
        return float(end.event - begin.event)

    def _fault(self, error: Exception, what: str) -> EngineError:
        said = f"{self.name}: {what} cannot be had: {error}"
        return DeviceMemoryError(said) if _NO_MEMORY in str(error) else EngineError(said)


def _within(shape: tuple[int, ...], least: tuple[int, ...], most: tuple[int, ...]) -> bool:
    return all(low <= side <= high for low, side, high in zip(least, shape, most, strict=True))
