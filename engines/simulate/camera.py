"""What the camera's processor does to a raw picture: demosaic, colour, tone, sharpen, shrink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from engines.simulate import primitives
from engines.simulate.arrays import Array, look_up

# Malvar, He, Cutler: "High-quality linear interpolation for demosaicing of Bayer-patterned color
# images" (ICASSP 2004), figure 2; each kernel sums to 8.
_GREEN_AT_OTHER = np.array(
    [
        [0, 0, -1, 0, 0],
        [0, 0, 2, 0, 0],
        [-1, 2, 4, 2, -1],
        [0, 0, 2, 0, 0],
        [0, 0, -1, 0, 0],
    ],
    np.float32,
)
_SAME_ROW = np.array(
    [
        [0, 0, 0.5, 0, 0],
        [0, -1, 0, -1, 0],
        [-1, 4, 5, 4, -1],
        [0, -1, 0, -1, 0],
        [0, 0, 0.5, 0, 0],
    ],
    np.float32,
)
_OPPOSITE = np.array(
    [
        [0, 0, -1.5, 0, 0],
        [0, 2, 0, 2, 0],
        [-1.5, 0, 6, 0, -1.5],
        [0, 2, 0, 2, 0],
        [0, 0, -1.5, 0, 0],
    ],
    np.float32,
)

Demosaic = Literal["bilinear", "malvar", "edge"]
Shrink = Literal["area", "linear", "nearest"]


@dataclass(frozen=True)
class Camera:
    """The processor's choices."""

    demosaic: Demosaic = "malvar"
    white_balance: tuple[float, float] = (1.0, 1.0)
    """Error of the red and blue gains, about .9..1.1."""
    saturation: float = 1.0
    contrast: float = 0.0
    """Weight of an S-curve on the sRGB curve, 0..0.5."""
    chroma_denoise: float = 0.0
    """Gaussian sigma in pixels on chroma, 0..4."""
    luma_denoise: float = 0.0
    """Edge-keeping (bilateral) smoothing of luma: the step in 0..1 that still counts as noise."""
    sharpen: float = 0.3
    """Weight of the unsharp mask."""
    sharpen_sigma: float = 0.8
    shrink: float = 1.0
    """Sensor pixels per picture pixel."""
    shrink_filter: Shrink = "area"
    """Everything but `area` aliases a second time."""


def demosaic_malvar(raw: Array) -> Array:
    """Interpolate an RGGB mosaic, (H, W) to (H, W, 3) float32, by Malvar, He and Cutler."""
    return primitives.interleave(
        raw,
        green=primitives.correlate(raw, _GREEN_AT_OTHER / 8),
        row=primitives.correlate(raw, _SAME_ROW / 8),
        column=primitives.correlate(raw, _SAME_ROW.T / 8),
        opposite=primitives.correlate(raw, _OPPOSITE / 8),
    )


def demosaic(raw: Array, method: Demosaic) -> Array:
    """Interpolate an RGGB mosaic in 0..1, (H, W) to (H, W, 3) float32."""
    if method == "malvar":
        return demosaic_malvar(raw)
    if method == "bilinear":
        return primitives.demosaic_bilinear(raw)
    return primitives.demosaic_edge_aware(raw)


def develop(rgb: Array, camera: Camera, unmix: NDArray[np.float32]) -> Array:
    """Colour, tone and sharpening: linear filter signals to gamma-coded RGB, (H, W, 3) in 0..1.

    Args:
        rgb: Demosaiced signals, 1 is full scale.
        camera: The processor's choices.
        unmix: 3x3 colour correction, the inverse of the sensor's filter matrix.
    """
    xp = array_namespace(rgb)
    gains = np.diag([camera.white_balance[0], 1.0, camera.white_balance[1]])
    grey = np.full((3, 3), 1 / 3)
    colour = (np.eye(3) * camera.saturation + grey * (1 - camera.saturation)) @ gains @ unmix
    linear = primitives.transform(xp.clip(rgb, max=1.0), colour.astype(np.float32))
    coded = _tone(xp.clip(linear, 0, 1), camera.contrast)
    if camera.chroma_denoise or camera.luma_denoise:
        coded = _denoise(coded, camera)
    if camera.sharpen:
        coded = _sharpen(coded, camera)
    developed: Array = xp.clip(coded, 0, 1)
    return developed


def _tone(linear: Array, contrast: float) -> Array:
    """Apply sRGB's curve and a share of a smoothstep, by table: 4096 steps are below 8 bits."""
    x = np.arange(4097, dtype=np.float32) / 4096
    curve = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)
    curve = (1 - contrast) * curve + contrast * curve * curve * (3 - 2 * curve)
    xp = array_namespace(linear)
    steps: Array = xp.astype(linear * 4096 + 0.5, xp.int32)
    return look_up(curve.astype(np.float32), steps)


def _denoise(coded: Array, camera: Camera) -> Array:
    ycc = primitives.to_ycc(coded)
    if camera.chroma_denoise:
        ycc[..., 1:] = primitives.blur(ycc[..., 1:], camera.chroma_denoise)
    if camera.luma_denoise:
        ycc[..., 0] = primitives.bilateral(ycc[..., 0], step=camera.luma_denoise, sigma=1.5)
    return primitives.from_ycc(ycc)


def _sharpen(coded: Array, camera: Camera) -> Array:
    """Unsharp mask on luma only, as camera processors do."""
    luma = primitives.luma(coded)
    halo = luma - primitives.blur(luma, camera.sharpen_sigma)
    sharpened: Array = coded + camera.sharpen * halo[..., None]
    return sharpened


def shrink(coded: Array, *, height: int, width: int, method: Shrink) -> Array:
    """Resize to the picture's size; a no-op when it has it already."""
    if coded.shape[:2] == (height, width):
        return coded
    return primitives.resize(coded, height=height, width=width, method=method)
