"""The network itself: in float32 the reference, in half precision the fast path of a GPU."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from engines.backends.options import parse_options
from engines.backends.padding import padded_shapes
from engines.engine import EngineInfo, PictureFormat, Smoothing
from engines.errors import EngineError
from engines.models import load_network

try:
    import torch

    from engines.backends.torch_network import (
        DTYPES,
        Choice,
        Cleaning,
        NarrowNetwork,
        Precision,
        compiled,
        precision_of,
    )
    from engines.backends.torch_open import Candidates, Opening, open_session
    from engines.models.planes import IntegerPlanes
except ImportError as error:
    raise EngineError(
        f"the torch back end cannot import PyTorch ({error}): pip install 'demoire[torch]'"
    ) from error

if TYPE_CHECKING:
    from engines.backends.torch_session import TorchSession

_log = logging.getLogger(__name__)

_Key = tuple[str, int, int, tuple[tuple[int, int], ...]]  # layout, bits, batch, padded shapes


class TorchOptions(BaseModel):
    """`engine.options` of the torch back end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: int | str = "cpu"
    """Any device that torch knows, e.g. `cuda` or `cuda:1`; a number is that of a CUDA device."""
    precision: Precision = "auto"
    """Of the network: `auto` is f16 on CUDA and f32 elsewhere."""
    compile: Choice = "off"
    """`torch.compile`, for each picture size. Off, since it takes half a minute before the first
    picture, and what it takes off the network is not what a pipeline waits for (H200, `nano` at
    1080p: 0.65 ms as a CUDA graph alone, 0.39 ms compiled). `auto` leaves it out where it fails."""
    graph: Choice = "auto"
    """Capture the network as a CUDA graph; `auto` does so where it works."""
    batch: int = Field(default=1, ge=1, le=64)
    """Most pictures per request."""
    requests: int | None = Field(default=None, ge=1, le=8)
    """Requests in flight: by default three on CUDA, one elsewhere."""


class TorchEngine:
    """`IntegerPlanes` by torch; in eager float32 what other back ends are compared with.

    On CUDA the network is channels last in half precision and captured as a CUDA graph, like each
    part of smoothing; requests overlap in streams.
    """

    overlaps: ClassVar[bool] = True

    def __init__(self, *, model: str = "nano", **options: object) -> None:
        self.options = parse_options(TorchOptions, "torch", options)
        self._device = open_device(self.options.device, backend="torch")
        cuda = self._device.type == "cuda"
        precision = self.options.precision
        if precision == "auto":
            precision = "f16" if cuda else "f32"
        network = load_network(torch_weights(model)).requires_grad_(False)
        self.multiple = network.config.multiple
        self._network = network.to(
            device=self._device,
            dtype=DTYPES[precision],
            memory_format=torch.channels_last,  # type: ignore[call-overload]  # not in its stubs
        )
        # A reference may not round to TF32, nor pick another algorithm the second time.
        self._flags = partial(
            torch.backends.cudnn.flags,
            enabled=True,
            benchmark=precision != "f32",
            deterministic=precision == "f32",
            allow_tf32=False,
        )
        self._compiled: dict[_Key, Cleaning] = {}
        # One capture or compilation at a time: both change how the whole process runs torch.
        self._opening = threading.Lock()
        self.info = EngineInfo(
            backend="torch",
            model=model,
            device=device_name(self._device),
            precision=precision_of(self._network),
            version=f"torch {torch.__version__}",
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
        """See `Engine.open`; compiled sizes stay so."""
        opening = Opening(
            backend="torch",
            device=self._device,
            format=picture_format,
            shapes=padded_shapes(picture_format, self.multiple),
            batch=batch or self.options.batch,
            requests=self.options.requests,
            smoothing=smoothing,
            flags=self._flags,
            graph=self.options.graph,
        )
        with self._opening:
            opened = open_session(opening, self._candidates(opening))
        self.info = replace(self.info, version=f"torch {torch.__version__}, {opened.how}")
        return opened.session

    def close(self) -> None:
        """See `Engine.close`."""
        self._compiled.clear()

    def _candidates(self, opening: Opening) -> Candidates:
        picture_format, shapes = opening.format, tuple(opening.shapes)
        key = (picture_format.layout, picture_format.bits, opening.batch, shapes)
        dtype = next(self._network.parameters()).dtype
        network = self._network
        if dtype != torch.float32:
            network = NarrowNetwork(self._network, dtype)
        planes = IntegerPlanes(network, picture_format.layout, picture_format.bits).eval()

        def compile_once() -> Cleaning:
            if key not in self._compiled:
                _log.info("torch: compiling %s for %s", self.info.model, picture_format)
                self._compiled[key] = compiled(planes)
            return self._compiled[key]

        return Candidates(lambda: planes, compile_once, self.options.compile)


def open_device(name: int | str, *, backend: str) -> torch.device:
    """Return a device that torch can allocate on, with its number where it has one.

    Args:
        name: As in `TorchOptions.device`.
        backend: Key in `BACKENDS`, for messages.

    Raises:
        EngineError: There is no such device.
    """
    try:
        return torch.empty(1, device=f"cuda:{name}" if str(name).isdecimal() else name).device
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts.
        raise EngineError(f"{backend}: device {name!r}: {error}") from error


def device_name(device: torch.device) -> str:
    """Return a device in words, for `EngineInfo.device`."""
    if device.type == "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}"
    return f"CPU: {torch.get_num_threads()} threads"


def torch_weights(model: str) -> str | Path:
    """Return where a model's weights lie for torch: whoever names the ONNX file means its twin."""
    return Path(model).with_suffix(".safetensors") if Path(model).suffix == ".onnx" else model
