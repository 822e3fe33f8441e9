"""What is known about an input before its first frame, and the pixel formats frames come in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Protocol

from engines.engine import Layout, PictureFormat
from pipeline.errors import SourceError
from pipeline.frame import ColourTags

if TYPE_CHECKING:
    from av.container.core import Chapter
    from av.stream import Stream

BT709 = 1
"""FFmpeg's number of BT.709, for primaries, transfer and matrix alike."""
LIMITED_RANGE = 1
"""FFmpeg's AVCOL_RANGE_MPEG: 16..235, and 16..240 for chroma."""
FULL_RANGE = 2
"""FFmpeg's AVCOL_RANGE_JPEG: all code values are used."""

_PLANAR = re.compile(r"(?P<family>gray|yuva?4(?:20|22|44)p|gbra?p)(?P<bits>9|1[0246])?(?:le)?")

# Packed, semi-planar and odd formats that carry exactly the samples of a planar one. Nothing here
# converts colours, except that 4:1:1, 4:1:0 and 4:4:0 repeat chroma up to the next layout we have.
_SIBLINGS: dict[str, str] = {
    **dict.fromkeys(("nv12", "nv21", "yuv410p"), "yuv420p"),
    **dict.fromkeys(("nv16", "yuyv422", "uyvy422", "yvyu422", "yuv411p", "uyyvyy411"), "yuv422p"),
    **dict.fromkeys(("nv24", "nv42", "vuyx", "vyu444", "yuv440p"), "yuv444p"),
    **dict.fromkeys(("ayuv", "vuya", "uyva"), "yuva444p"),
    **dict.fromkeys(("nv20", "p210", "y210"), "yuv422p10le"),
    **dict.fromkeys(("p212", "y212"), "yuv422p12le"),
    **dict.fromkeys(("p216", "y216"), "yuv422p16le"),
    **dict.fromkeys(("p410", "xv30", "v30x", "yuv440p10"), "yuv444p10le"),
    **dict.fromkeys(("p412", "xv36", "yuv440p12"), "yuv444p12le"),
    **dict.fromkeys(("p416", "xv48"), "yuv444p16le"),
    **dict.fromkeys(("rgb24", "bgr24", "rgb0", "bgr0", "0rgb", "0bgr"), "gbrp"),
    **dict.fromkeys(("rgb8", "bgr8", "rgb4_byte", "bgr4_byte"), "gbrp"),
    **dict.fromkeys(("rgb444", "bgr444", "rgb555", "bgr555", "rgb565", "bgr565"), "gbrp"),
    **dict.fromkeys(("rgba", "bgra", "argb", "abgr", "pal8"), "gbrap"),
    **dict.fromkeys(("rgb48", "bgr48"), "gbrp16le"),
    **dict.fromkeys(("rgba64", "bgra64"), "gbrap16le"),
    **dict.fromkeys(("x2rgb10", "x2bgr10"), "gbrp10le"),
    **dict.fromkeys(("monow", "monob", "ya8"), "gray"),
    "p010": "yuv420p10le",
    "p012": "yuv420p12le",
    "p016": "yuv420p16le",
    "ayuv64": "yuva444p16le",
    "ya16": "gray16le",
}

_LAYOUTS: dict[str, Layout] = {
    "gray": "gray",
    "yuv420p": "420",
    "yuv422p": "422",
    "yuv444p": "444",
    "gbrp": "gbr",
}


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """What a source knows before its first frame; a sink is built from it.

    Everything that a container keeps beside the picture is here, so that a sink can copy it.
    """

    url: str
    """Path or address, as the user wrote it; for messages."""
    width: int
    height: int
    pixel_format: str
    """FFmpeg's planar name, as in `Frame.pixel_format`."""
    time_base: Fraction
    """Seconds per unit of the frames' pts."""
    frame_rate: Fraction | None = None
    """Average frames per second; None where the container does not say."""
    frame_count: int | None = None
    """Estimate of the frames to come (for an ETA); None for a live source."""
    duration_s: float | None = None
    colour: ColourTags = field(default_factory=ColourTags)
    sample_aspect_ratio: Fraction | None = None
    """Width of a sample over its height; None where untagged."""
    rotation: int = 0
    """Degrees counter-clockwise by which a player turns the picture."""
    display_matrix: tuple[int, ...] | None = None
    """The container's nine numbers behind `rotation` (they may also mirror); None for none."""
    interlaced: bool = False
    """The input is interlaced (frames from a deinterlacing source are not)."""
    alpha: bool = False
    """Frames carry an alpha plane."""
    container: str = ""
    """FFmpeg's name of the input format."""
    codec: str = ""
    """FFmpeg's name of the input's video codec."""
    streams: tuple[Stream, ...] = ()
    """The input's audio, subtitle, data and picture streams whose packets ride along, as
    templates; valid until the source is closed."""
    attachments: tuple[Stream, ...] = ()
    """The input's attachments (fonts, covers in Matroska), as templates."""
    metadata: dict[str, str] = field(default_factory=dict)
    video_metadata: dict[str, str] = field(default_factory=dict)
    """Tags of the video stream, its language among them."""
    video_disposition: int = 0
    """FFmpeg's AV_DISPOSITION flags of the video stream."""
    video_position: int = 0
    """How many of `streams` come before the video stream in the input."""
    chapters: tuple[Chapter, ...] = ()
    exif: bytes | None = None
    """The photo's EXIF block (TIFF structure), untouched; its orientation is not applied."""
    icc_profile: bytes | None = None
    """The photo's colour profile, untouched."""
    blocks: tuple[tuple[str, bytes], ...] = ()
    """The photo's metadata as its kind of file stores it (JPEG segments, PNG or WebP chunks), for
    a copy of the same kind."""
    mastering_display: tuple[Fraction, ...] | None = None
    """HDR: red x, y, green x, y, blue x, y, white x, y, least and most luminance in cd/m2."""
    content_light: tuple[int, int] | None = None
    """HDR: brightest sample and brightest frame average in cd/m2 (MaxCLL, MaxFALL)."""

    @property
    def picture_format(self) -> PictureFormat:
        """Layout, bit depth and size of the frames."""
        return picture_format(self.pixel_format, self.width, self.height)


