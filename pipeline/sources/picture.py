"""From a decoder's picture to a `Frame`: planes as views of the decoder's own memory."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from engines.engine import Plane, Planes
from pipeline.frame import ColourTags, Frame
from pipeline.media import FULL_RANGE, picture_format, planar_sibling, split_name

if TYPE_CHECKING:
    import av
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane


_WRITTEN_AT_ONCE = 32
"""Samples of luma, 16 of chroma. Threads of swscale share a picture out by rows, and where rows end
in between they write beyond them: into the next one, which another thread may have finished."""


class Unpacker:
    """Turns decoded pictures into frames; keeps the one swscale context that packed ones need.

    Planar pictures are not touched at all. Packed and semi-planar ones are repacked to the planar
    format with the same samples: same depth, range and matrix, bit-exact.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def planar(self, picture: VideoFrame) -> VideoFrame:
        """Return the picture itself, or its bit-exact planar sibling; on the host, always.

        Raises:
            SourceError: No planar format carries these samples.
        """
        name = stored_format(picture)
        sibling = planar_sibling(name)
        is_planar = name.replace("yuvj", "yuv") == sibling or name.startswith("ya")
        if is_planar and name == picture.format.name:
            return picture
        # The same range on both sides, or swscale rescales the samples.
        code_range = FULL_RANGE if name.startswith("yuvj") else picture.color_range
        planar = self._reformatter.reformat(
            picture,
            picture.width,
            picture.height,
            sibling,
            src_color_range=code_range,
            dst_color_range=code_range,
            interpolation=Interpolation.POINT,
            threads=0 if picture.width % _WRITTEN_AT_ONCE == 0 else 1,
        )
        planar.pts, planar.duration = picture.pts, picture.duration
        if picture.time_base is not None:
            planar.time_base = picture.time_base
        return planar

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
        """Return `picture` as a `Frame`; its planes stay valid as long as the frame lives.

        Raises:
            SourceError: No planar format carries these samples.
        """
        colour = colour_tags(picture)
        planar = self.planar(picture)
        name = planar_sibling(planar.format.name)
        form = picture_format(name, planar.width, planar.height)
        planes, alpha = plane_views(planar)
        return Frame(
            planes=planes,
            format=form,
            pixel_format=without_alpha(name),
            pts=pts,
            time_base=time_base,
            duration=duration,
            colour=colour,
            alpha=alpha,
            discontinuity=discontinuity,
            packets=packets,
        )


def stored_format(picture: VideoFrame) -> str:
    """Return the format of a picture's samples, wherever they are."""
    stored = picture.sw_format
    return picture.format.name if stored is None else stored.name


def without_alpha(pixel_format: str) -> str:
    """Return the planar format of the colour planes alone."""
    return pixel_format.replace("yuva", "yuv").replace("gbra", "gbr")


def colour_tags(picture: VideoFrame) -> ColourTags:
    """Return the tags of one picture; only the `yuvj` names imply a range by themselves."""
    implied = picture.format.name.startswith("yuvj")
    return ColourTags(
        space=int(picture.colorspace),
        primaries=int(picture.color_primaries),
        transfer=int(picture.color_trc),
        range=FULL_RANGE if implied else int(picture.color_range),
    )


def plane_views(picture: VideoFrame) -> tuple[Planes, Planes]:
    """Return colour planes and alpha plane (or nothing) of a planar or grey-alpha picture."""
    if picture.format.name.startswith("ya"):
        return _grey_and_alpha(picture)
    _, bits, has_alpha = split_name(planar_sibling(picture.format.name))
    views = tuple(_view(plane, bits) for plane in picture.planes)
    return (views[:3], views[3:]) if has_alpha else (views, ())


def _view(plane: VideoPlane, bits: int) -> Plane:
    """Return (H, W) over the plane's memory; rows keep the decoder's padding between them."""
    buffer: Any = plane  # planes follow the buffer protocol; their type stubs do not say so
    dtype: Any = np.uint8 if bits == 8 else np.uint16
    rows: Any = np.frombuffer(buffer, dtype).reshape(plane.height, -1)[:, : plane.width]
    # FFmpeg marks a bottom-up picture by a negative line size; nobody downstream knows these.
    view: Plane = rows if plane.line_size > 0 else np.ascontiguousarray(rows[::-1])
    return view


def _grey_and_alpha(picture: VideoFrame) -> tuple[Planes, Planes]:
    """Split interleaved grey and alpha, which FFmpeg has no planar format for."""
    plane = picture.planes[0]
    buffer: Any = plane
    stored = {"ya8": "u1", "ya16le": "<u2", "ya16be": ">u2"}[picture.format.name]
    pairs = np.frombuffer(buffer, stored).reshape(plane.height, -1)[:, : 2 * plane.width]
    dtype: Any = np.uint8 if stored == "u1" else np.uint16
    native: Any = pairs.astype(dtype)
    return (np.ascontiguousarray(native[:, 0::2]),), (np.ascontiguousarray(native[:, 1::2]),)
