"""Letters for display content: words as coverage masks, set into lines and blocks.

A word is drawn once per face, size and vocabulary and kept, so that a page of text is a few
hundred small copies. What a bank holds depends on its key alone, never on what was drawn before:
the same seed gives the same page.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.simulate.content.words import CODE, SCRIPTS, draw_words

Mask = NDArray[np.uint8]
Vocabulary = Literal["prose", "code", "number"]

_BANKS_KEPT = 1000
_WORDS_PER_BANK = 32
_ENGLISH_SHARE = 0.6
# Sizes are steps, so that banks are met again: every pixel where letters are small.
_SIZES = (*range(8, 17), 18, 20, 22, 24, 27, 30, 34, 40, 48, 60, 80, 110)


@dataclass(frozen=True)
class Face:
    """One typeface used for one script; `fixed` letters are all of one width."""

    name: str
    script: str
    fixed: bool = False


@dataclass(frozen=True)
class WordBank:
    """Words of one face and size as coverage masks, all of one height."""

    size: int
    words: tuple[Mask, ...]
    space: int

    @property
    def height(self) -> int:
        """Height of every mask in pixels, ascenders and descenders included."""
        return int(self.words[0].shape[0])


@dataclass(frozen=True)
class Line:
    """A line set into a mask, with the columns [start, stop) of its words."""

    mask: Mask
    spans: tuple[tuple[int, int], ...]


class Lettering(ABC):
    """Where words come from: draws them by face, keeps what was drawn."""

    def __init__(self) -> None:
        self._banks: OrderedDict[tuple[Face, int, Vocabulary], WordBank] = OrderedDict()

    @property
    @abstractmethod
    def faces(self) -> tuple[Face, ...]:
        """Faces to choose from, at least one."""

    @abstractmethod
    def render(self, face: Face, size: int, text: str) -> Mask:
        """Return the text on one line as coverage, (H, W); H depends on face and size alone."""

    def pick(self, rng: np.random.Generator, vocabulary: Vocabulary = "prose") -> Face:
        """Return a face for a vocabulary: of fixed width for code where there is one.

        Prose is English in a good half of the cases; code and figures are set in English faces.
        """
        faces = self.faces
        if vocabulary != "prose" or rng.random() < _ENGLISH_SHARE:
            faces = tuple(face for face in faces if face.script == "ascii") or faces
        if vocabulary == "code":
            faces = tuple(face for face in faces if face.fixed) or faces
        return faces[int(rng.integers(len(faces)))]

    def bank(self, face: Face, size: int, vocabulary: Vocabulary = "prose") -> WordBank:
        """Return words of this face; `size` in pixels is rounded to the next size that is kept."""
        size = min(_SIZES, key=lambda step: abs(step - size))
        key = (face, size, vocabulary)
        if key in self._banks:
            self._banks.move_to_end(key)
            return self._banks[key]
        seed = zlib.crc32(f"{face.name}/{face.script}/{size}/{vocabulary}".encode())
        script = CODE[vocabulary] if vocabulary != "prose" else SCRIPTS[face.script]
        texts = draw_words(np.random.default_rng(seed), script, _WORDS_PER_BANK)
        words = tuple(self.render(face, size, text) for text in texts)
        bank = WordBank(size, words, script.space(size))
        self._banks[key] = bank
        if len(self._banks) > _BANKS_KEPT:
            self._banks.popitem(last=False)
        return bank


class StrokeLettering(Lettering):
    """The pen-stroke letters of OpenCV 4: Latin only, there in the base install."""

    _FONTS: ClassVar = {
        "simplex": (cv2.FONT_HERSHEY_SIMPLEX, 1),
        "duplex": (cv2.FONT_HERSHEY_DUPLEX, 1),
        "complex": (cv2.FONT_HERSHEY_COMPLEX, 1),
        "triplex": (cv2.FONT_HERSHEY_TRIPLEX, 1),
        "bold": (cv2.FONT_HERSHEY_SIMPLEX, 2),
    }

    @property
    def faces(self) -> tuple[Face, ...]:
        """The stroke fonts."""
        return tuple(Face(name, "ascii") for name in self._FONTS)

    def render(self, face: Face, size: int, text: str) -> Mask:
        """Return the text on one line as coverage, (H, W)."""
        font, weight = self._FONTS[face.name]
        thickness = max(1, round(weight * size / 20))
        # Small stroke letters merge: drawn at twice the size and averaged they stay legible.
        fine = 2 if size < 24 else 1
        scale = fine * size / 30
        (width, _), _ = cv2.getTextSize(text, font, scale, thickness * fine)
        mask = np.zeros((round(1.3 * size) * fine, width + 2 * fine), np.uint8)
        origin = (fine, round(size * fine))
        cv2.putText(mask, text, origin, font, scale, 255, thickness * fine, cv2.LINE_AA)
        if fine == 1:
            return mask
        target = (max(1, mask.shape[1] // fine), mask.shape[0] // fine)
        return np.asarray(cv2.resize(mask, target, interpolation=cv2.INTER_AREA), np.uint8)


class OutlineLettering(Lettering):
    """The outline fonts built into OpenCV 5: several weights and scripts, in the base install."""

    _STYLES = (("sans", 300), ("sans", 400), ("sans", 500), ("sans", 700), ("italic", 400))
    _SCRIPTS = ("latin", "cyrillic", "greek", "hebrew", "arabic", "kana", "han", "hangul")

    def __init__(self) -> None:
        super().__init__()
        self._fonts = {name: cv2.FontFace(name) for name in ("sans", "italic", "uni")}
        self._faces = (
            *(Face(f"{name} {weight}", "ascii") for name, weight in (*self._STYLES, ("uni", 400))),
            *(Face("uni 400", script) for script in self._SCRIPTS),
            *(Face("sans 400", script) for script in ("latin", "cyrillic")),
        )

    @property
    def faces(self) -> tuple[Face, ...]:
        """Weights of the Latin font, and the scripts of the wide one."""
        return self._faces

    def render(self, face: Face, size: int, text: str) -> Mask:
        """Return the text on one line as coverage, (H, W)."""
        name, weight = face.name.split()
        mask = np.zeros((round(1.35 * size), (len(text) + 1) * 2 * size), np.uint8)
        end, _ = cv2.putText(mask, text, (1, size), (255,), self._fonts[name], size, int(weight))
        return np.ascontiguousarray(mask[:, : end[0] + 1])


@lru_cache(maxsize=1)
def builtin_lettering() -> Lettering:
    """Return the letters that the installed OpenCV brings; one object, so that words are kept."""
    return OutlineLettering() if hasattr(cv2, "FontFace") else StrokeLettering()


def set_line(rng: np.random.Generator, bank: WordBank, width: int) -> Line:
    """Return random words set from the left into a mask (bank.height, width), none cut."""
    mask = np.zeros((bank.height, max(width, 0)), np.uint8)
    spans: list[tuple[int, int]] = []
    x = 0
    for index in rng.integers(0, len(bank.words), 2 + 2 * max(width, 0) // max(bank.size, 1)):
        word = bank.words[int(index)]
        stop = x + word.shape[1]
        if stop > width:
            if spans:
                break
            continue  # a long word on a short line: another may fit
        mask[:, x:stop] = word
        spans.append((x, stop))
        x = stop + bank.space
    return Line(mask, tuple(spans))


def set_block(
    rng: np.random.Generator,
    bank: WordBank,
    height: int,
    width: int,
    *,
    leading: float = 1.2,
    paragraph: float = 0.15,
) -> Mask:
    """Return paragraphs as a mask (height, width).

    Args:
        rng: Chooses words and breaks.
        bank: The words.
        height: Of the mask; lines that do not fit whole are left out.
        width: Of the mask.
        leading: Distance of lines over the height of a line.
        paragraph: How likely (0..1) a line ends its paragraph.
    """
    block = np.zeros((max(height, 0), max(width, 0)), np.uint8)
    pitch = max(1, round(bank.height * leading))
    y = 0
    while y + bank.height <= height:
        last = rng.random() < paragraph
        line = set_line(rng, bank, int(width * (0.2 + 0.7 * rng.random())) if last else width)
        block[y : y + bank.height, : line.mask.shape[1]] = line.mask
        y += pitch + (pitch // 2 if last else 0)
    return block