@cache
def split_name(pixel_format: str) -> tuple[Layout, int, bool]:
    """Return layout, bits per sample and whether there is an alpha plane, of a planar format.

    Raises:
        SourceError: Not a planar integer format that frames can have; see `planar_sibling`.
    """
    found = _PLANAR.fullmatch(pixel_format)
    if found is None:
        raise SourceError(f"pixel format {pixel_format!r} is not one that frames can have")
    family = found["family"]
    colour = family.replace("yuva", "yuv").replace("gbrap", "gbrp")
    return _LAYOUTS[colour], int(found["bits"] or 8), colour != family


@lru_cache
def picture_format(pixel_format: str, width: int, height: int) -> PictureFormat:
    """Return the `PictureFormat` of a planar pixel format at a size.

    Raises:
        SourceError: Not a planar integer format that frames can have; see `planar_sibling`.
    """
    layout, bits, _ = split_name(pixel_format)
    return PictureFormat(layout=layout, bits=bits, width=width, height=height)


def pixel_format_name(picture: PictureFormat, *, alpha: bool = False) -> str:
    """Return FFmpeg's little-endian planar name for a picture format.

    Raises:
        ValueError: `alpha` with `gray`, for which FFmpeg has no planar integer format.
    """
    suffix = "" if picture.bits == 8 else f"{picture.bits}le"
    if picture.layout == "gray":
        if alpha:
            raise ValueError("FFmpeg has no planar grey format with alpha; use gbr")
        return f"gray{suffix}"
    if picture.layout == "gbr":
        return f"gbr{'a' if alpha else ''}p{suffix}"
    return f"yuv{'a' if alpha else ''}{picture.layout}p{suffix}"


@cache
def planar_sibling(pixel_format: str) -> str:
    """Return the planar, little-endian format with the same samples as any decoder's format.

    Bit depth, range and matrix stay the same; the `yuvj` names lose their j, because the full
    range that it stands for travels in `ColourTags.range`.

    Raises:
        SourceError: No integer format carries these samples (floating point, XYZ, Bayer,
            hardware frames).
    """
    name = pixel_format.replace("yuvj", "yuv")
    if _PLANAR.fullmatch(name):
        return name
    stem = name.removesuffix("le").removesuffix("be")
    sibling = _SIBLINGS.get(stem)
    if sibling is None and name.endswith("be") and _PLANAR.fullmatch(f"{stem}le"):
        sibling = f"{stem}le"
    if sibling is None:
        raise SourceError(
            f"pixel format {pixel_format!r} is not supported: only integer YUV, RGB and grey"
            " pictures are; convert the input first"
        )
    return sibling


class Rational(Protocol):
    """What `Fraction` and PyAV 19's `AVRational` have in common."""

    @property
    def numerator(self) -> int:
        """Above the line."""
        ...

    @property
    def denominator(self) -> int:
        """Below the line; FFmpeg's "unknown" is 0/0 or 0/1."""
        ...


def as_fraction(value: Rational | None) -> Fraction | None:
    """Return an exact `Fraction`, or None for 0/0, n/0 and None.

    PyAV 18 has `Fraction | None` where PyAV 19 has `AVRational`: both pass through here, once.
    """
    if value is None:
        return None
    numerator, denominator = int(value.numerator), int(value.denominator)
    return Fraction(numerator, denominator) if denominator else None
