"""The video encoders, and how each is told what the source's picture is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from av.codec import Codec, find_best_pix_fmt_of_list
from av.codec.codec import PixFmtLoss, UnknownCodecError

from pipeline.errors import ConfigError, SinkError
from pipeline.frame import ColourTags
from pipeline.media import (
    BT709,
    FULL_RANGE,
    LIMITED_RANGE,
    SourceInfo,
    pixel_format_name,
    planar_sibling,
)

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

CodecName = Literal["h264", "hevc", "av1", "prores", "ffv1"]

_LOST = PixFmtLoss.RESOLUTION | PixFmtLoss.DEPTH | PixFmtLoss.CHROMA | PixFmtLoss.COLORQUANT


@dataclass(frozen=True, kw_only=True)
class VideoCodec:
    """One entry of `--codec`."""

    encoder: str
    """FFmpeg's name of the encoder."""
    crf: int | None = None
    """Default quality; None where the codec has no such setting."""
    preset: str | None = None
    """Default speed; None where the codec has no such setting."""
    options: dict[str, str] = field(default_factory=dict)
    quality: Mapping[str, str] = field(default_factory=lambda: {"crf": "{}"})
    """Options for a constant quality, `{}` for its number."""
    formats: tuple[str, ...] = ()
    """Pixel formats to choose from, where it is not to be all that the encoder takes."""
    alpha: bool = False
    """The codec keeps an alpha plane."""
    even_only: bool = False
    """The codec takes subsampled pictures of even width and height only."""
    limited_only: bool = False
    """The codec cannot say that a picture uses the full range."""
    hdr: Callable[[SourceInfo], dict[str, str]] | None = None
    """Options that write HDR mastering data into the stream."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What the encoder is given, decided from what the source has."""

    pixel_format: str
    colour: ColourTags
    alpha: bool
    note: str
    """In words, what differs from the source; empty if nothing does."""


def _chromaticities(values: tuple[Fraction, ...], scale: int) -> list[str]:
    """Return green, blue, red and white as `(x,y)`, in the order that encoders want."""
    red, green, blue, white = (values[index : index + 2] for index in range(0, 8, 2))
    return [f"({_units(x, scale)},{_units(y, scale)})" for x, y in (green, blue, red, white)]


def _units(value: Fraction, scale: int) -> str:
    return str(round(value * scale)) if scale > 1 else f"{float(value):.5f}"


def _x264_hdr(info: SourceInfo) -> dict[str, str]:
    """HDR for x264: primaries in 1/50000, luminance in 1/10000 cd/m2, as in the SEI itself."""
    parts = []
    if info.mastering_display:
        parts.append(f"mastering-display={_display_in_units(info.mastering_display)}")
    if info.content_light:
        parts.append("cll={},{}".format(*info.content_light))
    return {"x264-params": ":".join(parts)} if parts else {}


def _x265_hdr(info: SourceInfo) -> dict[str, str]:
    # x265 prints to stderr by itself, over the progress line.
    parts = ["log-level=none"]
    if info.mastering_display:
        parts.append(f"master-display={_display_in_units(info.mastering_display)}")
    if info.content_light:
        parts.append("max-cll={},{}".format(*info.content_light))
    return {"x265-params": ":".join(parts)}


def _display_in_units(values: tuple[Fraction, ...]) -> str:
    green, blue, red, white = _chromaticities(values, 50_000)
    least, most = values[8:10]
    light = f"L({_units(most, 10_000)},{_units(least, 10_000)})"
    return f"G{green}B{blue}R{red}WP{white}{light}"


def _svt_hdr(info: SourceInfo) -> dict[str, str]:
    parts = []
    if info.mastering_display:
        green, blue, red, white = _chromaticities(info.mastering_display, 1)
        least, most = info.mastering_display[8:10]
        light = f"L({float(most):.4f},{float(least):.4f})"
        parts.append(f"mastering-display=G{green}B{blue}R{red}WP{white}{light}")
    if info.content_light:
        parts.append("content-light={},{}".format(*info.content_light))
    return {"svtav1-params": ":".join(parts)} if parts else {}


CODECS: dict[CodecName, VideoCodec] = {
    "h264": VideoCodec(encoder="libx264", crf=18, preset="medium", even_only=True, hdr=_x264_hdr),
    "hevc": VideoCodec(encoder="libx265", crf=20, preset="medium", even_only=True, hdr=_x265_hdr),
    "av1": VideoCodec(encoder="libsvtav1", crf=28, preset="8", hdr=_svt_hdr),
    "prores": VideoCodec(
        encoder="prores_ks", options={"vendor": "apl0"}, alpha=True, limited_only=True
    ),
    "ffv1": VideoCodec(
        encoder="ffv1",
        alpha=True,
        options={"level": "3", "g": "1", "slicecrc": "1"},
    ),
}
"""Video codecs by the names that `--codec` takes."""


