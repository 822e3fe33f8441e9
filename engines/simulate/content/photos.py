"""Photographs from folders, cut at random for display content."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import DemoireError

Image = NDArray[np.uint8]

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_MIN_SIDE = 96
_MIN_BYTES = 8192  # smaller files are icons and logos
_SIZE_NAME = re.compile(r"(\d+)x(\d+)")

_log = logging.getLogger(__name__)


class PhotosError(DemoireError):
    """Folders hold pictures, but none that can be shown."""


class PhotoLibrary:
    """Pictures of one or more folders, decoded when asked for and kept within a bound.

    Every folder named is drawn from alike often, however many pictures it holds.
    Where a picture lies there in several sizes (files named 1920x1080.jpg, 1024x768.jpg, as
    wallpapers are), one of them is used. Files that cannot be read or decoded and pictures with a
    side under 96 pixels are left out when met, with a warning in the log.

    Args:
        folder: A folder, or several; searched with their subfolders for JPEG, PNG and WebP.
        longest: Decoded pictures are scaled down to at most this many pixels on the long side.
        cache_bytes: Decoded pictures kept in memory.

    Raises:
        FileNotFoundError: A folder is missing, or no picture lies in any of them.
    """

    def __init__(
        self,
        folder: str | Path | Sequence[str | Path],
        *,
        longest: int = 2000,
        cache_bytes: int = 512 << 20,
    ) -> None:
        folders = [
            Path(place) for place in ([folder] if isinstance(folder, str | Path) else folder)
        ]
        self._named = ", ".join(str(place) for place in folders)
        for place in folders:
            if not place.is_dir():
                raise FileNotFoundError(f"{place}: no such folder; name one that holds pictures")
        groups = [
            _one_of_each(sorted(filter(_is_picture, place.rglob("*"))), longest)
            for place in folders
        ]
        self._groups = [group for group in groups if group]
        if not self._groups:
            raise FileNotFoundError(
                f"{self._named}: no .jpg, .png or .webp picture of 8 KiB or more"
            )
        self._count = len(self.paths)
        self._longest = longest
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[Path, Image] = OrderedDict()
        self._held = 0
        self._unusable: dict[Path, str] = {}
        """Why each file is left out."""

    def __len__(self) -> int:
        return self._count

    @property
    def paths(self) -> list[Path]:
        """Every picture file of the library."""
        return sorted({path for group in self._groups for path in group})

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Image:
        """Return a random cut of a random picture, (height, width, 3) uint8 RGB.

        Mirrored in half of the cases; a picture smaller than asked for is scaled up.

        Raises:
            PhotosError: No picture of the library is usable.
        """
        picture = self._pick(rng)
        full_height, full_width = picture.shape[:2]
        fit = min(full_height / height, full_width / width)
        # Never less than a quarter of the sides, nor magnified more than twice by the cut.
        share = float(rng.uniform(min(1.0, max(0.5 / fit, 0.25)), 1.0))
        cut_height = max(1, round(height * fit * share))
        cut_width = max(1, round(width * fit * share))
        top = int(rng.integers(0, full_height - cut_height + 1))
        left = int(rng.integers(0, full_width - cut_width + 1))
        cut = picture[top : top + cut_height, left : left + cut_width]
        smaller = cut_height > height
        scaled = cv2.resize(
            cut,
            (width, height),
            interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC,
        )
        if rng.random() < 0.5:
            scaled = cv2.flip(scaled, 1)
        return np.asarray(scaled, np.uint8)

    def _pick(self, rng: np.random.Generator) -> Image:
        # An unusable file costs one draw whether it was met before or not: the same seed gives the
        # same picture.
        while len(self._unusable) < self._count:
            group = self._groups[int(rng.integers(len(self._groups)))]
            path = group[int(rng.integers(len(group)))]
            if path in self._unusable:
                continue
            try:
                return self._load(path)
            except ValueError as error:
                _log.warning("%s; left out", error)
                self._unusable[path] = str(error)
        first = next(iter(self._unusable.values()))
        raise PhotosError(
            f"{self._named}: none of {self._count} picture(s) can be used, the first tried was"
            f" {first}; name a folder with photographs of {_MIN_SIDE}x{_MIN_SIDE} pixels or more"
        )

    def _load(self, path: Path) -> Image:
        if path in self._cache:
            self._cache.move_to_end(path)
            return self._cache[path]
        picture = _decode(path, self._longest)
        self._cache[path] = picture
        self._held += picture.nbytes
        while self._held > self._cache_bytes and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._held -= dropped.nbytes
        return picture


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and path.is_file() and path.stat().st_size >= _MIN_BYTES


def _one_of_each(paths: list[Path], longest: int) -> list[Path]:
    """Return the paths with one for each folder's set of sizes: the smallest that is enough."""
    kept: list[Path] = []
    sizes: dict[Path, list[tuple[bool, int, Path]]] = {}
    for path in paths:
        named = _SIZE_NAME.fullmatch(path.stem)
        if named is None:
            kept.append(path)
            continue
        side = max(int(named[1]), int(named[2]))
        enough = side >= longest
        sizes.setdefault(path.parent, []).append((not enough, side if enough else -side, path))
    return sorted(kept + [min(group)[2] for group in sizes.values()])


def _decode(path: Path, longest: int) -> Image:
    """Return the picture as RGB with its long side at most `longest` pixels.

    Raises:
        ValueError: It cannot be read, is no picture or one too large, or is too small for content.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except cv2.error as error:
        raise ValueError(f"{path}: cannot be decoded: {error.err}") from error
    if decoded is None:
        raise ValueError(f"{path}: cannot be decoded as a picture")
    picture = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    if min(picture.shape[:2]) < _MIN_SIDE:
        raise ValueError(
            f"{path}: {picture.shape[1]}x{picture.shape[0]} is too small for content, "
            f"both sides must be >= {_MIN_SIDE} pixels"
        )
    scale = longest / max(picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.uint8)
