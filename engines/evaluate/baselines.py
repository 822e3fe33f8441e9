"""What people do against moiré without a network: every figure of a network stands beside these."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_WINDOW = 64
_HOP = _WINDOW // 2
_PEAK_OVER_MEDIAN = 8.0
"""A frequency this many times stronger than others of its distance from 0 counts as a peak."""
_SLOWEST = 3
"""Cycles per window below which a peak is content or shading."""


def chroma_blur(picture: Picture) -> Picture:
    """Return the picture with its chroma blurred by sigma 8 px: what editors do by hand."""
    ycc = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
    ycc[..., 1:] = cv2.GaussianBlur(np.ascontiguousarray(ycc[..., 1:]), (0, 0), 8)
    return cast(Picture, cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB))


def fft_notch(picture: Picture) -> Picture:
    """Return the picture without the peaks of its windowed spectra.

    Windows of 64 px overlap by half under a Hann window, whose shifted copies sum to one. In each,
    frequencies of 3 cycles and more that stand out eightfold from the median of their ring are set
    to zero: blind notch filtering, as for halftone.
    """
    height, width = picture.shape[:2]
    padded = cv2.copyMakeBorder(
        picture,
        _HOP,
        _HOP + -height % _HOP,
        _HOP,
        _HOP + -width % _HOP,
        cv2.BORDER_REFLECT,
    ).astype(np.float32)
    # Periodic Hann: its copies, half a window apart, sum to exactly one.
    hann = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    window = np.outer(hann, hann)[..., None]
    out = np.zeros_like(padded)
    for top in range(0, padded.shape[0] - _WINDOW + 1, _HOP):
        for left in range(0, padded.shape[1] - _WINDOW + 1, _HOP):
            here = (slice(top, top + _WINDOW), slice(left, left + _WINDOW))
            out[here] += _without_peaks(padded[here] * window)
    inner = out[_HOP : _HOP + height, _HOP : _HOP + width]
    rounded: Picture = np.clip(inner + 0.5, 0, 255).astype(np.uint8)
    return rounded


def _without_peaks(tile: NDArray[np.float32]) -> NDArray[np.float32]:
    spectrum = np.fft.rfft2(tile, axes=(0, 1))
    rows, columns = np.fft.fftfreq(_WINDOW)[:, None], np.fft.rfftfreq(_WINDOW)[None]
    ring = np.rint(np.hypot(rows, columns) * _WINDOW).astype(int)
    strength = np.abs(spectrum).sum(axis=2)
    for radius in range(_SLOWEST, ring.max() + 1):
        on_ring = ring == radius
        peaks = on_ring & (strength > _PEAK_OVER_MEDIAN * np.median(strength[on_ring]))
        spectrum[peaks] = 0
    back: NDArray[np.float32] = np.fft.irfft2(spectrum, s=(_WINDOW, _WINDOW), axes=(0, 1)).astype(
        np.float32
    )
    return back
