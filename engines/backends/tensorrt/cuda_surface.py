"""Planes that another library has on the GPU: where they are, and how their rows are copied.

Tested on an H200 with torch's tensors; with PyAV's own planes in host memory only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.errors import EngineError

if TYPE_CHECKING:
    from engines.engine import DlpackExporter

_UNORDERED = -1
"""A stream's place in `StridedMemoryView`, for whoever orders things himself."""


@dataclass(frozen=True)
class CudaSurface:
    """Implements `Surface`."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pitch: int
    """Bytes from one row to the next."""

    @property
    def row_size(self) -> int:
        """Bytes of a row."""
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize

    @property
    def size(self) -> int:
        """See `Surface.size`."""
        return self.shape[0] * self.row_size


class _AnyStream:
    """A plane whose exporter is asked for no stream: PyAV refuses every one, also "none"."""

    def __init__(self, exporter: DlpackExporter) -> None:
        self._exporter = exporter

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._exporter.__dlpack_device__()

    def __dlpack__(self, **_: object) -> Any:  # noqa: ANN401 (a capsule has no type)
        return self._exporter.__dlpack__()


def surface_of(exporter: DlpackExporter, index: int) -> CudaSurface:
    """Return what a plane looks like from the GPU of that number.

    Raises:
        EngineError: It is elsewhere, or its rows have holes.
    """
    from cuda.core.utils import StridedMemoryView

    try:
        view = StridedMemoryView.from_dlpack(_AnyStream(exporter), stream_ptr=_UNORDERED)
    except (BufferError, NotImplementedError, TypeError, ValueError) as error:
        raise EngineError(f"tensorrt: a decoder's plane cannot be read: {error}") from error
    if not view.is_device_accessible or view.device_id != index:
        place = f"cuda:{view.device_id}" if view.is_device_accessible else "the host's memory"
        raise EngineError(f"tensorrt: a picture came from {place}, the engine is on cuda:{index}")
    shape, dense = tuple(view.shape), _dense(view.shape)
    strides = dense if view.strides is None else _meant(shape, tuple(view.strides), dense)
    if strides[1:] != dense[1:] or strides[0] < dense[0]:
        raise EngineError(f"tensorrt: a decoder's plane of {shape} has holes: {strides}")
    return CudaSurface(view.ptr, shape, view.dtype, pitch=strides[0] * view.dtype.itemsize)


def copy_rows(surface: CudaSurface, address: int, stream: int) -> None:
    """Queue a copy of a plane's rows to an address on the same GPU, close together.

    Args:
        surface: From where.
        address: To where.
        stream: The driver's handle of it.

    Raises:
        EngineError: The driver refuses.
    """
    from cuda.bindings import driver

    here = driver.CUmemorytype.CU_MEMORYTYPE_DEVICE
    copy = driver.CUDA_MEMCPY2D()
    copy.srcMemoryType, copy.srcDevice, copy.srcPitch = here, surface.address, surface.pitch
    copy.dstMemoryType, copy.dstDevice, copy.dstPitch = here, address, surface.row_size
    copy.WidthInBytes, copy.Height = surface.row_size, surface.shape[0]
    (status,) = driver.cuMemcpy2DAsync(copy, stream)
    if status != driver.CUresult.CUDA_SUCCESS:
        raise EngineError(f"tensorrt: a decoder's plane cannot be copied: {status.name}")


def _meant(
    shape: tuple[int, ...], strides: tuple[int, ...], dense: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the strides without those that mean nothing: a side of one sample may have any."""
    return tuple(
        packed if side == 1 else stride
        for side, stride, packed in zip(shape, strides, dense, strict=True)
    )


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides, in samples, of an array without holes."""
    return tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
