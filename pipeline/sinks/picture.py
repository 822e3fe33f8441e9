"""From a `Frame` to the picture an encoder takes, without copying its samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from engines.engine import CHROMA_SHIFT, Planes
from pipeline.frame import ColourTags, Frame
from pipeline.media import FULL_RANGE, LIMITED_RANGE, pixel_format_name

_SEMI_PLANAR = ("nv", "p0")
_YUV = ("yuv", *_SEMI_PLANAR)
"""How formats of luma and chroma begin."""


class Packer:
    """Wraps planes as FFmpeg pictures, and converts them where the encoder takes another format.

    Args:
        pixel_format: What the encoder takes, FFmpeg's name.
        colour: Tags that the encoder writes; their range is the one pictures are put in.
        alpha: The pixel format has an alpha plane.
    """

    def __init__(self, pixel_format: str, colour: ColourTags, *, alpha: bool) -> None:
        self._target = pixel_format
        self._colour = colour
        self._alpha = alpha
        self._reformatter = VideoReformatter()

    def picture(self, frame: Frame) -> VideoFrame:
        """Return the frame's picture with pts, time base and colour tags.

        Its memory is the frame's own where format and size allow; FFmpeg keeps that alive for as
        long as it needs the picture.
        """
        alpha = frame.alpha if self._alpha else ()
        name = pixel_format_name(frame.format, alpha=bool(alpha))
        picture = wrap(frame.planes + alpha, name)
        if name != self._target:
            picture = self._convert(picture, frame)
        picture.pts, picture.time_base = frame.pts, frame.time_base
        picture.duration = frame.duration
        picture.colorspace = self._colour.space
        picture.color_primaries = self._colour.primaries
        picture.color_trc = self._colour.transfer
        picture.color_range = self._colour.range
        return picture

    def _convert(self, picture: VideoFrame, frame: Frame) -> VideoFrame:
        """Return the picture in the encoder's format; only RGB to YUV changes the matrix."""
        layout = frame.format.layout
        if layout == "gray" or self._colour.range == frame.colour.range != FULL_RANGE:
            # swscale takes grey for full range and must not stretch it.
            source = target = FULL_RANGE if layout == "gray" else LIMITED_RANGE
        else:
            source = frame.colour.range or LIMITED_RANGE
            target = self._colour.range or LIMITED_RANGE
        to_yuv = layout == "gbr" and self._target.startswith(_YUV)
        if layout == "gbr":
            source = FULL_RANGE
            target = LIMITED_RANGE if to_yuv else FULL_RANGE
        return self._reformatter.reformat(
            picture,
            picture.width,
            picture.height,
            self._target,
            dst_colorspace=Colorspace.ITU709 if to_yuv else None,
            src_color_range=source,
            dst_color_range=target,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
            # Where samples are only moved, swscale writes beyond a row; see `Unpacker.planar`.
            threads=1 if self._target.startswith(_SEMI_PLANAR) else None,
        )


def wrap(planes: Planes, pixel_format: str) -> VideoFrame:
    """Return an FFmpeg picture of planes (H, W) in a planar format, sharing their memory.

    Copied instead: rows that are not stored forwards and densely, and odd sizes of subsampled
    formats, which PyAV refuses to wrap.
    """
    height, width = planes[0].shape
    if all(_is_plain(plane) for plane in planes) and not _is_odd(pixel_format, width, height):
        exported: Any = planes
        return VideoFrame.from_dlpack(exported, format=pixel_format, width=width, height=height)
    picture = VideoFrame(width, height, pixel_format)
    for plane, held in zip(planes, picture.planes, strict=True):
        buffer: Any = held
        rows = np.frombuffer(buffer, plane.dtype).reshape(held.height, -1)
        rows[:, : held.width] = plane
    return picture


def _is_plain(plane: np.ndarray[Any, Any]) -> bool:
    """Whether DLPack and FFmpeg can describe the plane: dense rows, forwards, writable."""
    row, sample = plane.strides
    # NumPy exports no read-only memory; engines may hand out broadcast or flipped views.
    return sample == plane.itemsize and row >= plane.shape[1] * sample and plane.flags.writeable


def _is_odd(pixel_format: str, width: int, height: int) -> bool:
    shifts = next((CHROMA_SHIFT[key] for key in ("420", "422") if key in pixel_format), (0, 0))
    return bool((shifts[0] and width % 2) or (shifts[1] and height % 2))
