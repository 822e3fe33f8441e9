"""The default on CPUs: the shipped ONNX file, compiled by OpenVINO for one picture size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engines.backends.options import parse_options
from engines.backends.padding import padded_shapes
from engines.engine import (
    EngineInfo,
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
from engines.models import model_path
from engines.view import MULTIPLE_KEY

try:
    from engines.backends.openvino_edges import Edges, edges_of
    from engines.backends.openvino_int8 import (
        Precision,
        choose,
        count_products,
        multiply_bytes,
        products,
        read_ranges,
    )
    from engines.backends.openvino_quiet import core, ov
    from engines.smooth.host import HostBlender
    from engines.smooth.smoother import Smoother
except ImportError as error:
    raise EngineError(f"OpenVINO cannot be imported ({error}): pip install openvino") from error

# A folder of photos can have hundreds of sizes; each compiled one holds a copy of the weights.
_KEPT_GRAPHS = 4

_Key = tuple[str, int, int, tuple[tuple[int, int], ...]]  # layout, bits, batch, padded shapes


class OpenVinoOptions(BaseModel):
    """`engine.options` of the OpenVINO back end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Precision = "auto"
    """`int8` is that for convolutions of several samples a side, and floating point for the rest.
    `auto` is bf16 where the CPU computes in it, else int8 where its products of bytes are exact
    (VNNI) and the model says how far its values reach, else what OpenVINO prefers. With bf16, what
    reads bytes multiplies them by int8. `f32` is f32 alone."""
    threads: int = Field(default=0, ge=0)
    """Threads of all inferences; 0 is one per physical core."""
    requests: int = Field(default=3, ge=1, le=8)
    """Requests in flight: while one is copied in or out, the others are computed, each with its
    share of the threads. Threads that work on one picture wait for each other at every layer."""
    batch: int = Field(default=1, ge=1, le=16)
    """Pictures per request; more than one only costs memory on a CPU."""
    cache_dir: Path | None = None
    """Folder for compiled models. Off: it saves 0.06 s of a 0.11 s compilation, and costs a file
    of 3 MB for every picture size."""


