"""What the text of display content says: words, code tokens and figures of many scripts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ENGLISH = """the of and to in is that for it as was with be by on not he his but at are this have
from or had an they which one you were all her she there would their we him been has when who will
more no if out so said what up its about into than them can only other new some could time these two
may then do first any my now such like our over man me even most made after also did many before
must through back years where much your way well down should because each just those people Mr how
too little state good very make world still own see men work long get here between both life being
under never day same another know while last might us great old year off come since against go came
right used take three Report Summary Overview Settings Account Results Chapter Figure Table screen
measure, picture. however, quality; frequency (maximum) response: between 2024 2025 14:30 3.5 100%
https://example.org support@example.org Continue Cancel Search Download Monday January Version"""
_LATIN = """größer Übersicht für überall Straße nächste Höhe être français où déjà élève garçon
forêt naïve año señor corazón también más información São não ação coração łódź żółty święto źródło
Příliš kůň úplně ďábel čeština őszinte tűző șapte țară İstanbul güneş çiçek ağaç på før blåbær smör
på svenska það er íslenska Việt người được tiếng 350€ £75"""
_CYRILLIC = """это было только может когда время человек первый новый большой работа система
страница настройки файл поиск данные Отчёт Москва город после между день год жизнь рука слово
який було через Україна людина і та або що Београд реч"""  # noqa: RUF001 - meant to be Cyrillic
_GREEK = """και το της για είναι από που στην αυτό μια δεν χρόνος άνθρωπος λόγος ημέρα Ελλάδα
σελίδα αρχείο αναζήτηση πρώτος μεγάλος σύστημα εικόνα κόσμος"""  # noqa: RUF001 - meant to be Greek
_CODE = """def return self if else for in import from class while try except not None True False
int float str x y i n = == != += -> ( ) [] {} : , . ; && || => const let var function async await
public static void struct impl fn match let mut use std::vector<int> #include <stdio.h> printf("%d")
self.frames frame.pts len(values) range(10) np.zeros((h,w)) // TODO: # why "utf-8" 'name' 0x1F 255
1.0e-3 config["key"] result.append(item) nullptr template<T> @property lambda: /* */ </div> <span
class="row"> SELECT * FROM users WHERE id=1 git commit -m ls -la /usr/bin cd .. sudo apt install
[INFO] [WARN] ERROR 12:04:33.120 100% OK -rw-r--r-- root 4096 drwxr-xr-x |-- src/main.rs"""
_NUMBERS = """0 1 2 7 12 15 23 42 64 99 100 128 256 1,024 3.14 0.5 -1.2 +4.7% -0.9% 12.5% 99.9%
$19.99 $1,240 $350 $75 2024 2025 Q1 Q2 Q3 Q4 10:30 08:15 23:59 1.2M 340k 5.6 8,192 65,536 0.001
7.25 18.0 -3 -47 1e6 31 30 28"""


@dataclass(frozen=True)
class Script:
    """How a script makes words: from a list, or from ranges of letters.

    `gap` is the space between words over the letter size: 0 where words are not set apart.
    """

    words: tuple[str, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    gap: float = 0.3

    def space(self, size: int) -> int:
        """Return the pixels between two words at this letter size."""
        return round(self.gap * size)


SCRIPTS: dict[str, Script] = {
    "ascii": Script(words=tuple(_ENGLISH.split())),
    "latin": Script(words=tuple(_LATIN.split())),
    "cyrillic": Script(words=tuple(_CYRILLIC.split())),
    "greek": Script(words=tuple(_GREEK.split())),
    "armenian": Script(ranges=((0x561, 0x586),)),
    "hebrew": Script(ranges=((0x5D0, 0x5EA),)),
    "arabic": Script(ranges=((0x627, 0x63A), (0x641, 0x64A))),
    "devanagari": Script(ranges=((0x915, 0x928), (0x92A, 0x930))),
    "bengali": Script(ranges=((0x995, 0x9A8),)),
    "tamil": Script(ranges=((0xBAE, 0xBB5),)),
    "thai": Script(ranges=((0xE01, 0xE2E),), gap=0.05),
    "georgian": Script(ranges=((0x10D0, 0x10F0),)),
    "kana": Script(ranges=((0x3042, 0x3093), (0x30A2, 0x30F3)), gap=0.0),
    "han": Script(ranges=((0x4E00, 0x8FFF),), gap=0.0),
    "hangul": Script(ranges=((0xAC00, 0xD7A3),)),
}
"""Scripts of prose, by name."""

CODE: dict[str, Script] = {
    "code": Script(words=tuple(_CODE.split()), gap=0.5),
    "number": Script(words=tuple(_NUMBERS.split()), gap=0.8),
}
"""Vocabularies that are the same in every script."""


def draw_words(rng: np.random.Generator, script: Script, count: int) -> list[str]:
    """Return `count` words of a script."""
    if script.words:
        return [script.words[int(index)] for index in rng.integers(0, len(script.words), count)]
    words = []
    for length in rng.integers(2, 9, count):
        low, high = script.ranges[int(rng.integers(len(script.ranges)))]
        words.append("".join(chr(int(code)) for code in rng.integers(low, high + 1, length)))
    return words


def letters_of(name: str) -> str:
    """Return letters that a font must have to be used for the script of this name.

    English goes with code and figures, which every page may need.
    """
    script = SCRIPTS[name]
    words = script.words
    if name == "ascii":
        words = (*words, *CODE["code"].words, *CODE["number"].words)
    ends = {chr(code) for pair in script.ranges for code in pair}
    return "".join(sorted(ends.union(*words)))
