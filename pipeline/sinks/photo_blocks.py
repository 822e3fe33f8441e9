"""Putting a photo's metadata into its freshly encoded copy."""

from __future__ import annotations

import struct
import zlib

from pipeline.media import SourceInfo
from pipeline.sources.photo_blocks import (
    EXIF_MARK,
    ICC_MARK,
    PNG_MAGIC,
    Blocks,
    PhotoKind,
    jpeg_segments,
    png_chunks,
    riff_chunks,
)

_JFIF = "E0"
_SEGMENT_ROOM = 65_533
_PNG_KEPT = ("IHDR", "PLTE", "tRNS", "IDAT", "IEND")
_WEBP_ICC, _WEBP_ALPHA, _WEBP_EXIF, _WEBP_XMP = 0x20, 0x10, 0x08, 0x04


def with_blocks(data: bytes, kind: PhotoKind, info: SourceInfo) -> bytes:
    """Return an encoded photo with the metadata of the photo it was made from.

    The same kind of file keeps all; another kind keeps EXIF and colour profile.

    Args:
        data: The encoder's file.
        kind: What kind of file that is.
        info: The original.
    """
    blocks = info.blocks if info.container == kind else _translated(kind, info)
    if kind == "jpeg":
        return _jpeg(data, blocks)
    if kind == "png":
        return _png(data, blocks)
    if kind == "webp" and blocks:
        return _webp(data, blocks, info)
    return data


def _translated(kind: PhotoKind, info: SourceInfo) -> Blocks:
    """Return EXIF and profile as another kind of file stores them."""
    exif, profile, blocks = info.exif, info.icc_profile, []
    if kind == "jpeg":
        if exif:
            blocks.append(("E1", EXIF_MARK + exif))
        blocks += _icc_segments(profile or b"")
    elif kind == "png":
        if profile:
            blocks.append(("iCCP", b"profile\0\0" + zlib.compress(profile)))
        if exif:
            blocks.append(("eXIf", exif))
    elif kind == "webp":
        blocks += [("ICCP", profile)] if profile else []
        blocks += [("EXIF", exif)] if exif else []
    return tuple(blocks)


def _icc_segments(profile: bytes) -> list[tuple[str, bytes]]:
    room = _SEGMENT_ROOM - len(ICC_MARK) - 2
    parts = [profile[place : place + room] for place in range(0, len(profile), room)]
    return [
        ("E2", ICC_MARK + bytes((number, len(parts))) + part)
        for number, part in enumerate(parts, start=1)
    ]


def _jpeg(data: bytes, blocks: Blocks) -> bytes:
    """Replace the encoder's own application segments and comments by the original's."""
    own = [(f"{marker:02X}", payload) for marker, payload in jpeg_segments(data)]
    picture = 2 + sum(4 + len(payload) for _, payload in own)
    head = [one for one in own if one[0] == _JFIF and not any(key == _JFIF for key, _ in blocks)]
    tables = [one for one in own if not one[0].startswith("E") and one[0] != "FE"]
    segments = b"".join(
        bytes((0xFF, int(marker, 16))) + struct.pack(">H", len(payload) + 2) + payload
        for marker, payload in (*head, *blocks, *tables)
    )
    return data[:2] + segments + data[picture:]


def _png(data: bytes, blocks: Blocks) -> bytes:
    """Put the original's chunks behind the header, where all of them are allowed."""
    own = [one for one in png_chunks(data) if one[0] in _PNG_KEPT]
    return PNG_MAGIC + b"".join(
        struct.pack(">I", len(payload))
        + kind.encode("latin-1")
        + payload
        + struct.pack(">I", zlib.crc32(kind.encode("latin-1") + payload))
        for kind, payload in (own[0], *blocks, *own[1:])
    )


def _webp(data: bytes, blocks: Blocks, info: SourceInfo) -> bytes:
    """Rebuild the file in its extended layout, which has room for metadata."""
    picture = [one for one in riff_chunks(data) if one[0] in ("ALPH", "VP8 ", "VP8L")]
    kinds = {kind for kind, _ in blocks}
    flags = _WEBP_ALPHA if info.alpha else 0
    flags |= _WEBP_ICC if "ICCP" in kinds else 0
    flags |= _WEBP_EXIF if "EXIF" in kinds else 0
    flags |= _WEBP_XMP if "XMP " in kinds else 0
    size = (info.width - 1).to_bytes(3, "little") + (info.height - 1).to_bytes(3, "little")
    before = [one for one in blocks if one[0] == "ICCP"]
    after = [one for one in blocks if one[0] != "ICCP"]
    chunks = [("VP8X", struct.pack("<I", flags) + size), *before, *picture, *after]
    body = b"WEBP" + b"".join(
        kind.encode("latin-1")
        + struct.pack("<I", len(payload))
        + payload
        + b"\0" * (len(payload) % 2)
        for kind, payload in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body
