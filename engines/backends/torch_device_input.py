"""A decoder's pictures as a session's input: from device to device, never through the host.

Timed on an H200 from NVDEC; what came out was not compared there. On CPUs it is tested with the
same tensors in host memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from engines.backends.padding import mirrored
from engines.backends.torch_buffers import PlaneBlock
from engines.backends.torch_program import Shapes
from engines.engine import DevicePicture, PictureFormat
from engines.errors import EngineError

Parts = tuple[Tensor, Tensor]
"""Luma (H, W) and chroma (H/2, W/2, 2), int16 above 8 bits."""


class DeviceInput:
    """Makes padded planes of NV12 or P010.

    Args:
        picture_format: Of the pictures, 4:2:0.
        shapes: (H, W) of each padded plane.
        device: Where pictures and planes are.
        backend: For messages.
    """

    def __init__(
        self, picture_format: PictureFormat, shapes: Shapes, device: torch.device, *, backend: str
    ) -> None:
        self._format = picture_format
        self._device = device
        self._backend = backend
        self._orders = [
            [
                torch.from_numpy(mirrored(length, wanted)).to(device)
                for length, wanted in zip(shape, padded, strict=True)
            ]
            for shape, padded in zip(picture_format.plane_shapes, shapes, strict=True)
        ]

    def look(self, picture: DevicePicture) -> Parts:
        """Return a picture's memory as tensors; whoever calls keeps the picture.

        Raises:
            EngineError: It is on another device, or of another size or type.
        """
        # A capsule that was asked for without a stream: PyAV refuses every one, and orders nothing.
        luma, chroma = (from_dlpack(part.__dlpack__()) for part in (picture.luma, picture.chroma))
        size, half, _ = self._format.plane_shapes
        dtype = torch.uint8 if self._format.bits == 8 else torch.uint16
        wanted = [(self._device, dtype, size), (self._device, dtype, (*half, 2))]
        found = [(part.device, part.dtype, tuple(part.shape)) for part in (luma, chroma)]
        if found != wanted:
            raise EngineError(f"{self._backend}: a decoder's picture must be {wanted}, got {found}")
        # Torch computes little with uint16, and on some devices nothing.
        return (luma, chroma) if dtype == torch.uint8 else (_signed(luma), _signed(chroma))

    def fill(self, block: PlaneBlock, pictures: Sequence[Parts]) -> None:
        """Queue what writes pictures to a block, in the current stream.

        FFmpeg's decoder works in the device's default stream, for which that stream waits first.
        """
        if self._device.type == "cuda":
            default = torch.cuda.default_stream(self._device)
            torch.cuda.current_stream(self._device).wait_stream(default)
        for number, (luma, chroma) in enumerate(pictures):
            planes = luma, chroma[..., 0], chroma[..., 1]
            for plane, target, order in zip(planes, block.planes, self._orders, strict=True):
                self._put(plane, target[number, 0], order)

    def _put(self, plane: Tensor, target: Tensor, order: Sequence[Tensor]) -> None:
        rows, columns = order
        if tuple(plane.shape) != tuple(target.shape):
            plane = plane.index_select(0, rows).index_select(1, columns)
        if self._format.bits > 8:
            # The code is in the upper bits; the sign that shifting brings along is cut off.
            plane = (plane >> (16 - self._format.bits)) & self._format.peak
            target = _signed(target)
        target.copy_(plane)


def _signed(samples: Tensor) -> Tensor:
    """Return the same memory as int16."""
    return samples.view(torch.int16)
