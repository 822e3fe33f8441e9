"""Folders of pairs: a picture or clip with moiré, and the same without, told apart by their names.

The published data sets each have a way of naming: LCDMoiré `moire/000001.png` and
`clear/000001.png`, FHDMi `source/src_00001.png` and `target/tar_00001.png`, UHDM `0001_moire.jpg`
and `0001_gt.jpg`, VDmoire `source/...` and `target/...` with equal names, TIP2018
`source/NAME_source.png` and `target/NAME_target.png`. All follow from one rule: words in the path
say which of the two a file is, and the rest of the path says which pair it belongs to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from engines.errors import DemoireError

MOIRE_WORDS = frozenset({"moire", "moiré", "source", "src", "input", "before", "lq"})
CLEAN_WORDS = frozenset(
    {"clean", "clear", "gt", "target", "tar", "truth", "after", "hq", "groundtruth"}
)
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})
CLIPS = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".ts"})

_SEPARATORS = re.compile(r"([_\-. ])")


@dataclass(frozen=True)
class PairPaths:
    """Files of one pair."""

    name: str
    """The moiré file's path within the folder."""
    moire: Path
    clean: Path


class PairsError(DemoireError):
    """A folder holds no pairs, or a file of it cannot be used."""


def find_pairs(folder: Path, suffixes: frozenset[str] = PICTURES) -> list[PairPaths]:
    """Return the folder's pairs in the order of their names; files without a partner are left out.

    Raises:
        PairsError: The folder is missing, has no pairs, or two files claim the same place.
    """
    if not folder.is_dir():
        raise PairsError(f"{folder}: no such folder; name one that holds moiré and clean files")
    sides: dict[str, dict[str, Path]] = {"moire": {}, "clean": {}}
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in suffixes]
    for path in files:
        side, key = _place(path.relative_to(folder))
        if side is None:
            continue
        if (other := sides[side].get(key)) is not None:
            raise PairsError(
                f"{folder}: {other.name} and {path.name} are both the {side} of a pair"
            )
        sides[side][key] = path
    pairs = [
        PairPaths(str(moire.relative_to(folder)), moire, sides["clean"][key])
        for key, moire in sides["moire"].items()
        if key in sides["clean"]
    ]
    if not pairs:
        raise PairsError(
            f"{folder}: no pairs among {len(files)} file(s); a file's name or folder must say moire"
            " or source, and its partner's gt, clean or target, with the rest alike"
        )
    return pairs


def _place(path: Path) -> tuple[str | None, str]:
    """Return which side a file is, by the last telling word, and what both sides share."""
    side = None
    shared = []
    for part in path.with_suffix("").parts:
        words = []
        for word in _SEPARATORS.split(part):
            plain = word.lower()
            if plain in MOIRE_WORDS or plain in CLEAN_WORDS:
                side = "moire" if plain in MOIRE_WORDS else "clean"
                words.append("*")
            else:
                words.append(word)
        shared.append("".join(words))
    return side, "/".join(shared)
