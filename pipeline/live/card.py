"""What is shown while a source is away: its last picture, dimmed, and since when."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import cast

import cv2
import numpy as np

from engines.engine import PictureFormat, Plane, Planes
from pipeline.frame import ColourTags, Frame
from pipeline.live.access import CLOCK
from pipeline.media import BT709, FULL_RANGE, LIMITED_RANGE, SourceInfo, pixel_format_name

_DIM = 0.4
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def blank(width: int, height: int) -> Frame:
    """Return a black 8-bit 4:2:0 picture, for a source that has not been there yet."""
    picture_format = PictureFormat("420", 8, width, height)
    luma, *chroma = picture_format.plane_shapes
    planes = (np.full(luma, 16, np.uint8), *(np.full(shape, 128, np.uint8) for shape in chroma))
    return Frame(
        planes=planes,
        format=picture_format,
        pixel_format="yuv420p",
        pts=0,
        time_base=CLOCK,
        colour=ColourTags(space=BT709, primaries=BT709, transfer=BT709, range=LIMITED_RANGE),
        discontinuity=True,
    )


def blank_info(width: int, height: int, frame_rate: Fraction) -> SourceInfo:
    """Return what there is to know of `blank`."""
    frame = blank(width, height)
    return SourceInfo(
        url="",
        width=width,
        height=height,
        pixel_format=pixel_format_name(frame.format, alpha=False),
        time_base=CLOCK,
        frame_rate=frame_rate,
        colour=frame.colour,
    )


def with_card(frame: Frame, lines: tuple[str, ...]) -> Frame:
    """Return a dimmed copy of a frame with lines of text across its middle.

    Args:
        frame: 8 to 16 bits, any layout; its planes are not written to.
        lines: ASCII; OpenCV's letters have nothing else.
    """
    if frame.format.layout == "gbr":
        planes: Planes = tuple(_dimmed(plane, 0) for plane in frame.planes)
        _write(planes, lines, level=frame.format.peak)
        return replace(frame, planes=planes)
    full = frame.colour.range == FULL_RANGE
    shift = frame.format.bits - 8
    black, white = (0, 255) if full else (16, 235)
    luma = _dimmed(frame.planes[0], black << shift)
    _write((luma,), lines, level=white << shift)
    neutral = 128 << shift
    chroma = (_dimmed(plane, neutral) for plane in frame.planes[1:])
    return replace(frame, planes=(luma, *chroma))


def _dimmed(plane: Plane, rest: int) -> Plane:
    """Return a plane drawn towards the code value of black, or of no colour."""
    return (
        cast(Plane, cv2.convertScaleAbs(plane, alpha=_DIM, beta=(1 - _DIM) * rest))
        if (plane.dtype == np.uint8)
        else (plane * _DIM + (1 - _DIM) * rest).astype(np.uint16)
    )


def _write(planes: Planes, lines: tuple[str, ...], *, level: int) -> None:
    """Draw centred lines onto planes of full size, in place."""
    height, width = planes[0].shape
    scale = max(0.4, min(height / 480, width / 640))
    thickness = max(1, round(2 * scale))
    sizes = [cv2.getTextSize(line, _FONT, scale, thickness)[0] for line in lines]
    step = round(36 * scale)
    top = height // 2 - step * (len(lines) - 1) // 2
    letters = np.zeros((height, width), np.uint8)  # OpenCV draws on 8 bits only
    for index, (line, (line_width, line_height)) in enumerate(zip(lines, sizes, strict=True)):
        at = ((width - line_width) // 2, top + index * step + line_height // 2)
        cv2.putText(letters, line, at, _FONT, scale, 255, thickness)
    for plane in planes:
        plane[letters > 0] = level
