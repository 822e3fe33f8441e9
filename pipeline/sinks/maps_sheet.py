"""The sheet that shows what cleaning did to one picture: drawing only, no files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Measures:
    """How moiré is told, in RGB, (H, W, 3) uint8."""

    local: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    """Returns the local energy, (H, W), in squared Lab units."""
    whole: Callable[[NDArray[np.uint8]], float]
    """Returns one number for the picture, in Lab units."""


AMPLIFICATION = 4
"""Times what was removed is shown on grey: ripple is faint, but more would clip strong fringes."""
SCALES = (4, 8, 16, 32)
"""Ripples, in Lab units, one of which has the brightest colour of both maps."""
LONGEST_PANEL = 1280
"""Pixels; larger pictures are shown smaller, by averaging areas."""

_SMALLEST_PANEL = 320
_SMALLEST_CELL = 400
_LOCAL_SIGMA = 6.0
_HELD_BY_SCALE = 80
_COLOURS = cv2.COLORMAP_INFERNO
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAPER = 24
_INK = (230, 230, 230)
_LEGEND = 5
_LEGEND_LINES = 9
_MEANING = (
    "ripple of colour in Lab units, local RMS",
    "(edges of coloured content are in it, too)",
    "numbers: of the flattest half",
)
_TICKS = 4

_Real = NDArray[np.float32]
_Drawing = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class View:
    """One picture as a sheet shows it."""

    levels: _Real
    """(h, w, 3) RGB from 0 to 255, at the size of a panel or smaller."""
    ripple: _Real
    """(h, w) local RMS of the ripple of colour, in Lab units."""
    energy: float
    """The number for the whole picture, in Lab units."""
    share: float
    """Size of the panel over that of the picture, 1 or less."""


def view(levels: _Real, measures: Measures) -> View:
    """Return what a sheet shows of a picture; all is measured at full size and then made smaller.

    Args:
        levels: (H, W, 3) RGB from 0 to 255, as a viewer sees it.
        measures: What the map and the number above it are.
    """
    picture = np.rint(levels).astype(np.uint8)
    found = measures.local(picture)
    share = min(1.0, LONGEST_PANEL / max(found.shape))
    # A wave is zero twice a period; the map shows where it is, not each of its crests.
    local = cv2.GaussianBlur(_shrunk(found, share), (0, 0), _LOCAL_SIGMA * max(share, 0.25))
    return View(
        levels=_shrunk(levels, share),
        ripple=cast(_Real, np.sqrt(local)),
        energy=measures.whole(picture),
        share=share,
    )


def sheet(before: View, after: View, *, title: str) -> _Drawing:
    """Return one labelled drawing, (h, w, 3) BGR: pictures above, maps and their scale below."""
    top = top_of_scale(before)
    removed = 128 + AMPLIFICATION * (before.levels - after.levels)
    panels = [
        ("before", _painted(before.levels)),
        ("after", _painted(after.levels)),
        (f"removed, x{AMPLIFICATION} on grey", _painted(removed)),
        (f"moire energy before: {before.energy:.2f}", _false_colours(before.ripple, top)),
        (f"moire energy after: {after.energy:.2f}", _false_colours(after.ripple, top)),
    ]
    height, width = panels[0][1].shape[:2]
    paper = _Paper(width, height)
    for number, (label, panel) in enumerate(panels):
        paper.place(number, label, panel)
    paper.explain_scale(top)
    paper.tell(*([title] if title else []), f"shown at {100 * magnification(before):.0f} %")
    return paper.drawing


def top_of_scale(before: View) -> int:
    """Return the least of `SCALES` that holds most of the picture before.

    What came out has no say, so that results of one input can be compared.
    """
    wanted = np.percentile(before.ripple, _HELD_BY_SCALE)
    return next((top for top in SCALES if wanted <= top), SCALES[-1])


def magnification(shown: View) -> float:
    """Return the size of a picture on a sheet over its own."""
    return shown.share * _repeats(*shown.levels.shape[:2])


class _Paper:
    """Two rows of three cells, each with a line of text above it.

    Args:
        width: Of a panel, in pixels.
        height: Likewise.
    """

    def __init__(self, width: int, height: int) -> None:
        self._cell = max(width, _SMALLEST_CELL)
        self._scale = self._cell / 800
        self._thick = max(1, round(1.5 * self._scale))
        self._line = round(40 * self._scale)
        self._gap = self._line // 2
        self._step = max(height, _LEGEND_LINES * self._line) + self._line + self._gap
        size = (2 * self._step + self._gap, 3 * (self._cell + self._gap) + self._gap, 3)
        self.drawing: _Drawing = np.full(size, _PAPER, np.uint8)

    def place(self, number: int, label: str, panel: _Drawing) -> None:
        """Put a panel into a cell, counted in reading order."""
        x, y = self._corner(number)
        self._write(label, x, y - self._line // 4)
        height, width = panel.shape[:2]
        self.drawing[y : y + height, x : x + width] = panel

    def explain_scale(self, top: int) -> None:
        """Draw the colours of both maps into the last cell, from 0 to `top`."""
        x, y = self._corner(_LEGEND)
        self._write("scale of both maps", x, y - self._line // 4)
        ramp = np.tile(np.linspace(0, top, self._cell, dtype=np.float32), (self._line, 1))
        self.drawing[y : y + self._line, x : x + self._cell] = _false_colours(ramp, top)
        for number in range(_TICKS):
            place = x + self._cell * number // _TICKS
            self._write(f"{top * number / _TICKS:g}", place, y + 2 * self._line)
        last = f"{top}+"
        self._write(last, x + self._cell - self._width(last), y + 2 * self._line)

    def tell(self, *lines: str) -> None:
        """Write lines under the scale, after what the numbers on it mean."""
        x, y = self._corner(_LEGEND)
        for number, text in enumerate((*_MEANING, *lines), start=3):
            self._write(text, x, y + number * self._line + self._gap // 2)

    def _corner(self, number: int) -> tuple[int, int]:
        row, column = divmod(number, 3)
        x = self._gap + column * (self._cell + self._gap)
        return x, self._gap + self._line + row * self._step

    def _write(self, text: str, x: int, y: int) -> None:
        place = (x, y)
        cv2.putText(self.drawing, text, place, _FONT, self._scale, _INK, self._thick, cv2.LINE_AA)

    def _width(self, text: str) -> int:
        return int(cv2.getTextSize(text, _FONT, self._scale, self._thick)[0][0])


def _shrunk(values: _Real, share: float) -> _Real:
    if share == 1:
        return values
    size = [max(1, round(side * share)) for side in (values.shape[1], values.shape[0])]
    return cast(_Real, cv2.resize(values, size, interpolation=cv2.INTER_AREA))


def _painted(levels: _Real) -> _Drawing:
    rounded = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    return _enlarged(rounded[..., ::-1])


def _false_colours(ripple: _Real, top: int) -> _Drawing:
    codes = np.rint(np.clip(ripple / top, 0, 1) * 255).astype(np.uint8)
    return _enlarged(cast(_Drawing, cv2.applyColorMap(codes, _COLOURS)))


def _enlarged(panel: _Drawing) -> _Drawing:
    """Repeat the pixels of a tiny picture until it can be seen."""
    times = _repeats(*panel.shape[:2])
    return panel.repeat(times, axis=0).repeat(times, axis=1)


def _repeats(height: int, width: int) -> int:
    return max(1, min(-(-_SMALLEST_PANEL // width), LONGEST_PANEL // height))
