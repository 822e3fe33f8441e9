"""Photographs from folders, cut at random for display content."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_MIN_SIDE = 96


class PhotoLibrary:
    """Pictures of one or more folders, decoded when asked for and kept within a bound.

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
        folders = [folder] if isinstance(folder, str | Path) else list(folder)
        for place in folders:
            if not Path(place).is_dir():
                raise FileNotFoundError(f"{place}: no such folder; name one that holds pictures")
        self.paths = sorted(
            path
            for place in folders
            for path in Path(place).rglob("*")
            if path.suffix.lower() in _SUFFIXES and path.is_file()
        )
        if not self.paths:
            names = ", ".join(str(place) for place in folders)
            raise FileNotFoundError(f"{names}: no .jpg, .png or .webp picture in there")
        self._longest = longest
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[Path, Image] = OrderedDict()
        self._held = 0

    def __len__(self) -> int:
        return len(self.paths)

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Image:
        """Return a random cut of a random picture, (height, width, 3) uint8 RGB.

        Mirrored in half of the cases; the cut is scaled, up to twice larger where it is small.

        Raises:
            ValueError: The picture drawn cannot be decoded, or has a side under 96 pixels.
        """
        picture = self._load(self.paths[int(rng.integers(len(self.paths)))])
        full_height, full_width = picture.shape[:2]
        fit = min(full_height / height, full_width / width)
        # From the whole picture down to one pixel for one, or to half of that if need be.
        share = float(rng.uniform(min(1.0, max(0.5 / fit, 0.25)), 1.0))
        cut_height, cut_width = round(height * fit * share), round(width * fit * share)
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


def _decode(path: Path, longest: int) -> Image:
    """Return the picture as RGB with its long side at most `longest` pixels."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if decoded is None:
        raise ValueError(f"{path}: cannot be decoded as a picture; remove it from the folder")
    picture = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    if min(picture.shape[:2]) < _MIN_SIDE:
        raise ValueError(
            f"{path}: {picture.shape[1]}x{picture.shape[0]} is too small for content; "
            f"both sides must be >= {_MIN_SIDE} pixels"
        )
    scale = longest / max(picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.uint8)
