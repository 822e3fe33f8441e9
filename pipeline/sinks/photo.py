"""A photo: one frame, encoded with as little loss as its kind of file allows."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from av.codec import CodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from engines.engine import CHROMA_SHIFT, PictureFormat, Plane
from pipeline.errors import ConfigError, SinkError
from pipeline.frame import Frame
from pipeline.media import FULL_RANGE, LIMITED_RANGE, SourceInfo, pixel_format_name
from pipeline.sinks.photo_blocks import with_blocks
from pipeline.sinks.picture import wrap
from pipeline.sinks.target import Target
from pipeline.sources.photo_blocks import KINDS, PhotoKind
from pipeline.sources.picture import plane_views

if TYPE_CHECKING:
    import av

_DEFAULT_QUALITY = 98
_LOSSLESS = 100
_MATRICES = (1, 4, 5, 6, 7, 9)
"""AVColorSpace values whose matrix swscale knows."""


class PhotoSink:
    """Encodes one frame into PATH.part and renames it to PATH.

    PNG and TIFF are lossless, in the photo's own depth and with its alpha plane. JPEG and WebP are
    written near lossless. EXIF, colour profile and the like of the original are kept.

    Args:
        path: The file to write; its extension chooses the kind.
        info: The photo that is written.
        quality: 1 to 100, for JPEG and WebP; WebP's 100 is lossless.
        overwrite: Replace an existing file.

    Raises:
        SinkError: The file exists or its folder does not, or its kind cannot hold such a picture.
        ConfigError: `quality` is out of range.
    """

    def __init__(
        self,
        path: str | Path,
        info: SourceInfo,
        *,
        quality: int = _DEFAULT_QUALITY,
        overwrite: bool = False,
    ) -> None:
        if not 1 <= quality <= 100:
            raise ConfigError(f"--quality: must be 1 to 100, got {quality}")
        self._target = Target(path, overwrite=overwrite)
        self._info = info
        self._quality = quality
        self._written = False
        kind = KINDS.get(self.path.suffix.lower())
        if kind is None:
            raise SinkError(f"{self.path}: no such kind of photo; use one of {', '.join(KINDS)}")
        self._kind: PhotoKind = kind
        _refuse_loss(self.path, kind, info)

    @property
    def path(self) -> Path:
        """The final name."""
        return self._target.path

    def write(self, frame: Frame) -> None:
        """Encode the photo.

        Raises:
            SinkError: There was one already, or the file cannot be written.
        """
        if self._written:
            raise SinkError(f"{self.path}: a photo has one frame; write to .mp4 or .mkv")
        with self._target.writing():
            data = encode_photo(frame, self._kind, self._quality)
            self._target.part.write_bytes(with_blocks(data, self._kind, self._info))
        self._written = True

    def finish(self, tail: tuple[av.Packet[Any], ...]) -> None:
        """Give the file its final name.

        Raises:
            SinkError: No frame came, or renaming failed.
        """
        del tail
        if not self._written:
            raise SinkError(f"{self.path}: no frame came; there is nothing to write")
        self._target.complete()

    def abort(self) -> None:
        """Leave what there is as PATH.part."""


def _refuse_loss(path: Path, kind: PhotoKind, info: SourceInfo) -> None:
    deep = info.picture_format.bits > 8 and kind in ("jpeg", "webp")
    if deep:
        raise SinkError(
            f"{path}: {kind} holds 8 bits and the photo has {info.picture_format.bits};"
            " write to .png or .tif"
        )
    if info.alpha and kind == "jpeg":
        raise SinkError(f"{path}: JPEG has no transparency; write to .png or .webp")


def encode_photo(frame: Frame, kind: PhotoKind, quality: int = _DEFAULT_QUALITY) -> bytes:
    """Return the bytes of a photo file, without metadata.

    Args:
        frame: The picture; 8 bits for JPEG and WebP.
        kind: What kind of file.
        quality: 1 to 100, for JPEG and WebP; WebP's 100 is lossless.

    Raises:
        av.FFmpegError: The encoder failed.
    """
    if kind == "jpeg":
        return _jpeg(frame, quality)
    if kind == "webp":
        return _webp(frame, quality)
    if kind == "tiff" and not (frame.format.layout == "gray" and frame.alpha):
        return _tiff(frame)
    order = "be" if kind == "png" else "le"
    deep = frame.format.bits > 8
    if frame.format.layout == "gray":
        return _encode(kind, _grey(frame, deep=deep, order=order), {})
    alpha = "a" if frame.alpha else ""
    name = f"rgb{alpha}{'64' if alpha else '48'}{order}" if deep else f"rgb{alpha or '24'}"
    return _encode(kind, _rgb(frame, name), {})


def _jpeg(frame: Frame, quality: int) -> bytes:
    """Encode by libjpeg: FFmpeg's own encoder ends at about quality 97 and knows no grey."""
    import cv2

    layout = frame.format.layout
    sampling = {
        "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        "422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    }.get(layout, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling] if layout != "gray" else []
    _, data = cv2.imencode(".jpg", _interleaved(frame), flags)
    return data.tobytes()


