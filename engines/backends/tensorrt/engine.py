"""The back end: finds TensorRT and the GPU, builds what is not in the cache, opens sessions."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from engines.backends.options import parse_options
from engines.backends.padding import padded_shapes
from engines.backends.tensorrt.blender import DeviceBlender
from engines.backends.tensorrt.cuda import CudaDevice
from engines.backends.tensorrt.device import Device, Loaded, Program
from engines.backends.tensorrt.layout import SessionLayout
from engines.backends.tensorrt.library import Choice, Library, Profile
from engines.backends.tensorrt.network import (
    ExportedNetwork,
    Precision,
    plane_names,
)
from engines.backends.tensorrt.session import TensorRtSession
from engines.backends.tensorrt.smoothing import SmoothingGraphs, Step
from engines.backends.tensorrt.surfaces import SurfaceGraph
from engines.cache import EngineCache, Origin
from engines.engine import EngineInfo, Layout, OnBuild, PictureFormat, Smoothing
from engines.errors import EngineError
from engines.models import model_path

_log = logging.getLogger(__name__)

_PROFILES = (((720, 1280), 1280), ((1080, 1920), 1920), ((2160, 3840), 3840))
"""Pictures for which kernels are chosen, (H, W), and the largest side of those that use them."""


class TensorRtOptions(BaseModel):
    """`engine.options` of the TensorRT back end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: int | str = 0
    """The GPU: its number, or `cuda:N`."""
    precision: Literal["auto", "f16", "f32"] = "auto"
    """Of the network; `auto` is f16. What surrounds it is always f32."""
    batch: int = Field(default=1, ge=1, le=16)
    """Most pictures per request."""
    requests: int = Field(default=3, ge=1, le=8)
    """Requests in flight: one copied in, one computed, one copied out."""
    library: Choice = "auto"
    """`tensorrt` or `tensorrt_rtx`; `auto` is the first that can be imported."""
    cache_dir: Path | None = None
    """Folder for built engines, see `engines.cache`."""


class TensorRtEngine:
    """The exported network on an NVIDIA GPU, in half precision.

    Builds and the order of things are tested without one; not run on a GPU yet.
    """

    builds: ClassVar[bool] = True
    overlaps: ClassVar[bool] = True

    def __init__(
        self, *, model: str = "nano", on_build: OnBuild | None = None, **options: object
    ) -> None:
        self.options = parse_options(TensorRtOptions, "tensorrt", options)
        self._network = ExportedNetwork(model_path(model))
        self._graphs: dict[tuple[Layout, int], bytes] = {}
        self.multiple = self._network.multiple
        self._precision: Precision = (
            "f16" if self.options.precision == "auto" else self.options.precision
        )
        library = Library(self.options.library)
        self._index = _index(self.options.device)
        self._device = self._opened(self._index, library)
        cache = EngineCache(self.options.cache_dir)
        self._store = PlanStore(library, self._device, cache, on_build)
        self.info = EngineInfo(
            backend="tensorrt",
            model=model,
            device=self._device.name,
            precision=self._precision,
            version=library.name,
        )

    @property
    def cuda_device(self) -> int:
        """See `OnCuda.cuda_device`."""
        return self._index

    def open(
        self,
        picture_format: PictureFormat,
        *,
        smoothing: Smoothing | None = None,
        batch: int | None = None,
    ) -> TensorRtSession:
        """See `Engine.open`; minutes where an engine must be built first."""
        self._device.activate()
        shapes = padded_shapes(picture_format, self.multiple)
        layout = SessionLayout(picture_format, shapes, batch or self.options.batch)
        program = self._loaded(picture_format).prepare(layout.tensor_shapes())
        session = TensorRtSession(layout, self._device, program, depth=self.options.requests)
        if picture_format.layout == "420":
            graph = SurfaceGraph(picture_format, shapes)
            session.take_surfaces(graph, lambda: self._surface_program(graph))
        if smoothing is not None:
            graphs = SmoothingGraphs(picture_format, shapes)
            stream = self._device.stream()
            blender = DeviceBlender(
                graphs,
                lambda step: self._smoothing_program(graphs, step),
                device=self._device,
                stream=stream,
                relights=smoothing.deband,
            )
            session.smooth(smoothing, blender, stream)
        return session

    def close(self) -> None:
        """See `Engine.close`."""
        self._store.forget()

    def _opened(self, index: int, library: Library) -> Device:
        """Return the GPU of a number."""
        return CudaDevice(index, library)

    def _loaded(self, picture_format: PictureFormat) -> Loaded:
        key = picture_format.layout, picture_format.bits
        if key not in self._graphs:  # a folder of photos opens one for every size
            self._graphs[key] = self._network.between(picture_format, self._precision)
        onnx = self._graphs[key]
        what = (
            f"{Path(self.info.model).stem}, {self._precision},"
            f" {picture_format.layout} {picture_format.bits} bits"
        )
        profiles = network_profiles(picture_format, self.multiple, batch=self.options.batch)
        return self._store.loaded(onnx, profiles=profiles, what=what, precision=self._precision)

    def _smoothing_program(self, graphs: SmoothingGraphs, step: Step) -> Program:
        form = graphs.picture_format
        height, width = graphs.shapes[0]
        what = f"smoothing, {step}, {form.layout} {form.bits} bits {width}x{height}"
        return self._store.loaded(graphs.write(step), what=what).prepare({})

    def _surface_program(self, graph: SurfaceGraph) -> Program:
        form = graph.picture_format
        what = f"decoded pictures, {form.bits} bits {form.width}x{form.height}"
        return self._store.loaded(graph.write(), what=what).prepare({})