def find_codec(name: str) -> VideoCodec:
    """Return the codec called `name`, with an encoder that is there.

    Raises:
        ConfigError: No codec has that name.
        SinkError: This build of FFmpeg lacks its encoder.
    """
    codec = next((value for key, value in CODECS.items() if key == name), None)
    if codec is None:
        raise ConfigError(f"--codec: must be one of {', '.join(CODECS)}, got {name!r}")
    try:
        Codec(codec.encoder, "w")
    except UnknownCodecError as error:
        raise SinkError(
            f"encoder {codec.encoder} for --codec {name} is missing from this PyAV; choose another"
            f" of {', '.join(CODECS)}, or install PyAV's own wheel: pip install av"
        ) from error
    return codec


def choose_encoding(name: str, codec: VideoCodec, info: SourceInfo) -> Encoding:
    """Return the encoder's pixel format that keeps all samples of the source's, and its tags.

    Raises:
        SinkError: The codec would lose bit depth or colour resolution.
    """
    alpha = info.alpha and codec.alpha and not info.pixel_format.startswith("gray")
    wanted = pixel_format_name(info.picture_format, alpha=alpha)
    chosen = _nearest(codec, wanted, alpha=alpha)
    if chosen is None:
        others = [key for key in CODECS if key != name and _nearest(CODECS[key], wanted)]
        raise SinkError(
            f"{info.url}: --codec {name} cannot hold {wanted} pictures without loss;"
            f" use --codec {' or '.join(others)}"
        )
    if codec.even_only and _is_odd(planar_sibling(chosen), info):
        raise SinkError(
            f"{info.url}: --codec {name} takes {chosen} in even sizes only, and the picture is"
            f" {info.width}x{info.height}; use --codec av1 or ffv1"
        )
    notes, colour = [], info.colour
    # Semi-planar ones hold the very samples.
    is_same = chosen.startswith(("nv", "p0")) and planar_sibling(chosen) == wanted
    if chosen != wanted and not is_same:
        notes.append(f"{wanted} is written as {chosen}")
    if wanted.startswith("gbr") and chosen.startswith("yuv"):
        notes.append("with BT.709's matrix")
        colour = replace(colour, space=BT709, range=LIMITED_RANGE)
    if codec.limited_only and colour.range == FULL_RANGE:
        notes.append("in limited range, the only one it has")
        colour = replace(colour, range=LIMITED_RANGE)
    if info.alpha and not alpha:
        notes.append("without the alpha channel")
    note = f"{name}: {', '.join(notes)}" if notes else ""
    return Encoding(pixel_format=chosen, colour=colour, alpha=alpha, note=note)


def _is_odd(pixel_format: str, info: SourceInfo) -> bool:
    layout = next((key for key in ("420", "422") if key in pixel_format), None)
    if layout is None:
        return False
    return info.width % 2 == 1 or (layout == "420" and info.height % 2 == 1)


def _nearest(codec: VideoCodec, wanted: str, *, alpha: bool = False) -> str | None:
    """Return the encoder's format that loses no samples of `wanted`, or None."""
    formats = codec.formats or _formats_of(codec.encoder)
    # The `yuvj` names are old ones for a full range, which has its own tag.
    offered = [name for name in formats if not name.startswith("yuvj")]
    if wanted in offered:
        return wanted
    # Grey has no chroma to lose; FFmpeg compares its imaginary one.
    as_colour = wanted.replace("gray", "yuv420p")
    best, loss = find_best_pix_fmt_of_list(offered, as_colour, has_alpha=alpha)
    return None if best is None or loss & _LOST else best.name


def _formats_of(encoder: str) -> tuple[str, ...]:
    return tuple(one.name for one in Codec(encoder, "w").video_formats or [])


def encoder_options(
    codec: VideoCodec, info: SourceInfo, *, crf: int | None, preset: str | None
) -> dict[str, str]:
    """Return the encoder's private options.

    Raises:
        ConfigError: `crf` or `preset` for a codec that has none.
    """
    options = dict(codec.options)
    for option, value, default in (("crf", crf, codec.crf), ("preset", preset, codec.preset)):
        if value is not None and default is None:
            flag = "--crf" if option == "crf" else "--encoder-preset"
            raise ConfigError(f"{flag}: {codec.encoder} has no such setting; leave it out")
        if default is not None:
            chosen = str(default if value is None else value)
            places = codec.quality if option == "crf" else {option: "{}"}
            options |= {key: place.format(chosen) for key, place in places.items()}
    if codec.hdr is not None:
        options.update(codec.hdr(info))
    if codec.encoder == "libsvtav1":
        # It writes pages to stderr, over the progress line, and listens to nothing else.
        os.environ.setdefault("SVT_LOG", "1")
    return options


def tag(context: VideoCodecContext, encoding: Encoding, info: SourceInfo) -> None:
    """Write size, pixel format, shape and colour tags of the source on an encoder.

    Encoders do not copy colour tags from frames; what is not set here is lost.
    """
    context.width, context.height = info.width, info.height
    context.pix_fmt = encoding.pixel_format
    context.colorspace = encoding.colour.space
    context.color_primaries = encoding.colour.primaries
    context.color_trc = encoding.colour.transfer
    context.color_range = encoding.colour.range
    if info.sample_aspect_ratio:
        context.sample_aspect_ratio = info.sample_aspect_ratio
