"""The network through Torch-TensorRT: compiled from the module, whole, in its own precision.

Everything up to the call of the compiler, and all around it, is tested on CPUs; the compiler itself
was written for version 2.13 and not run on a GPU.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from engines.backends import nvidia
from engines.backends.options import parse_options
from engines.backends.padding import padded_shapes
from engines.cache import EngineCache, Origin
from engines.engine import EngineInfo, OnBuild, PictureFormat, Smoothing
from engines.errors import DeviceMemoryError, EngineError
from engines.models import load_network

try:
    import torch
    from torch.export import ExportedProgram

    from engines.backends.torch import device_name, open_device, torch_weights
    from engines.backends.torch_network import (
        DTYPES,
        Choice,
        Cleaning,
        NarrowNetwork,
        precision_of,
    )
    from engines.backends.torch_open import Candidates, Opening, open_session
    from engines.backends.torch_tensorrt_build import (
        Compiler,
        EngineStore,
        Profile,
        weights_digest,
    )
    from engines.models.planes import IntegerPlanes
except ImportError as error:
    raise EngineError(
        f"the torch-tensorrt back end cannot import PyTorch ({error}):"
        " pip install 'demoire[torch-tensorrt]' on a machine with an NVIDIA GPU"
    ) from error

if TYPE_CHECKING:
    from engines.backends.torch_session import TorchSession

_NAMES = ("y", "u", "v")


class TorchTensorRtOptions(BaseModel):
    """`engine.options` of the Torch-TensorRT back end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: int | str = "cuda"
    """A CUDA device, e.g. `cuda:1`, or its number."""
    precision: Literal["auto", "f32", "f16", "bf16"] = "auto"
    """Of the network: `auto` is f16. What surrounds it is always f32."""
    graph: Choice = "auto"
    """Capture the engine and what surrounds it as a CUDA graph; `auto` does so where it works."""
    batch: int = Field(default=1, ge=1, le=16)
    """Most pictures per request."""
    requests: int | None = Field(default=None, ge=1, le=8)
    """Requests in flight: by default three."""
    largest: int = Field(default=4096, ge=256, le=16384)
    """Height and width up to which the engine takes pictures; larger ones need more memory."""
    optimization: int = Field(default=3, ge=0, le=5)
    """How long TensorRT looks for faster kernels: its `optimization_level`."""
    cache_dir: Path | None = None
    """Folder for built engines, see `engines.cache`."""