@dataclass
class PlanStore:
    """Compiled graphs, each loaded once: from memory, else from the cache, else built."""

    library: Library
    device: Device
    cache: EngineCache
    on_build: OnBuild | None = None
    _loaded: dict[str, Loaded] = field(default_factory=dict)

    def loaded(
        self,
        onnx: bytes,
        *,
        profiles: Sequence[Profile] = (),
        what: str,
        precision: Precision | None = None,
    ) -> Loaded:
        """Return a graph on the device.

        Args:
            onnx: The graph.
            profiles: See `Library.build`.
            what: In words, for progress, log and `demoire engines list`.
            precision: What its convolutions must compute in; None where it has none.

        Raises:
            EngineError: It cannot be built, computes in another precision, or is refused.
        """
        origin = engine_origin(onnx, profiles, library=self.library, device=self.device)
        digest = str(origin["onnx"]) + str(origin["profiles"])
        if digest not in self._loaded:
            self._loaded[digest] = self._from_cache(onnx, origin, what) or self._built(
                onnx, profiles, origin=origin, what=what, precision=precision
            )
        return self._loaded[digest]

    def forget(self) -> None:
        """Let go of everything loaded."""
        self._loaded.clear()

    def _from_cache(self, onnx: bytes, origin: Origin, what: str) -> Loaded | None:
        plan = self.cache.load(origin)
        if plan is None:
            return None
        try:
            loaded = self.device.load(plan)
            self._check(loaded, onnx, what)
        except EngineError as error:
            self.cache.discard(origin, because=f"is refused: {error}")
            return None
        _log.info("engine for %s: from %s", what, self.cache.root)
        return loaded

    def _built(
        self,
        onnx: bytes,
        profiles: Sequence[Profile],
        *,
        origin: Origin,
        what: str,
        precision: Precision | None,
    ) -> Loaded:
        found = self.library.precision(onnx, what)
        if found != (precision or ""):
            raise EngineError(
                f"{self.library.name}: {what} would compute in {found}, not in {precision}"
            )
        # Whoever is told how far it is says so.
        level = logging.INFO if self.on_build is None else logging.DEBUG
        _log.log(level, "building the engine for %s with %s", what, self.library.name)
        began = time.perf_counter()
        plan = self.library.build(onnx, profiles=profiles, what=what, on_build=self.on_build)
        _log.log(
            level,
            "built the engine for %s in %.1f s: %.1f MB, convolutions in %s",
            what,
            time.perf_counter() - began,
            len(plan) / 1e6,
            found or "none",
        )
        self.cache.store(origin, plan, what=what)
        loaded = self.device.load(plan)
        self._check(loaded, onnx, what)
        return loaded

    def _check(self, loaded: Loaded, onnx: bytes, what: str) -> None:
        """Raise unless the engine has the graph's own inputs and outputs."""
        tensors = self.library.inputs_and_outputs(onnx, what)
        wanted = {name: kind for name, (kind, _) in tensors.items()}
        found = dict(loaded.inputs_and_outputs())
        if found != wanted:
            raise EngineError(f"{what}: the engine's ends are {found}, the graph's {wanted}")


def engine_origin(
    onnx: bytes, profiles: Sequence[Profile], *, library: Library, device: Device
) -> Origin:
    """Return all that an engine depends on: weights, graph and precision are in the ONNX bytes."""
    return {
        "onnx": hashlib.sha256(onnx).hexdigest(),
        "library": library.name,
        "device": device.kind,
        "profiles": repr([dict(profile) for profile in profiles]),
    }


def network_profiles(picture_format: PictureFormat, multiple: int, *, batch: int) -> list[Profile]:
    """Return the ranges of sizes of the network's engine, the smallest pictures first."""
    profiles: list[Profile] = []
    for (height, width), side in _PROFILES:
        usual = PictureFormat(picture_format.layout, picture_format.bits, width, height)
        sizes = [
            SessionLayout(usual, _padded(usual, h, w, multiple), count).tensor_shapes()
            for h, w, count in ((1, 1, 1), (height, width, 1), (side, side, batch))
        ]
        least, opt, most = sizes
        names = plane_names(picture_format)
        profiles.append({name: (least[name], opt[name], most[name]) for name in names})
    return profiles


def _padded(
    usual: PictureFormat, height: int, width: int, multiple: int
) -> tuple[tuple[int, int], ...]:
    return padded_shapes(PictureFormat(usual.layout, usual.bits, width, height), multiple)


def _index(device: int | str) -> int:
    found = re.fullmatch(r"(?:cuda:)?(\d+)", str(device))
    if found is None:
        raise EngineError(f"tensorrt: device must be a GPU's number or cuda:N, got {device!r}")
    return int(found[1])
