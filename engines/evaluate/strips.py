"""One column of a clip over time, by method: bands and flicker show as stripes."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Strips = dict[str, Picture]

_ROWS = 256
_AROUND = 5
"""Columns that flicker is averaged over: one by itself may be chance."""
_LEAST_WIDTH, _LEAST_HEIGHT = 640, 128
_LABEL = 20
"""Height of a name above its strip, in pixels."""


def strips_of(clips: Mapping[str, Picture], *, flickers: str, truth: str) -> Strips:
    """Return the column of each clip where one of them flickers most: time to the right.

    Args:
        clips: (T, H, W, 3) uint8 RGB each, T >= 2, by name.
        flickers: Name of the clip whose error changes most there from frame to frame.
        truth: Name of what its error is told from.

    Returns:
        (h, T, 3) each, h up to 256: the rows with most flicker.
    """
    clip, wanted = clips[flickers], clips[truth]
    energy = np.zeros(clip.shape[1:3], np.float32)
    before = clip[0].astype(np.float32) - wanted[0]
    for frame, right in zip(clip[1:], wanted[1:], strict=True):
        error = frame.astype(np.float32) - right
        # Signed over the colours: what counts is brightness.
        energy += np.abs((error - before).sum(axis=2))
        before = error
    held = cv2.boxFilter(energy, -1, (_AROUND, _ROWS), borderType=cv2.BORDER_CONSTANT)
    row, column = np.unravel_index(int(held.argmax()), held.shape)
    top = int(np.clip(row - _ROWS // 2, 0, max(0, len(energy) - _ROWS)))
    return {
        name: np.ascontiguousarray(c[:, top : top + _ROWS, column].transpose(1, 0, 2))
        for name, c in clips.items()
    }


def sheet(strips: Strips) -> Picture:
    """Return strips one below the other, each under its name, (H, W, 3) uint8 RGB.

    Frames and rows are widened by whole factors, without blending, to 640 by 128 pixels or more.

    Args:
        strips: (h, T, 3) each, of one shape.
    """
    parts: list[Picture] = []
    for name, strip in strips.items():
        tall, wide = (
            -(-least // side)
            for least, side in zip((_LEAST_HEIGHT, _LEAST_WIDTH), strip.shape[:2], strict=True)
        )
        shown = strip.repeat(tall, axis=0).repeat(wide, axis=1)
        label = np.full((_LABEL, shown.shape[1], 3), 255, np.uint8)
        cv2.putText(label, name, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        parts += [label, shown]
    return np.concatenate(parts)