class TorchTensorRtEngine:
    """The network as one TensorRT engine between eager edges, in a CUDA graph.

    One engine takes all sizes, formats and depths; it is built by the first `open`, and kept. Not
    run on a GPU.
    """

    builds: ClassVar[bool] = True
    overlaps: ClassVar[bool] = True

    def __init__(
        self,
        *,
        model: str = "nano",
        on_build: OnBuild | None = None,
        compiler: Compiler | None = None,
        **options: object,
    ) -> None:
        self.options = parse_options(TorchTensorRtOptions, "torch-tensorrt", options)
        library = compiler or TorchTensorRt(self.options)
        self._device = open_device(self.options.device, backend="torch-tensorrt")
        if compiler is None and self._device.type != "cuda":
            raise EngineError(
                f"torch-tensorrt: device {self.options.device!r} is not a CUDA device; name one, or"
                " take --engine openvino on a CPU"
            )
        precision = "f16" if self.options.precision == "auto" else self.options.precision
        network = load_network(torch_weights(model)).requires_grad_(False)
        self._network = network.to(self._device, DTYPES[precision])
        self.multiple = network.config.multiple
        self._profile = Profile(
            multiple=self.multiple,
            most_tiles=-(-self.options.largest // self.multiple),
            batch=self.options.batch,
        )
        self._store = EngineStore(
            self._network,
            self._profile,
            compiler=library,
            cache=EngineCache(self.options.cache_dir),
            on_build=on_build,
        )
        self.origin = self._origin_with(library)
        """What the engine is built of, see `engines.cache`."""
        # One build or capture at a time: both change how the whole process runs torch.
        self._opening = threading.Lock()
        self.info = EngineInfo(
            backend="torch-tensorrt",
            model=model,
            device=device_name(self._device),
            precision=precision_of(self._network),
            version=", ".join(f"{name} {version}" for name, version in library.versions.items()),
        )

    @property
    def cuda_device(self) -> int | None:
        """See `OnCuda.cuda_device`."""
        return self._device.index if self._device.type == "cuda" else None

    def open(
        self,
        picture_format: PictureFormat,
        *,
        smoothing: Smoothing | None = None,
        batch: int | None = None,
    ) -> TorchSession:
        """See `Engine.open`; minutes where the engine must be built first."""
        self._check(picture_format, batch or self.options.batch)
        opening = Opening(
            backend="torch-tensorrt",
            device=self._device,
            format=picture_format,
            shapes=self._shapes(picture_format),
            batch=batch or self.options.batch,
            requests=self.options.requests,
            smoothing=smoothing,
            # The engine has no use for cuDNN; what surrounds it is not to vary.
            flags=partial(torch.backends.cudnn.flags, enabled=True, deterministic=True),
            graph=self.options.graph,
        )

        def planes() -> Cleaning:
            engine, precision = self._store.load(self.origin, what=self._words())
            self.info = replace(self.info, precision=precision)
            narrow = NarrowNetwork(engine, DTYPES[precision])
            return IntegerPlanes(narrow, picture_format.layout, picture_format.bits)

        with self._opening:
            return open_session(opening, Candidates(planes, planes, "off")).session

    def close(self) -> None:
        """See `Engine.close`."""

    def _shapes(self, picture_format: PictureFormat) -> tuple[tuple[int, int], ...]:
        """Return the padded shapes: as of a picture that is at least `Profile.least` both ways."""
        enough = replace(
            picture_format,
            width=max(picture_format.width, self._profile.least),
            height=max(picture_format.height, self._profile.least),
        )
        return padded_shapes(enough, self.multiple)

    def _check(self, picture_format: PictureFormat, batch: int) -> None:
        """Raise where the engine is made for less."""
        width, height = picture_format.width, picture_format.height
        if max(width, height) > self._profile.most or batch > self._profile.batch:
            raise DeviceMemoryError(
                f"torch-tensorrt: the engine is made for {self._profile.batch} picture(s) of up to"
                f" {self._profile.most}x{self._profile.most} at a time, got {batch} of"
                f" {width}x{height}; raise engine.options.largest or engine.options.batch"
            )

    def _words(self) -> str:
        profile, info = self._profile, self.info
        return (
            f"{Path(info.model).stem}, {info.precision}, up to {profile.batch} x"
            f" {profile.most}x{profile.most} by torch-tensorrt"
        )

    def _origin_with(self, library: Compiler) -> Origin:
        cuda = self._device.type == "cuda"
        capability = torch.cuda.get_device_capability(self._device) if cuda else (0, 0)
        profile = self._profile
        return {
            "backend": "torch-tensorrt",
            "weights": weights_digest(self._network),
            "architecture": repr(self._network.config),
            "precision": precision_of(self._network),
            "gpu": torch.cuda.get_device_name(self._device) if cuda else "-",
            "capability": list(capability),
            "profile": [profile.batch, profile.multiple, profile.least, profile.most],
            "optimization": self.options.optimization,
            **library.versions,
        }


class TorchTensorRt:
    """Implements `Compiler` with the library of that name; not run on a GPU.

    Args:
        options: Of the back end.

    Raises:
        EngineError: It is not installed, or not usable here.
    """

    def __init__(self, options: TorchTensorRtOptions) -> None:
        self._library = import_torch_tensorrt()
        self._optimization = options.optimization
        self.versions: Mapping[str, str] = {
            "torch_tensorrt": str(self._library.__version__),
            "TensorRT": str(import_module("tensorrt").__version__),
            "torch": str(torch.__version__),
        }

    def build(self, program: ExportedProgram, profile: Profile) -> bytes:
        """See `Compiler.build`."""
        weights = next(iter(program.state_dict.values()))
        device, dtype = weights.device, weights.dtype
        inputs = [
            self._library.Input(
                name=name, dtype=dtype, min_shape=least, opt_shape=usual, max_shape=most
            )
            for name, (least, usual, most) in zip(_NAMES, profile.ranges(), strict=True)
        ]
        with TemporaryDirectory() as folder, torch.no_grad(), torch.cuda.device(device):
            module = self._library.dynamo.compile(
                program,
                arg_inputs=inputs,
                device=device,
                require_full_compilation=True,
                min_block_size=1,
                immutable_weights=True,
                optimization_level=self._optimization,
                # By default it is shared by all users, GPUs and versions.
                timing_cache_path=str(Path(folder) / "timing.bin"),
            )
            path = Path(folder) / "engine.ep"
            self._library.save(
                module,
                str(path),
                arg_inputs=list(profile.example(dtype, device)),
                dynamic_shapes=profile.dynamic_shapes(),
                retrace=True,
            )
            return path.read_bytes()

    def load(self, content: bytes) -> ExportedProgram:
        """See `Compiler.load`."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "engine.ep"
            path.write_bytes(content)
            program: ExportedProgram = self._library.load(str(path))
            return program


def import_torch_tensorrt() -> ModuleType:
    """Return the library.

    Raises:
        EngineError: It is not installed, or not usable here; the message says what to do.
    """
    way_out = "pip install 'demoire[torch-tensorrt]' on a machine with an NVIDIA GPU"
    try:
        # It prints why it fails, and our standard output may be somebody's input.
        with redirect_stdout(sys.stderr):
            return import_module("torch_tensorrt")
    except ModuleNotFoundError as error:
        raise EngineError(f"torch-tensorrt: {error.name} is not installed: {way_out}") from error
    except Exception as error:  # Without a GPU or TensorRT it raises bare ones, and asserts.
        try:
            nvidia.gpu_names()
        except EngineError as fault:
            missing = str(fault)
        else:
            missing = "TensorRT's libraries, or a PyTorch for CUDA, may be missing"
        raise EngineError(
            f"torch-tensorrt: torch_tensorrt cannot be imported ({type(error).__name__}: {error});"
            f" {missing}; {way_out}, or take --engine openvino"
        ) from error
