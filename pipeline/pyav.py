"""Opening containers with PyAV 18 or 19, whose `av.open` differ; no other module asks which."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer, OutputContainer

# Titles in old files are in any encoding, and a strange one must not stop a run. PyAV 19 keeps
# such bytes as surrogate escapes, always; PyAV 18 has to be asked to, when reading and writing.
_ANY_TEXT: dict[str, Any] = (
    {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}
)


def open_input(path: Path, *, hwaccel: HWAccel | None = None) -> InputContainer:
    """Open a media file for reading; tags that are not UTF-8 have surrogate escapes.

    Args:
        path: The file.
        hwaccel: Hardware that shall decode it; None for software.

    Raises:
        av.error.FFmpegError: It is missing, unreadable or not a media file, or there is no such
            hardware.
    """
    container: InputContainer = av.open(str(path.absolute()), "r", hwaccel=hwaccel, **_ANY_TEXT)
    return container


def open_output(
    file: Path | BytesIO, format_name: str, options: Mapping[str, str] | None = None
) -> OutputContainer:
    """Open a file or a buffer for writing; surrogate escapes in tags become the bytes they were.

    Args:
        file: Where to.
        format_name: FFmpeg's name of the container.
        options: Of the muxer.

    Raises:
        av.error.FFmpegError: The file cannot be created.
    """
    target = file if isinstance(file, BytesIO) else str(file.absolute())
    container: OutputContainer = av.open(
        target, "w", format=format_name, container_options=dict(options or {}), **_ANY_TEXT
    )
    return container
