"""Pictures that a decoder left in a GPU's memory, and who takes them from there.

Part of the contract: `engines.engine` hands these names on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from engines.errors import EngineError

if TYPE_CHECKING:
    from engines.engine import Moment, PictureFormat, Planes, Request


class DlpackExporter(Protocol):
    """What the DLPack protocol asks of an array; FFmpeg's planes in PyAV are such."""

    def __dlpack__(self, *, stream: None = None) -> Any:  # noqa: ANN401 (a capsule has no type)
        """Return the array as a capsule; PyAV refuses any stream."""
        ...

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return DLPack's number for the kind of device, 2 for CUDA, and the device's own."""
        ...


@dataclass(frozen=True, eq=False)
class DevicePicture:
    """A 4:2:0 picture where its decoder left it: NV12, or P010 above 8 bits.

    Its memory is the decoder's again once this object is gone: whoever queues work that reads from
    it keeps it until that work is done. What the decoder queued to write it is in the device's
    default stream, the one that CUDA calls legacy, and may not be done yet.
    """

    luma: DlpackExporter
    """(H, W) uint8, or uint16 with the code in the upper bits; rows may lie apart."""
    chroma: DlpackExporter
    """U and V, (ceil(H / 2), ceil(W / 2), 2), as `luma`."""
    bits: int
    """Per sample: 8, or more."""
    to_host: Callable[[], Planes]
    """Waits, and copies the picture to planes of the host, for whoever cannot take it here."""


@runtime_checkable
class TakesDevicePictures(Protocol):
    """A session that reads pictures from its device's memory; one of a 4:2:0 format."""

    def submit_device(
        self,
        pictures: Sequence[DevicePicture],
        *,
        strength: float = 1.0,
        moments: Sequence[Moment] = (),
    ) -> Request:
        """Start cleaning 1 to `batch` pictures; the session keeps them for as long as it must.

        Requests of this kind and of `Session.submit` may follow each other. For the arguments see
        there.

        Raises:
            EngineError: Wrong number, size, depth or device, or the back end failed.
        """
        ...


@runtime_checkable
class OnCuda(Protocol):
    """An engine whose sessions are `TakesDevicePictures`, unless its memory is too short."""

    @property
    def cuda_device(self) -> int | None:
        """Number of the GPU whose pictures they take; None where this engine takes none."""
        ...


def cuda_device(engine: object) -> int | None:
    """Return the number of the GPU from which an engine takes pictures, None if from none."""
    return engine.cuda_device if isinstance(engine, OnCuda) else None


def check_device_pictures(
    pictures: Sequence[DevicePicture], picture_format: PictureFormat, batch: int
) -> None:
    """Raise `EngineError` unless a session for `picture_format` may take `pictures`.

    Their size is left to whoever reads them.
    """
    if not 1 <= len(pictures) <= batch:
        raise EngineError(f"a request takes 1 to {batch} pictures, got {len(pictures)}")
    if picture_format.layout != "420":
        raise EngineError(f"pictures on a device are 4:2:0, the session's are {picture_format}")
    for picture in pictures:
        if picture.bits != picture_format.bits:
            raise EngineError(f"a picture of {picture.bits} bits came, not of {picture_format}")
