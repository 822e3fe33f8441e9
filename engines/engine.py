"""The contract between a pipeline and whatever computes: planes in, planes out.

A back end is a module in `engines.backends` with a class that follows `Engine`, plus one line in
`BACKENDS`. The conformance suite in `tests/engines/test_conformance.py` then covers it unasked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engines.device_picture import DevicePicture as DevicePicture
from engines.device_picture import DlpackExporter as DlpackExporter
from engines.device_picture import OnCuda as OnCuda
from engines.device_picture import TakesDevicePictures as TakesDevicePictures
from engines.device_picture import cuda_device as cuda_device
from engines.errors import DemoireError as DemoireError
from engines.errors import DeviceMemoryError as DeviceMemoryError
from engines.errors import EngineError as EngineError

Plane = NDArray[np.uint8] | NDArray[np.uint16]
"""One plane, (H, W), uint8 for 8 bits and uint16 (low bits used) above; rows may be strided."""

Planes = tuple[Plane, ...]

Layout = Literal["420", "422", "444", "gbr", "gray"]
"""`420`, `422` and `444` are Y, U, V planes; `gbr` is FFmpeg's planar RGB order; `gray` is Y."""

# Horizontal and vertical log2 subsampling of the second and third plane.
CHROMA_SHIFT: dict[Layout, tuple[int, int]] = {
    "420": (1, 1),
    "422": (1, 0),
    "444": (0, 0),
    "gbr": (0, 0),
    "gray": (0, 0),
}


@dataclass(frozen=True)
class PictureFormat:
    """What a session is compiled for.

    Range and colour matrix are not part of it: the network corrects code values relative to each
    other, so limited and full range take the same path and nothing is converted.
    """

    layout: Layout
    bits: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.layout not in CHROMA_SHIFT:
            raise ValueError(f"layout must be one of {', '.join(CHROMA_SHIFT)}, got {self.layout=}")
        if not 8 <= self.bits <= 16:
            raise ValueError(f"bits per sample must be 8..16, got {self.bits=}")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a picture has at least one pixel, got {self.width}x{self.height}")

    @property
    def peak(self) -> int:
        """The largest code value."""
        return (1 << self.bits) - 1

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """NumPy type of one sample."""
        return np.uint8 if self.bits == 8 else np.uint16

    @cached_property
    def plane_shapes(self) -> tuple[tuple[int, int], ...]:
        """(H, W) of each plane; odd sizes round chroma up, as codecs do."""
        luma = (self.height, self.width)
        if self.layout == "gray":
            return (luma,)
        shift_x, shift_y = CHROMA_SHIFT[self.layout]
        chroma = (-(-self.height >> shift_y), -(-self.width >> shift_x))
        return (luma, chroma, chroma)


WHOLE = "whole"
"""How pictures go through a network that has memory enough."""


@dataclass(frozen=True)
class EngineInfo:
    """What really runs: shown to the user and written to every report."""

    backend: str
    """Key in `BACKENDS`."""
    model: str
    """Model name, or `-` for a back end without a network."""
    device: str
    """Device in words, e.g. `CPU: AMD EPYC`."""
    precision: str
    """What the compiled graph multiplies in, read back from it, of most products first: `f32`,
    `f16`, `bf16+int8`, `int8+f32`."""
    version: str
    """Version of the library behind the back end."""
    fit: str = WHOLE
    """How pictures go through the network, where the device's memory is short: `batch 1 of 4`, or
    `tiles of 2176x1344 with 512 of overlap`."""

    def __str__(self) -> str:
        text = f"{self.model} in {self.precision} on {self.device} ({self.version})"
        return text if self.fit == WHOLE else f"{text}, {self.fit}"


@dataclass(frozen=True)
class Smoothing:
    """How long the past lasts: after so many seconds it counts 1/e, whatever the frame rate."""

    luma_s: float
    chroma_s: float
    deband: bool = False
    """Take away the bands that roll over a filmed screen, where some are found."""

    def __post_init__(self) -> None:
        if not (0 < self.luma_s < math.inf and 0 < self.chroma_s < math.inf):
            raise ValueError(
                f"time constants must be above 0 s, got {self}; open a session without smoothing"
                " to turn it off"
            )


@dataclass(frozen=True)
class Moment:
    """When a picture is shown, which smoothing must know."""

    time_s: float
    """Presentation time; what counts is how much later it is than that of the picture before."""
    reset: bool = False
    """Whatever came before is of another scene: a gap, a reconnect, the first picture."""


@dataclass(frozen=True)
class Flicker:
    """How much pictures pulsed where nothing happened, before and after smoothing."""

    frames: int
    """Pictures that were compared with the one before."""
    before: float
    """Mean absolute change of luma in blocks of 8x8 from picture to picture, in 8-bit levels, once
    the motion is taken out."""
    after: float
    """The same of what was given back."""


def joined_flicker(parts: Sequence[Flicker]) -> Flicker | None:
    """Return the flicker of all pictures of several sessions; None where there are none."""
    frames = sum(part.frames for part in parts)
    if not frames:
        return None
    before, after = (
        sum(part.frames * value for part, value in zip(parts, values, strict=True)) / frames
        for values in ([part.before for part in parts], [part.after for part in parts])
    )
    return Flicker(frames, before, after)


