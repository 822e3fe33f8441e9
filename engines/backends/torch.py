"""The reference: the network itself, in float32, on whatever device torch has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engines.backends.options import parse_options
from engines.backends.padding import pad_into, padded_shapes
from engines.engine import (
    DoneRequest,
    EngineInfo,
    Flicker,
    Moment,
    PictureFormat,
    Planes,
    Smoothing,
    check_moments,
    check_pictures,
)
from engines.errors import EngineError
from engines.models import load_network

try:
    import torch

    from engines.models.planes import IntegerPlanes
    from engines.smooth.reference import TorchBlender
except ImportError as error:
    raise EngineError(
        f"the torch back end cannot import PyTorch ({error}): pip install 'demoire[torch]'"
    ) from error

from engines.smooth.smoother import Smoother

if TYPE_CHECKING:
    from engines.models.network import Network


class TorchOptions(BaseModel):
    """`engine.options` of the torch back end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str = "cpu"
    """Any device that torch knows, e.g. `cuda` or `cuda:1`."""
    batch: int = Field(default=1, ge=1, le=64)
    """Most pictures per request."""


class TorchSession:
    """One picture format through `IntegerPlanes`, one request at a time."""

    depth: ClassVar[int] = 1

    def __init__(
        self,
        planes: IntegerPlanes,
        picture_format: PictureFormat,
        *,
        batch: int,
        device: torch.device,
        smoothing: Smoothing | None,
    ) -> None:
        self.format = picture_format
        self.batch = batch
        self._planes = planes
        self._device = device
        self._shapes = padded_shapes(picture_format, planes.network.config.multiple)
        self._smoothing = smoothing
        self._smoother: Smoother[tuple[torch.Tensor, ...]] | None = None
        if smoothing is not None:
            blender = TorchBlender(picture_format, self._shapes, device)
            self._smoother = Smoother(picture_format, smoothing, blender)

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
    ) -> DoneRequest:
        """See `Session.submit`; computes before it returns."""
        check_pictures(pictures, self.format, self.batch)
        check_moments(pictures, moments, self._smoothing)
        inputs = [np.empty((len(pictures), 1, *s), self.format.dtype) for s in self._shapes]
        for index, planes in enumerate(pictures):
            for plane, tensor in zip(planes, inputs, strict=True):
                pad_into(plane, tensor[index, 0])
        tensors = tuple(torch.from_numpy(tensor).to(self._device) for tensor in inputs)
        try:
            # A reference may not round to TF32, nor pick another algorithm the second time.
            with (
                torch.inference_mode(),
                torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
            ):
                cleaned = self._planes(tensors, torch.tensor([strength], device=self._device))
                if self._smoother is not None:
                    cleaned = _smoothed(self._smoother, cleaned, moments)
        except RuntimeError as error:  # Out of memory is one, too.
            raise EngineError(f"torch: {self.format} failed on {self._device}: {error}") from error
        outputs = [tensor.cpu().numpy() for tensor in cleaned]
        crops = list(zip(outputs, self.format.plane_shapes, strict=True))
        return DoneRequest(
            [tuple(out[i, 0, :h, :w] for out, (h, w) in crops) for i in range(len(pictures))]
        )

    def close(self) -> None:
        """Nothing is in flight between calls."""


def _smoothed(
    smoother: Smoother[tuple[torch.Tensor, ...]],
    cleaned: tuple[torch.Tensor, ...],
    moments: Sequence[Moment],
) -> tuple[torch.Tensor, ...]:
    """Return a batch of planes smoothed, one picture after the other, where they are."""
    smooth = [
        smoother.smooth(tuple(plane[i : i + 1] for plane in cleaned), moment)
        for i, moment in enumerate(moments)
    ]
    return tuple(torch.cat(planes) for planes in zip(*smooth, strict=True))


class TorchEngine:
    """`IntegerPlanes` in eager float32, channels last: what other back ends are compared with.

    Tested on CPUs; `device=cuda` takes the same path.
    """

    def __init__(self, *, model: str = "nano", **options: object) -> None:
        self.options = parse_options(TorchOptions, "torch", options)
        try:
            self._device = torch.device(self.options.device)
            torch.empty(1, device=self._device)
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts.
            raise EngineError(f"torch: device {self.options.device!r}: {error}") from error
        # A model is a pair of files; whoever names the ONNX one means its twin.
        onnx = Path(model).suffix == ".onnx"
        network = load_network(Path(model).with_suffix(".safetensors") if onnx else model)
        self._network: Network = network.to(
            self._device,
            memory_format=torch.channels_last,  # type: ignore[call-overload]  # not in its stubs
        )
        self.info = EngineInfo(
            backend="torch",
            model=model,
            device=self._device_name(),
            precision="f32",
            version=f"torch {torch.__version__}",
        )

    def open(
        self,
        picture_format: PictureFormat,
        *,
        smoothing: Smoothing | None = None,
        batch: int | None = None,
    ) -> TorchSession:
        """See `Engine.open`."""
        planes = IntegerPlanes(self._network, picture_format.layout, picture_format.bits)
        return TorchSession(
            planes.eval(),
            picture_format,
            batch=batch or self.options.batch,
            device=self._device,
            smoothing=smoothing,
        )

    def close(self) -> None:
        """See `Engine.close`."""

    def _device_name(self) -> str:
        if self._device.type == "cuda":
            return f"{self._device}: {torch.cuda.get_device_name(self._device)}"
        return f"CPU: {torch.get_num_threads()} threads"
