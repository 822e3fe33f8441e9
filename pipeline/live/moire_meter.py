"""How much moiré there is, now and then, beside the chain and never in its way."""

from __future__ import annotations

import threading
from fractions import Fraction
from time import perf_counter
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.threads import Mailbox

if TYPE_CHECKING:
    from engines.engine import Planes
    from pipeline.frame import Frame

_EVERY_S = 5.0
_SIDE = 384
"""Of the square from the picture's middle that is measured."""


class MoireMeter:
    """Measures one frame every few seconds, in a thread of its own."""

    def __init__(self) -> None:
        self.latest: tuple[float | None, float | None] = (None, None)
        self._frames: Mailbox[Frame] = Mailbox(1)
        self._next_s = 0.0
        self._thread = threading.Thread(target=self._measure, name="demoire-moire", daemon=True)
        self._thread.start()

    def offer(self, frame: Frame) -> None:
        """Take a cleaned frame where it is time for one; `before` holds what it was."""
        now_s = perf_counter()
        if now_s >= self._next_s and frame.before and frame.format.layout != "gray":
            self._next_s = now_s + _EVERY_S
            self._frames.put(frame)

    def close(self) -> None:
        """End the thread; twice is once."""
        self._frames.close()
        self._thread.join()

    def _measure(self) -> None:
        from engines.evaluate.metrics import moire_energy

        while not self._frames.ended:
            frame = self._frames.take()
            if frame is not None:
                before, after = (
                    moire_energy(
                        _middle(planes, bits=frame.format.bits, layout=frame.format.layout)
                    )
                    for planes in (frame.before, frame.planes)
                )
                self.latest = round(before, 2), round(after, 2)


def _middle(planes: Planes, *, bits: int, layout: str) -> NDArray[np.uint8]:
    """Return a square from the middle as RGB, (S, S, 3) uint8.

    By BT.601 in the full range, whatever the tags: energies are compared with each other.
    """
    height, width = planes[0].shape
    side = min(_SIDE, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = []
    for plane in planes:
        down, across = (Fraction(a, b) for a, b in zip(plane.shape, (height, width), strict=True))
        rows = slice(round(top * down), round((top + side) * down))
        columns = slice(round(left * across), round((left + side) * across))
        part = plane[rows, columns]
        eight = part if bits == 8 else (part >> (bits - 8)).astype(np.uint8)
        cut.append(cv2.resize(eight, (side, side), interpolation=cv2.INTER_LINEAR))
    if layout == "gbr":
        return cast(NDArray[np.uint8], np.dstack([cut[2], cut[0], cut[1]]))
    y, u, v = cut
    return cast(NDArray[np.uint8], cv2.cvtColor(np.dstack([y, v, u]), cv2.COLOR_YCrCb2RGB))
