"""The pictures that a part works on alone: decoded, cleaned and smoothed once, and kept.

They are played there and back, as the simulated clip is, so what moves never jumps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Literal

import numpy as np

from engines.engine import Planes

HELD = 24
"""Pictures kept: all of the simulated clip's, 75 MB of 1080p."""

Kind = Literal["decoded", "cleaned", "shown"]
"""`shown`: as the encoder gets them."""


def places(length: int) -> Iterator[int]:
    """Yield indices 0, 1, ... length - 1, length - 2, ... 1, 0, 1, ... without end."""
    period = max(2 * length - 2, 1)
    for number in count():
        place = number % period
        yield place if place < length else period - place


def there_and_back(length: int, frames: int) -> Iterator[int]:
    """Yield the first so many of `places`."""
    return islice(places(length), frames)


def keep(folder: Path, kind: Kind, pictures: Sequence[Planes]) -> None:
    """Write pictures of one format for other processes, through to the disk.

    What is left to be written later would be written while something is measured.
    """
    for index, planes in enumerate(zip(*pictures, strict=True)):
        with open(folder / f"{kind}-{index}.npy", "wb") as file:
            np.save(file, np.stack(planes))
            file.flush()
            os.fsync(file.fileno())


def load(folder: Path, kind: Kind) -> list[Planes]:
    """Return pictures that were kept, in memory."""
    planes = [np.load(path) for path in sorted(folder.glob(f"{kind}-*.npy"))]
    return [tuple(picture) for picture in zip(*planes, strict=True)]
