"""Decoding on an NVIDIA GPU: whether it can, and its pictures as frames that stay there.

Run on an H200 with PyAV 18.1 (H.264 to 2160p); its pictures were not compared there. FFmpeg copies
each picture out of the decoder's few surfaces, so any number may be held, and it does so in the
device's default stream: `Stream.synchronize` and events of that stream are what orders a reader
after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from av.codec.hwaccel import HWAccel
from av.error import FFmpegError

from engines.engine import DevicePicture, Planes, cuda_device
from pipeline.ffmpeg_log import error_log, reason
from pipeline.frame import Frame
from pipeline.media import picture_format
from pipeline.pyav import open_input
from pipeline.sources.cuda_context import FFMPEG_OPTIONS, CudaFaultError, primary_context
from pipeline.sources.picture import Unpacker, colour_tags, plane_views, stored_format

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

Decode = Literal["auto", "cpu", "cuda"]
"""`cuda` insists on a GPU; `auto` tries it and says why the CPU decodes instead."""

_PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le"}
"""What the decoder stores that can be taken from the device, and its planar sibling."""


def who_decodes(wish: Decode, engine: object, *, on_host: bool = False) -> tuple[Decode, int]:
    """Return who is to decode for an engine, and the number of the GPU that would.

    Args:
        wish: What was asked for.
        engine: It takes the pictures; None where there is none.
        on_host: Whether they are needed in the host's memory, too.
    """
    taken = cuda_device(engine)
    if wish == "auto" and (taken is None or on_host):
        return "cpu", 0
    return wish, taken or 0


class GpuRefusalError(Exception):
    """A GPU does not decode a file; the message says why, in half a sentence."""


class GpuDecoder:
    """One GPU's decoders.

    Args:
        device: The GPU's number.
    """

    def __init__(self, device: int) -> None:
        self._device = device
        # Of the thread that asks for copies, which is another one than the decoder's.
        self._copier = Unpacker()

    def __str__(self) -> str:
        return f"cuda:{self._device}"

    def open(self, path: Path) -> InputContainer:
        """Open a file to be decoded here, whose readability has been seen to.

        Raises:
            GpuRefusalError: There is no driver, no such GPU, or no memory on it.
        """
        # Where the decoder gives up in the middle of a file, FFmpeg's own goes on.
        hardware = HWAccel(
            "cuda",
            device=str(self._device),
            allow_software_fallback=True,
            options=dict(FFMPEG_OPTIONS),
            is_hw_owned=True,
        )
        try:
            with heard(), primary_context(self._device):
                return open_input(path, hwaccel=hardware)
        except CudaFaultError as error:
            raise GpuRefusalError(str(error)) from error

    def check_codec(self, context: VideoCodecContext) -> None:
        """Prepare a decoder.

        Raises:
            GpuRefusalError: It is none of the GPU's.
        """
        if not context.is_hwaccel:
            raise GpuRefusalError(f"no GPU decodes {context.name}")
        # Threads would only hold more pictures.
        context.thread_count = 1

    def check_picture(self, picture: VideoFrame, context: VideoCodecContext) -> None:
        """Look at the first picture.

        Raises:
            GpuRefusalError: It is not on the device, or not as the CPU would decode it.
        """
        if picture.format.name != "cuda":
            raise GpuRefusalError(
                f"it does not decode {picture.format.name} of {context.name} ({context.profile})"
            )
        stored = stored_format(picture)
        if stored not in _PLANAR:
            raise GpuRefusalError(f"its pictures are {stored}, not {' or '.join(_PLANAR)}")
        size = picture.width, picture.height
        if size != (context.width, context.height):
            raise GpuRefusalError("it cannot leave out what is cut off at the left or at the top")
        if picture.width % 2 or picture.height % 2:
            raise GpuRefusalError(f"chroma of odd sizes ({size[0]}x{size[1]}) cannot be reached")

    def holds(self, picture: VideoFrame) -> bool:
        """Return whether a picture can stay where it is; others come to the host."""
        return picture.format.name == "cuda" and stored_format(picture) in _PLANAR

    def frame(
        self,
        picture: VideoFrame,
        *,
        pts: int,
        time_base: Fraction,
        duration: int = 0,
        discontinuity: bool = False,
        packets: tuple[av.Packet[Any], ...] = (),
    ) -> Frame:
        """Return a picture that `holds` as a frame without planes."""
        name = _PLANAR[stored_format(picture)]
        form = picture_format(name, picture.width, picture.height)
        luma, chroma = picture.planes
        return Frame(
            planes=(),
            device=DevicePicture(luma, chroma, form.bits, partial(self._to_host, picture)),
            format=form,
            pixel_format=name,
            pts=pts,
            time_base=time_base,
            duration=duration,
            colour=colour_tags(picture),
            discontinuity=discontinuity,
            packets=packets,
        )

    def _to_host(self, picture: VideoFrame) -> Planes:
        planes, _ = plane_views(self._copier.planar(picture))
        return planes


@contextmanager
def heard() -> Iterator[None]:
    """Turn a fault of FFmpeg's within the block into a refusal, in the words of its log.

    Raises:
        GpuRefusalError: Something failed.
    """
    with error_log() as log:
        try:
            yield
        except (FFmpegError, OSError, RuntimeError, NotImplementedError) as error:
            raise GpuRefusalError(reason(error, log)) from error
