"""Real typefaces for display content; needs Pillow (extra `train`), imported when first used."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engines.simulate.content.text import Face, Lettering, Mask
from engines.simulate.content.words import SCRIPTS, letters_of

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_FONTS_KEPT = 256


class TextRenderer(Lettering):
    """Real typefaces from a folder of TrueType and OpenType fonts; needs Pillow (extra `train`).

    Args:
        folder: Searched with its subfolders for .ttf, .otf and .ttc files.
        limit: At most this many fonts are used, spread evenly over the sorted list.

    Raises:
        FileNotFoundError: No usable font lies in the folder.
    """

    def __init__(self, folder: str | Path = "/usr/share/fonts", *, limit: int = 64) -> None:
        super().__init__()
        paths = sorted(
            path for path in Path(folder).rglob("*") if path.suffix.lower() in _FONT_SUFFIXES
        )
        step = max(1, len(paths) // limit)
        self._paths: dict[str, Path] = {}
        self._fonts: OrderedDict[tuple[str, int], FreeTypeFont] = OrderedDict()
        faces: list[Face] = []
        for path in paths[::step]:
            found = _faces_of(path)
            if found:
                self._paths[str(path)] = path
                faces += found
        if not faces:
            raise FileNotFoundError(
                f"{folder}: no usable font among {len(paths)} font file(s); "
                "install some (Debian: fonts-dejavu, fonts-noto) or name another folder"
            )
        self._faces = tuple(faces)

    @property
    def faces(self) -> tuple[Face, ...]:
        """Every font found, once for each script that it covers."""
        return self._faces

    def render(self, face: Face, size: int, text: str) -> Mask:
        """Return the text on one line as greyscale coverage, (H, W)."""
        from PIL import Image, ImageDraw

        font = self._font(face.name, size)
        ascent, descent = font.getmetrics()
        width = max(1, round(font.getlength(text)) + 1)
        picture = Image.new("L", (width, ascent + descent), 0)
        ImageDraw.Draw(picture).text((0, ascent), text, fill=255, font=font, anchor="ls")
        return np.asarray(picture, np.uint8)

    def _font(self, name: str, size: int) -> FreeTypeFont:
        from PIL import ImageFont

        if (name, size) not in self._fonts:
            self._fonts[name, size] = ImageFont.truetype(name, size)
            if len(self._fonts) > _FONTS_KEPT:
                self._fonts.popitem(last=False)
        return self._fonts[name, size]


_FONT_SUFFIXES = {".ttf", ".otf", ".ttc"}


def _faces_of(path: Path) -> list[Face]:
    """Return the font once for each script it covers; none where it has fixed bitmap sizes."""
    from PIL import ImageFont

    try:
        font = ImageFont.truetype(str(path), 16)
    except OSError:
        return []  # colour-emoji bitmaps open at one size only
    missing = bytes(font.getmask("\uffff"))
    fixed = abs(font.getlength("i") - font.getlength("M")) < 0.1
    return [
        Face(str(path), script, fixed)
        for script in SCRIPTS
        if all(_covered(font, letter, missing) for letter in letters_of(script))
    ]


def _covered(font: FreeTypeFont, letter: str, missing: bytes) -> bool:
    drawn = bytes(font.getmask(letter))
    return any(drawn) and drawn != missing
