"""Pictures of any size and format, made to fit one output that never changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from engines.engine import CHROMA_SHIFT, PictureFormat, Planes
from pipeline.frame import ColourTags, Frame
from pipeline.media import BT709, FULL_RANGE, LIMITED_RANGE, picture_format, split_name
from pipeline.sinks.picture import Packer
from pipeline.sources.picture import plane_views

_SQUARE = Fraction(1)


@dataclass(frozen=True, kw_only=True)
class _Placing:
    """Where a picture goes within the output, in luma samples."""

    width: int
    height: int
    left: int
    top: int


class Fitter:
    """Scales pictures into an output of one size, between black bars where their shape differs.

    Args:
        width: Of the output.
        height: Of the output.
        pixel_format: Of the output, a planar one without alpha, e.g. `yuv420p`.
        sample_aspect_ratio: Width of one of the output's samples over its height; None for square
            ones.

    Raises:
        SourceError: The pixel format is not one that frames can have.
    """

    def __init__(
        self,
        width: int,
        height: int,
        pixel_format: str,
        *,
        sample_aspect_ratio: Fraction | None = None,
    ) -> None:
        self._format = picture_format(pixel_format, width, height)
        self._pixel_format = pixel_format
        self._shape = sample_aspect_ratio or _SQUARE
        self._scaler = VideoReformatter()
        # What was worked out for the last picture holds as long as the next ones are like it.
        self._seen: tuple[PictureFormat, str, ColourTags, Fraction] | None = None
        self._colour = ColourTags()
        self._packer = Packer(pixel_format, self._colour, alpha=False)
        self._placing = _Placing(width=width, height=height, left=0, top=0)

    def fit(self, frame: Frame, *, sample_aspect_ratio: Fraction | None = None) -> Frame:
        """Return the frame itself where it fits, and otherwise one that does.

        Time, packets and the rest stay as they are. RGB becomes YUV by BT.709's matrix, in limited
        range; an alpha plane is left out.

        Args:
            frame: Of any size and format.
            sample_aspect_ratio: Of this frame; None for that of the output.
        """
        shape = sample_aspect_ratio or self._shape
        if (
            frame.format == self._format
            and frame.pixel_format == self._pixel_format
            and shape == self._shape
        ):
            return frame
        self._look_at(frame, shape)
        return replace(
            frame,
            planes=self._fitted(frame),
            format=self._format,
            pixel_format=self._pixel_format,
            colour=self._colour,
            alpha=(),
            before=self._fitted(replace(frame, planes=frame.before)) if frame.before else (),
        )

    def _look_at(self, frame: Frame, shape: Fraction) -> None:
        """Work out what to do with a picture, unless the last one was like it."""
        key = frame.format, frame.pixel_format, frame.colour, shape
        if key == self._seen:
            return
        self._colour = self._tags(frame)
        self._packer = Packer(self._pixel_format, self._colour, alpha=False)
        self._placing = self._place(frame.format, shape / self._shape)
        self._seen = key

    def _tags(self, frame: Frame) -> ColourTags:
        """Return the tags of what a frame becomes."""
        if frame.format.layout == "gbr" and self._format.layout not in ("gbr", "gray"):
            return replace(frame.colour, space=BT709, range=LIMITED_RANGE)
        return frame.colour

    def _place(self, source: PictureFormat, shape: Fraction) -> _Placing:
        """Return the largest place that has the picture's shape, in the middle of the output."""
        width, height = self._format.width, self._format.height
        aspect = Fraction(source.width, source.height) * shape
        if aspect >= Fraction(width, height):
            step = 1 << CHROMA_SHIFT[self._format.layout][1]
            inner = _rounded(width / aspect, step, height)
            return _Placing(width=width, height=inner, left=0, top=_middle(height - inner, step))
        step = 1 << CHROMA_SHIFT[self._format.layout][0]
        inner = _rounded(height * aspect, step, width)
        return _Placing(width=inner, height=height, left=_middle(width - inner, step), top=0)

    def _fitted(self, frame: Frame) -> Planes:
        """Return the frame's planes in the output's size and format."""
        place = self._placing
        picture = self._scaled(self._packer.picture(replace(frame, alpha=())), place)
        inner, _ = plane_views(picture)
        if (place.width, place.height) == (self._format.width, self._format.height):
            return inner
        outer = self._black()
        shift_x, shift_y = CHROMA_SHIFT[self._format.layout]
        for index, (held, put) in enumerate(zip(outer, inner, strict=True)):
            left, top = (place.left, place.top)
            if index:
                left, top = left >> shift_x, top >> shift_y
            rows, columns = put.shape
            held[top : top + rows, left : left + columns] = put
        return outer

    def _scaled(self, picture: VideoFrame, place: _Placing) -> VideoFrame:
        if (picture.width, picture.height) == (place.width, place.height):
            return picture
        shrinks = picture.width >= place.width and picture.height >= place.height
        kind = Interpolation.AREA if shrinks else Interpolation.BILINEAR
        # The same range on both sides, or swscale stretches the samples.
        return self._scaler.reformat(
            picture,
            place.width,
            place.height,
            self._pixel_format,
            src_color_range=self._colour.range or LIMITED_RANGE,
            dst_color_range=self._colour.range or LIMITED_RANGE,
            interpolation=kind | Interpolation.ACCURATE_RND,
        )

    def _black(self) -> Planes:
        """Return new planes that show black."""
        layout, bits, _ = split_name(self._pixel_format)
        dtype: Any = self._format.dtype
        # Untagged YUV is limited. Untagged grey is either, and 0 is black in both.
        is_full = self._colour.range == FULL_RANGE or layout == "gbr"
        if layout == "gray":
            is_full = self._colour.range != LIMITED_RANGE
        luma = 0 if is_full else 16 << (bits - 8)
        chroma = 0 if layout == "gbr" else 1 << (bits - 1)
        shapes = self._format.plane_shapes
        levels = (luma, chroma, chroma)[: len(shapes)]
        return tuple(
            np.full(shape, level, dtype) for shape, level in zip(shapes, levels, strict=True)
        )


def _rounded(size: Fraction, step: int, most: int) -> int:
    """Return the multiple of `step` next to a size; all there is where no more would fit."""
    nearest = max(step, round(size / step) * step)
    return most if nearest >= most else nearest


def _middle(space: int, step: int) -> int:
    return space // 2 // step * step
