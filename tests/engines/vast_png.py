"""A picture file that claims to be too large for any reader."""

import struct
import zlib


def vast(png):
    """Return the PNG with a header that claims 60000x60000 pixels, beyond what OpenCV decodes."""
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
