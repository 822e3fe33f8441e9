"""How a decoder's pictures come into a session: from device to device, never through the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engines.backends.tensorrt.device import Launch
from engines.backends.tensorrt.network import plane_names
from engines.backends.tensorrt.surfaces import CHROMA, LUMA, SurfaceGraph
from engines.errors import EngineError

if TYPE_CHECKING:
    from engines.backends.tensorrt.device import Device, Memory, Program, Stream, Surface
    from engines.backends.tensorrt.layout import SessionLayout
    from engines.engine import DevicePicture


class SurfaceInlet:
    """Fills the network's inputs from pictures that a decoder left on the device.

    A picture is first copied to memory whose address never changes, rows close together, and a
    compiled graph makes planes of that. Nothing here waits.

    Args:
        graph: Format and sizes.
        program: The compiled graph.
        layout: Of requests.
        device: Where they are computed.
        stream: Where requests are copied in.
        inputs: The network's, of each slot; nothing may be using them.
    """

    def __init__(
        self,
        graph: SurfaceGraph,
        program: Program,
        layout: SessionLayout,
        *,
        device: Device,
        stream: Stream,
        inputs: Sequence[Memory],
    ) -> None:
        self._shapes = graph.picture_format.plane_shapes
        self._device = device
        self._stream = stream
        self._sizes = graph.sizes
        names = plane_names(graph.picture_format)
        self._slots: list[list[tuple[Memory, Memory, Launch]]] = []
        for memory in inputs:
            pictures = []
            for number in range(layout.batch):
                luma, chroma = (device.allocate(size) for size in graph.sizes)
                planes = dict(zip(names, layout.picture(memory, number), strict=True))
                launch = program.bind({LUMA: luma, CHROMA: chroma} | planes)
                pictures.append((luma, chroma, launch))
            self._slots.append(pictures)

    def fill(self, slot: int, pictures: Sequence[DevicePicture]) -> None:
        """Queue what fills a slot's inputs; its pictures must live until that is done.

        Raises:
            EngineError: One of them is on another device or of another size.
        """
        surfaces = [self._surfaces(picture) for picture in pictures]
        self._stream.wait_for_default()
        for (luma, chroma), (luma_here, chroma_here, launch) in zip(
            surfaces, self._slots[slot], strict=False
        ):
            self._stream.copy_rows(luma, luma_here)
            self._stream.copy_rows(chroma, chroma_here)
            self._stream.launch(launch)

    def _surfaces(self, picture: DevicePicture) -> tuple[Surface, Surface]:
        luma, chroma = (self._device.surface(part) for part in (picture.luma, picture.chroma))
        wanted = self._shapes[0], (*self._shapes[1], 2)
        if (luma.shape, chroma.shape) != wanted:
            raise EngineError(
                f"a decoder's picture must be {wanted[0]} and {wanted[1]}, got {luma.shape} and"
                f" {chroma.shape}"
            )
        if (luma.size, chroma.size) != self._sizes:
            raise EngineError(f"a decoder's picture must have {self._sizes} bytes, got {luma.size}")
        return luma, chroma
