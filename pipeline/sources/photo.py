"""A photo as a single frame, in its own layout and bit depth."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from av.error import FFmpegError

from engines.engine import PictureFormat, Plane, Planes
from pipeline.errors import SourceError
from pipeline.frame import ColourTags, Frame
from pipeline.media import FULL_RANGE, SourceInfo, pixel_format_name
from pipeline.sources.file import open_container
from pipeline.sources.photo_blocks import PhotoBlocks, read_blocks
from pipeline.sources.picture import Unpacker
from pipeline.sources.probe import video_stream

if TYPE_CHECKING:
    import av

log = logging.getLogger(__name__)

_TIME_BASE = Fraction(1, 25)
_OPAQUE_PALETTE = "pal8"
_RGB_MATRIX = 0
_CMYK_COMPONENTS = 4


class PhotoSource:
    """A JPEG, PNG, WebP or TIFF as one frame.

    EXIF orientation is not applied, as the copy keeps it; EXIF, colour profile and the like travel
    untouched in `info`.

    Args:
        path: The photo.

    Raises:
        SourceError: The file cannot be read, is animated, or has a layout that is not supported.
    """

    info: SourceInfo

    def __init__(self, path: str | Path) -> None:
        self._url = str(path)
        path = Path(path)
        blocks = _blocks(path)
        self._frame: Frame | None = self._decode(path, blocks)
        frame = self._frame
        self.info = SourceInfo(
            url=self._url,
            width=frame.format.width,
            height=frame.format.height,
            pixel_format=frame.pixel_format,
            time_base=_TIME_BASE,
            frame_count=1,
            colour=frame.colour,
            alpha=bool(frame.alpha),
            container=blocks.kind or path.suffix.lower().lstrip("."),
            exif=blocks.exif,
            icc_profile=blocks.icc_profile,
            blocks=blocks.blocks,
        )
        if blocks.kind == "tiff":
            log.warning("%s: tags of a TIFF (profile, orientation) are not kept", self._url)

    decode_errors = 0
    """Photos decode or they do not."""

    def frames(self) -> Iterator[Frame]:
        """Yield the photo; a source can be read once."""
        frame, self._frame = self._frame, None
        if frame is not None:
            yield frame

    def tail(self) -> tuple[av.Packet[Any], ...]:
        """Return nothing: photos have no other streams."""
        return ()

    def close(self) -> None:
        """Do nothing: the file was read when it was opened."""

    def _decode(self, path: Path, blocks: PhotoBlocks) -> Frame:
        try:
            frame = self._decode_by_ffmpeg(path)
        except FFmpegError as error:
            log.info("%s: FFmpeg cannot decode it (%s), trying OpenCV", path, error.strerror)
            frame = _decode_by_opencv(path, error)
        if blocks.kind == "jpeg" and blocks.components == _CMYK_COMPONENTS:
            raise SourceError(f"{path}: is a CMYK photo, for printing; convert it to RGB first")
        return frame

    def _decode_by_ffmpeg(self, path: Path) -> Frame:
        with open_container(path) as container:
            stream = video_stream(container, self._url)
            picture = next(container.decode(stream), None)
            if picture is None:
                raise SourceError(f"{path}: holds no picture; it is damaged or truncated")
            if picture.is_corrupt:
                raise SourceError(f"{path}: is damaged or truncated; copy it again")
            frame = Unpacker().frame(picture, pts=0, time_base=_TIME_BASE, discontinuity=True)
            # Palettes have an alpha channel that most of them do not use.
            if (
                picture.format.name == _OPAQUE_PALETTE
                and int(frame.alpha[0].min()) == frame.format.peak
            ):
                frame = replace(frame, alpha=())
            return frame


def _blocks(path: Path) -> PhotoBlocks:
    try:
        blocks = read_blocks(path.read_bytes())
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; check the name and the rights") from error
    if blocks.animated:
        raise SourceError(f"{path}: is an animation; convert it to a video first")
    return blocks


def _decode_by_opencv(path: Path, reason: FFmpegError) -> Frame:
    import cv2

    data: Any = np.frombuffer(path.read_bytes(), np.uint8)
    # Unchanged: own depth, alpha kept, EXIF orientation not applied.
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise SourceError(
            f"{path}: is not a photo that can be read ({reason.strerror}); it may be damaged or of"
            " another kind"
        ) from reason
    bits = 8 if pixels.dtype == np.uint8 else 16
    height, width = pixels.shape[:2]
    channels: list[Plane] = [
        np.ascontiguousarray(one) for one in np.atleast_3d(pixels).transpose(2, 0, 1)
    ]
    planes: Planes = (channels[0],)
    if len(channels) >= 3:
        blue, green, red = channels[:3]
        planes = (green, blue, red)
    form = PictureFormat(
        layout="gbr" if len(planes) == 3 else "gray", bits=bits, width=width, height=height
    )
    return Frame(
        planes=planes,
        format=form,
        pixel_format=pixel_format_name(form),
        pts=0,
        time_base=_TIME_BASE,
        colour=ColourTags(space=_RGB_MATRIX if len(planes) == 3 else 2, range=FULL_RANGE),
        alpha=tuple(channels[3:]),
        discontinuity=True,
    )