class Request(Protocol):
    """Pictures on their way through the network."""

    def result(self) -> list[Planes]:
        """Wait and return the cleaned pictures, in order; the arrays belong to the caller.

        With smoothing, requests are asked in the order in which they were submitted, and a result
        is read again for the next one: it must not be written to.
        """
        ...


class DoneRequest:
    """A request of what computes while it is submitted."""

    def __init__(self, pictures: Sequence[Planes]) -> None:
        self._pictures = list(pictures)

    def result(self) -> list[Planes]:
        """See `Request.result`; the very planes that were given."""
        return self._pictures


class Session(Protocol):
    """One picture format on one compiled graph; used by one thread."""

    format: PictureFormat
    batch: int
    """Most pictures per request."""
    depth: int
    """Most requests in flight; submit no more before the oldest one's `result()`."""

    @property
    def flicker(self) -> Flicker | None:
        """What smoothing did so far; None without it, or with fewer than two pictures."""
        ...

    def submit(
        self,
        pictures: Sequence[Planes],
        *,
        strength: float = 1.0,
        moments: Sequence[Moment] = (),
    ) -> Request:
        """Start cleaning 1 to `batch` pictures; inputs may be reused as soon as this returns.

        Args:
            pictures: Planes of `format.plane_shapes` and `format.dtype`.
            strength: Share of the predicted residual to subtract, 0 (bit-exact input) to 1.
            moments: When each picture is shown; needed with smoothing.

        Raises:
            EngineError: Wrong number, shape or type of planes, or the back end failed.
        """
        ...

    def close(self) -> None:
        """Wait for what is in flight and give memory back."""
        ...


@dataclass(frozen=True)
class DeviceTimes:
    """What one picture takes on a device with memory of its own, in milliseconds, each alone."""

    copy_in_ms: tuple[float, ...]
    """From the host's memory, a value for each repeat."""
    infer_ms: tuple[float, ...]
    copy_out_ms: tuple[float, ...]


@runtime_checkable
class DeviceTimed(Protocol):
    """A session that can time its own parts on the device's clock."""

    def device_times(self, *, repeats: int) -> DeviceTimes:
        """Run one picture of grey `repeats` times, after a few that do not count."""
        ...


class Engine(Protocol):
    """A model on a device. Constructed as `Engine(model=..., **options)` by `create_engine`.

    A class whose engines are built (minutes, then kept on disk) says so with a class attribute
    `builds = True` and takes `on_build: OnBuild | None` beside the model.
    """

    info: EngineInfo

    @property
    def multiple(self) -> int:
        """What luma height and width are padded to a multiple of, even.

        A part of a picture that begins at a multiple is seen as it is in the whole, but for what
        lies beyond its edges.
        """
        ...

    def open(
        self,
        picture_format: PictureFormat,
        *,
        smoothing: Smoothing | None = None,
        batch: int | None = None,
    ) -> Session:
        """Compile for one picture format (cheap when it was opened before).

        Args:
            picture_format: Of every picture.
            smoothing: Blend each cleaned picture with those before it; the session's pictures are
                then one clip, in order.
            batch: Most pictures per request, where the engine's own option is too many.

        Raises:
            DeviceMemoryError: The device has too little memory for such pictures; fewer of them, or
                smaller ones, may fit.
            EngineError: The format is not supported or compilation failed.
        """
        ...

    def close(self) -> None:
        """Release the device; sessions are unusable afterwards."""
        ...


OnBuild = Callable[[str, float], None]
"""Told what is being built, in words, and which share of it is done; from any thread.

The first call for an engine comes before its work begins, the last one, with 1, once it is built.
"""

BACKENDS: dict[str, str] = {
    "tensorrt": "engines.backends.tensorrt.engine:TensorRtEngine",
    "openvino": "engines.backends.openvino:OpenVinoEngine",
    "torch": "engines.backends.torch:TorchEngine",
    "torch-tensorrt": "engines.backends.torch_tensorrt:TorchTensorRtEngine",
    "identity": "engines.backends.identity:IdentityEngine",
}
"""Back ends by name; `engines.backends.AUTO` tells which of them `auto` tries, in which order."""


def check_moments(
    pictures: Sequence[object], moments: Sequence[Moment], smoothing: Smoothing | None
) -> None:
    """Raise `EngineError` where smoothing is not told when each picture is shown."""
    if smoothing is not None and len(moments) != len(pictures):
        raise EngineError(
            f"smoothing needs the moment of each picture, got {len(moments)} for {len(pictures)}"
        )


def check_pictures(pictures: Sequence[Planes], picture_format: PictureFormat, batch: int) -> None:
    """Raise `EngineError` unless `pictures` is what a session for `picture_format` takes."""
    if not 1 <= len(pictures) <= batch:
        raise EngineError(f"a request takes 1 to {batch} pictures, got {len(pictures)}")
    for planes in pictures:
        found = [(plane.shape, plane.dtype) for plane in planes]
        wanted: list[tuple[Any, Any]] = [
            (shape, np.dtype(picture_format.dtype)) for shape in picture_format.plane_shapes
        ]
        if found != wanted:
            raise EngineError(f"planes of {picture_format} must be {wanted}, got {found}")
