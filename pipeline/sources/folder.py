"""Which files a command means, and what their cleaned copies are called."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import SinkError, SourceError

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg"}
    | {".wmv", ".flv", ".3gp", ".ogv", ".mxf", ".gif", ".y4m", ".nut"}
)
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"})
MARK = ".clean"
"""Stands before the extension of every file that demoire names itself."""

# Containers that hold what others cannot (subtitles, fonts), so a copy stays in its own kind.
_KEPT_VIDEO_SUFFIXES = frozenset({".mov", ".mkv"})
_CODEC_SUFFIXES = {"prores": ".mov", "ffv1": ".mkv"}


def is_photo(path: Path) -> bool:
    """Return whether a path's extension is a photo's."""
    return path.suffix.lower() in PHOTO_SUFFIXES


def is_own_output(path: Path) -> bool:
    """Return whether demoire wrote this file (or was writing it)."""
    name = path.name.removesuffix(".part")
    return name != path.name or Path(name).stem.endswith(MARK)


def expand_inputs(paths: Iterable[str | Path]) -> list[Path]:
    """Return the files meant by paths: files as they are, folders as the media right inside.

    Folders give videos and photos in the order of their names, without demoire's own outputs;
    sub-folders and hidden files are left out. A file that is named twice comes once.

    Raises:
        SourceError: A path does not exist, or a folder holds nothing to clean.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise SourceError(f"{path}: No such file or directory; check the name")
        if not path.is_dir():
            found[path] = None
            continue
        inside = [one for one in sorted(path.iterdir()) if _is_wanted(one)]
        if not inside:
            raise SourceError(
                f"{path}: holds no video or photo to clean; name the files if they have other"
                " extensions"
            )
        found.update(dict.fromkeys(inside))
    return list(found)


def output_path(
    source: str | Path,
    output: str | Path | None = None,
    *,
    codec: str = "h264",
    overwrite: bool = False,
) -> Path:
    """Return where the cleaned copy of a file goes.

    `output` may be a file or an existing folder. Without it the copy is NAME.clean.EXT beside the
    input: photos keep their extension, .mov and .mkv too, other videos become .mp4 (ProRes .mov,
    FFV1 .mkv).

    Raises:
        SinkError: The output exists and `overwrite` is off, or it is the input itself.
    """
    source = Path(source)
    target = Path(output) if output is not None else source.parent
    if output is None or target.is_dir():
        target /= f"{source.stem}{MARK}{_suffix(source, codec)}"
    if target.exists():
        if source.exists() and target.samefile(source):
            raise SinkError(f"{target}: is the input itself; give another name with -o")
        if not overwrite:
            raise SinkError(f"{target}: already exists; add --overwrite or give another name")
    return target


def _suffix(source: Path, codec: str) -> str:
    suffix = source.suffix.lower()
    if is_photo(source):
        return source.suffix
    if codec in _CODEC_SUFFIXES:
        return suffix if suffix == ".mkv" else _CODEC_SUFFIXES[codec]
    return suffix if suffix in _KEPT_VIDEO_SUFFIXES else ".mp4"


def _is_wanted(path: Path) -> bool:
    known = path.suffix.lower() in VIDEO_SUFFIXES | PHOTO_SUFFIXES
    return path.is_file() and known and not path.name.startswith(".") and not is_own_output(path)