def _tiff(frame: Frame) -> bytes:
    """Encode by libtiff: FFmpeg does not mark the fourth channel as alpha, so readers guess."""
    import cv2

    _, data = cv2.imencode(".tif", _interleaved(frame))
    return data.tobytes()


def _interleaved(frame: Frame) -> Any:  # noqa: ANN401 (uint8 or uint16)
    """Return grey (H, W), BGR (H, W, 3) or BGRA (H, W, 4) pixels, as OpenCV takes them."""
    if frame.format.layout == "gray":
        return np.ascontiguousarray(frame.planes[0])
    name = pixel_format_name(replace(frame.format, layout="gbr"), alpha=bool(frame.alpha))
    (green, blue, red), alpha = plane_views(_rgb(frame, name))
    return np.stack((blue, green, red, *alpha), axis=-1)


def _webp(frame: Frame, quality: int) -> bytes:
    # WebP's own YUV is of limited range; anything else goes through RGB.
    is_native = frame.format.layout == "420" and frame.colour.range != FULL_RANGE
    if not is_native or quality == _LOSSLESS:
        options = {"lossless": "1"} if quality == _LOSSLESS else {"quality": str(quality)}
        return _encode("libwebp", _rgb(frame, "bgra"), options)
    name = pixel_format_name(frame.format, alpha=bool(frame.alpha))
    picture = wrap(frame.planes + frame.alpha, name)
    return _encode("libwebp", picture, {"quality": str(quality)})


def _rgb(frame: Frame, name: str) -> VideoFrame:
    """Return a frame in an RGB format: bit-exact from planar RGB, by its own tags from YUV."""
    is_yuv = frame.format.layout not in ("gbr", "gray")
    planes, form = frame.planes, frame.format
    if is_yuv:
        # Repeated chroma comes back unchanged when JPEG averages it again; swscale's own scaler
        # drifts by up to a sample across odd sizes.
        planes = (planes[0], *(_repeated(plane, frame.format) for plane in planes[1:]))
        form = replace(form, layout="444")
    picture = wrap(planes + frame.alpha, pixel_format_name(form, alpha=bool(frame.alpha)))
    # JPEG and WebP mean BT.601 where nothing is tagged.
    matrix = frame.colour.space if frame.colour.space in _MATRICES else Colorspace.ITU601
    return VideoReformatter().reformat(
        picture,
        picture.width,
        picture.height,
        name,
        src_colorspace=matrix if is_yuv else None,
        src_color_range=(frame.colour.range or LIMITED_RANGE) if is_yuv else FULL_RANGE,
        dst_color_range=FULL_RANGE,
        interpolation=Interpolation.POINT | Interpolation.ACCURATE_RND,
    )


def _repeated(plane: Plane, form: PictureFormat) -> Plane:
    """Return a chroma plane at the size of luma."""
    shift_x, shift_y = CHROMA_SHIFT[form.layout]
    rows = plane.repeat(1 << shift_y, axis=0)[: form.height]
    larger: Any = rows.repeat(1 << shift_x, axis=1)[:, : form.width]
    repeated: Plane = np.ascontiguousarray(larger)
    return repeated


def _grey(frame: Frame, *, deep: bool, order: str) -> VideoFrame:
    """Return a grey picture with or without alpha, as PNG and TIFF encoders take it."""
    height, width = frame.planes[0].shape
    name = f"{'ya' if frame.alpha else 'gray'}{f'16{order}' if deep else '8' * bool(frame.alpha)}"
    sample: Any = np.dtype(np.uint8 if not deep else f"{'>' if order == 'be' else '<'}u2")
    planes = frame.planes + frame.alpha
    picture = VideoFrame(width, height, name)
    buffer: Any = picture.planes[0]
    rows = np.frombuffer(buffer, sample).reshape(height, -1)
    for number, plane in enumerate(planes):
        rows[:, number : width * len(planes) : len(planes)] = plane
    return picture


def _encode(encoder: str, picture: VideoFrame, options: dict[str, str]) -> bytes:
    context: Any = CodecContext.create(encoder, "w")  # the stubs know video encoders by name only
    context.width, context.height = picture.width, picture.height
    context.pix_fmt = picture.format.name
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.options = options
    picture.pts = 0
    packets = context.encode(picture) + context.encode(None)
    return b"".join(bytes(packet) for packet in packets)
