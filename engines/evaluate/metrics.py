"""Measures of pictures, (H, W, 3) uint8 RGB unless said otherwise.

PSNR between a filmed screen and its content is mostly a score of colour and shading, so the
measures that count fit colours first or look only at the band in which fringes live.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
_Real = NDArray[np.float32]


def psnr(picture: Picture, truth: Picture) -> float:
    """Return the peak signal-to-noise ratio in dB over all samples; infinite for equal pictures.

    Raises:
        ValueError: The shapes differ.
    """
    _check_shapes(picture, truth)
    return _psnr_of(picture.astype(np.float32) - truth)


def aligned_psnr(picture: Picture, truth: Picture) -> float:
    """Return the PSNR in dB after `colour_fit`: what is left once colours agree."""
    return _psnr_of(colour_fit(picture, truth) - truth)


def moire_band_error(picture: Picture, truth: Picture) -> float:
    """Return the RMS error, in 8-bit levels, of periods of about 12 to 150 pixels.

    The colour-fitted difference is band-passed as Gauss(3 px) - Gauss(24 px): the band of visible
    fringes, between texture and shading.
    """
    difference = colour_fit(picture, truth) - truth
    band = _blur(difference, 3.0) - _blur(difference, 24.0)
    return float(np.sqrt(np.mean(band * band)))


def moire_energy(picture: Picture) -> float:
    """Return the chroma ripple of a picture without a truth: 0 is none, rainbow fringes 2 and more.

    RMS, in Lab units, of a* and b* band-passed from sigma 1.2 to 14 px, in the half of the picture
    with the flattest luma (there a ripple in colour is fringe rather than content).
    """
    lab = cast(_Real, cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))
    band = _blur(lab[..., 1:], 1.2) - _blur(lab[..., 1:], 14.0)
    energy = np.sum(band * band, axis=2)
    smooth = _blur(lab[..., 0], 3.0)
    slope = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(smooth, cv2.CV_32F, 0, 1) ** 2
    flat = _blur(np.sqrt(slope), 8.0)
    return float(np.sqrt(np.mean(energy[flat <= np.median(flat)])))


def colour_fit(picture: Picture, truth: Picture) -> _Real:
    """Return `picture` under the affine 3x4 colour map that brings it closest to `truth`.

    Least squares over all pixels, levels 0..255, unclamped float32.

    Raises:
        ValueError: The shapes differ.
    """
    _check_shapes(picture, truth)
    source = np.column_stack([picture.reshape(-1, 3), np.ones(picture.size // 3)])
    source = source.astype(np.float64)
    # Normal equations: 4x4, against a least-squares solver's copy of the whole picture.
    matrix = np.linalg.lstsq(source.T @ source, source.T @ truth.reshape(-1, 3), rcond=None)[0]
    fitted: _Real = (source @ matrix).reshape(picture.shape).astype(np.float32)
    return fitted


def _blur(values: _Real, sigma: float) -> _Real:
    return cast(_Real, cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def _psnr_of(difference: _Real) -> float:
    error = float(np.mean(np.square(difference, dtype=np.float64)))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def _check_shapes(picture: Picture, truth: Picture) -> None:
    if picture.shape != truth.shape:
        raise ValueError(f"pictures must have one shape, got {picture.shape=} and {truth.shape=}")