class _Slot:
    """One infer request with its own input tensors, used again and again."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self.infer = compiled.create_infer_request()
        *planes, strength = (tensor.data for tensor in self.infer.input_tensors)
        self.inputs: list[NDArray[np.uint8] | NDArray[np.uint16]] = planes  # as `Edges.write` has
        self.strength: NDArray[np.float32] = strength
        self.pending: OpenVinoRequest | None = None


class OpenVinoRequest:
    """Pictures on their way through OpenVINO.

    Args:
        slot: Where they are computed.
        count: Pictures in it.
        finished: Makes the results of one picture, by its number, once all are computed.
    """

    def __init__(self, slot: _Slot, count: int, finished: Callable[[int], Planes]) -> None:
        self._slot: _Slot | None = slot
        self._count = count
        self._finished = finished
        self._pictures: list[Planes] | None = None
        self._error: EngineError | None = None

    def finish(self) -> None:
        """Wait until the slot is free again; keeps an error for `result`."""
        slot, self._slot = self._slot, None
        if slot is None:
            return
        slot.pending = None
        try:
            slot.infer.wait()
        except RuntimeError as error:
            self._error = EngineError(f"openvino: inference failed: {error}")

    def result(self) -> list[Planes]:
        """See `Request.result`."""
        self.finish()
        if self._error is not None:
            raise self._error
        if self._pictures is None:
            self._pictures = [self._finished(number) for number in range(self._count)]
        return self._pictures


class OpenVinoSession:
    """One picture format on one compiled graph."""

    def __init__(
        self,
        compiled: ov.CompiledModel,
        picture_format: PictureFormat,
        shapes: tuple[tuple[int, int], ...],
        depth: int,
        smoothing: Smoothing | None,
    ) -> None:
        self.format = picture_format
        self._edges: Edges = edges_of(picture_format, shapes)
        self.batch: int = compiled.inputs[0].shape[0]
        self.depth = depth
        self._smoothing = smoothing
        self._smoother: Smoother[Planes] | None = None
        if smoothing is not None:
            self._smoother = Smoother(
                picture_format, smoothing, HostBlender(picture_format, shapes)
            )
        self._slots = [_Slot(compiled) for _ in range(depth)]
        self._next = 0

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
    ) -> OpenVinoRequest:
        """See `Session.submit`; waits for the oldest request when all are in flight."""
        check_pictures(pictures, self.format, self.batch)
        check_moments(pictures, moments, self._smoothing)
        if not self._slots:
            raise EngineError("openvino: the session is closed; open another one")
        slot = self._slots[self._next]
        self._next = (self._next + 1) % self.depth
        if slot.pending is not None:
            slot.pending.finish()
        for index, planes in enumerate(pictures):
            self._edges.write(planes, slot.inputs, index)
        slot.strength[0] = strength
        outputs = self._fresh_outputs(slot)

        def finished(number: int) -> Planes:
            planes = self._edges.read(outputs, number)
            if self._smoother is not None:
                planes = self._smoother.smooth(planes, moments[number])
            shapes = zip(planes, self.format.plane_shapes, strict=True)
            return tuple(plane[:rows, :columns] for plane, (rows, columns) in shapes)

        request = OpenVinoRequest(slot, len(pictures), finished)
        slot.pending = request
        slot.infer.start_async()
        return request

    def _fresh_outputs(self, slot: _Slot) -> list[Plane]:
        """Give the request new output tensors and return them.

        Results belong to the caller. New arrays need no bookkeeping and cost nothing over a pool
        (0.16 ms a frame either way, filling included): malloc hands the last freed ones out again.
        """
        outputs: list[Plane] = []
        for index, tensor in enumerate(slot.inputs):
            fresh = np.empty(tensor.shape, tensor.dtype)
            slot.infer.set_output_tensor(index, ov.Tensor(fresh, shared_memory=True))
            outputs.append(fresh)
        return outputs

    def close(self) -> None:
        """Wait for what is in flight and give the tensors back; results stay valid."""
        for slot in self._slots:
            if slot.pending is not None:
                slot.pending.finish()
        self._slots = []


class OpenVinoEngine:
    """The exported network on the CPU, in what the CPU is fastest at."""

    overlaps: ClassVar[bool] = True
    """Whether an option `requests` says how many are in flight."""

    def __init__(self, *, model: str = "nano", **options: object) -> None:
        self.options = parse_options(OpenVinoOptions, "openvino", options)
        self._exported = self._read(model_path(model))
        self.multiple = int(
            self._exported.get_rt_info(["framework", MULTIPLE_KEY]).astype(str)  # one of ours
        )
        self._ranges = read_ranges(self._exported)
        self._arithmetic = choose(self.options.precision, products(), has_ranges=bool(self._ranges))
        _, most_streams = core().get_property("CPU", "RANGE_FOR_STREAMS")
        self._streams = max(1, min(self.options.requests - 1, most_streams))
        self._compiled: dict[_Key, ov.CompiledModel] = {}
        # Compiled here so that `info` tells what really runs, not what was asked for.
        smallest = self.compiled_for(PictureFormat("420", 8, 1, 1))
        self.info = EngineInfo(
            backend="openvino",
            model=model,
            device=f"CPU: {core().get_property('CPU', 'FULL_DEVICE_NAME').strip()}",
            precision=self._precision_of(smallest),
            version=f"OpenVINO {ov.__version__}",
        )

    def open(
        self,
        picture_format: PictureFormat,
        *,
        smoothing: Smoothing | None = None,
        batch: int | None = None,
    ) -> OpenVinoSession:
        """See `Engine.open`; the last few padded sizes stay compiled."""
        compiled = self.compiled_for(picture_format, batch)
        self.info = replace(self.info, precision=self._precision_of(compiled))
        shapes = padded_shapes(picture_format, self.multiple)
        return OpenVinoSession(compiled, picture_format, shapes, self.options.requests, smoothing)

    def close(self) -> None:
        """See `Engine.close`."""
        self._compiled.clear()

    def _read(self, path: Path) -> ov.Model:
        """Return the exported model, checked to be one of ours."""
        if not path.is_file():
            raise EngineError(f"{path} does not exist; write it with `demoire export`")
        try:
            model = core().read_model(path)
        except RuntimeError as error:
            raise EngineError(f"{path}: OpenVINO cannot read it: {error}") from error
        if not model.has_rt_info(["framework", MULTIPLE_KEY]):
            raise EngineError(f"{path}: not written by `demoire export` (no {MULTIPLE_KEY} in it)")
        return model

    def compiled_for(
        self, picture_format: PictureFormat, batch: int | None = None
    ) -> ov.CompiledModel:
        """Return the graph, kept from earlier where the padded size was the same."""
        batch = batch or self.options.batch
        shapes = padded_shapes(picture_format, self.multiple)
        key = (picture_format.layout, picture_format.bits, batch, shapes)
        compiled = self._compiled.pop(key, None) or self._compile(picture_format, batch, shapes)
        self._compiled[key] = compiled  # The most recent one is last.
        if len(self._compiled) > _KEPT_GRAPHS:
            del self._compiled[next(iter(self._compiled))]
        return compiled

    def _compile(
        self, picture_format: PictureFormat, batch: int, shapes: tuple[tuple[int, int], ...]
    ) -> ov.CompiledModel:
        edges = edges_of(picture_format, shapes)
        graph = edges.build(self._exported, batch, int8=self._arithmetic.int8_stem)
        if self._arithmetic.int8_layers:
            multiply_bytes(graph, self._ranges)
        config: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",  # one thread a physical core
            "NUM_STREAMS": self._streams,
            # Pinned threads wait for whatever decoder or encoder thread shares their core.
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": self._arithmetic.floats,
        }
        if self.options.threads:
            config["INFERENCE_NUM_THREADS"] = self.options.threads
        if self.options.cache_dir is not None:
            config["CACHE_DIR"] = str(self.options.cache_dir)
        try:
            return core().compile_model(graph, "CPU", config)
        except RuntimeError as error:
            raise EngineError(f"openvino cannot compile {picture_format}: {error}") from error

    def _precision_of(self, compiled: ov.CompiledModel) -> str:
        """Return what the convolutions of the graph that runs multiply, of most products first."""
        shares = count_products(compiled)
        asked = self.options.precision
        floats = "+".join(sorted(set(shares) - {"int8"}))
        is_met = "int8" in shares if asked == "int8" else asked in ("auto", floats)
        if not is_met:
            raise EngineError(
                f"openvino: precision {asked} was asked for, but this CPU runs {floats}; use"
                " precision=auto"
            )
        return "+".join(precision for precision, _ in shares.most_common())
