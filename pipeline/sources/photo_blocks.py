"""What a photo file stores beside the picture: EXIF, colour profile and everything like it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

PhotoKind = Literal["jpeg", "png", "webp", "tiff"]
Blocks = tuple[tuple[str, bytes], ...]

KINDS: dict[str, PhotoKind] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
}
"""Kind of photo by extension."""

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
EXIF_MARK = b"Exif\0\0"
ICC_MARK = b"ICC_PROFILE\0"
_MPF_MARK = b"MPF\0"
_ORIENTATION = 0x0112
# JPEG markers from here on open the compressed picture.
_START_OF_SCAN = 0xDA
# What PNG ties to the stored samples, and what the encoder writes itself.
_PNG_PICTURE = frozenset(
    {"IHDR", "PLTE", "IDAT", "IEND", "tRNS", "bKGD", "hIST", "sBIT", "acTL", "fcTL", "fdAT"}
)
_WEBP_KEPT = frozenset({"ICCP", "EXIF", "XMP "})


@dataclass(frozen=True, kw_only=True)
class PhotoBlocks:
    """A photo's metadata, untouched."""

    kind: PhotoKind | None
    """What the file is by its first bytes; None for none that is known."""
    blocks: Blocks = ()
    exif: bytes | None = None
    icc_profile: bytes | None = None
    animated: bool = False
    """There are more pictures than one."""
    components: int = 0
    """Colour components of a JPEG; 0 for others."""


def read_blocks(data: bytes) -> PhotoBlocks:
    """Return the metadata of a photo file's bytes; what is cut off is left out."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(PNG_MAGIC):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return PhotoBlocks(kind="tiff")
    return PhotoBlocks(kind=None)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and payload of each segment before the compressed picture."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, size = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xFF:
            place += 1  # any number of fill bytes may precede a marker
            continue
        if marker == _START_OF_SCAN:
            return
        yield marker, data[place + 4 : place + 2 + size]
        place += 2 + size


def exif_orientation(exif: bytes) -> int:
    """Return how viewers turn the photo, 1 to 8 as EXIF counts; 1, not at all, if it is damaged."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (place,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, place)
        for entry in range(count):
            # Number of the tag, type, count, and a short value.
            fields = struct.unpack_from(f"{order}HHIH", exif, place + 2 + 12 * entry)
            if fields[0] == _ORIENTATION:
                return fields[3] if 1 <= fields[3] <= 8 else 1
    except struct.error:
        pass  # Cut off.
    return 1


def png_chunks(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield type and payload of each chunk."""
    place = len(PNG_MAGIC)
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        yield kind.decode("latin-1"), data[place + 8 : place + 8 + size]
        place += 12 + size


def riff_chunks(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield type and payload of each WebP chunk."""
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        yield kind.decode("latin-1"), data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _jpeg(data: bytes) -> PhotoBlocks:
    blocks, profile, exif, components = [], [], None, 0
    for marker, payload in jpeg_segments(data):
        is_frame = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
        if is_frame and len(payload) > 5:
            components = payload[5]
        if payload.startswith(EXIF_MARK):
            exif = exif or payload[len(EXIF_MARK) :]
        if payload.startswith(ICC_MARK):
            profile.append(payload[len(ICC_MARK) + 2 :])
        # APP14 says how colours were coded and MPF points into the old file.
        kept = 0xE0 <= marker <= 0xED or marker in (0xEF, 0xFE)
        if kept and not payload.startswith(_MPF_MARK):
            blocks.append((f"{marker:02X}", payload))
    return PhotoBlocks(
        kind="jpeg",
        blocks=tuple(blocks),
        exif=exif,
        icc_profile=b"".join(profile) or None,
        components=components,
    )


def _png(data: bytes) -> PhotoBlocks:
    chunks = list(png_chunks(data))
    found = dict(chunks)
    profile = None
    if "iCCP" in found:
        # A name, its end, the method (always zlib), the profile.
        profile = zlib.decompress(found["iCCP"].split(b"\0", 1)[1][1:])
    return PhotoBlocks(
        kind="png",
        blocks=tuple((kind, payload) for kind, payload in chunks if kind not in _PNG_PICTURE),
        exif=found.get("eXIf"),
        icc_profile=profile,
        animated="acTL" in found,
    )


def _webp(data: bytes) -> PhotoBlocks:
    chunks = list(riff_chunks(data))
    found = dict(chunks)
    exif = found.get("EXIF")
    return PhotoBlocks(
        kind="webp",
        blocks=tuple((kind, payload) for kind, payload in chunks if kind in _WEBP_KEPT),
        exif=exif.removeprefix(EXIF_MARK) if exif else None,
        icc_profile=found.get("ICCP"),
        animated="ANIM" in found,
    )
