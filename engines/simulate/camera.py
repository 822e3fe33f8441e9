"""What the camera's processor does to a raw picture: demosaic, colour, tone, sharpen, shrink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

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


def demosaic_malvar(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Interpolate an RGGB mosaic, (H, W) to (H, W, 3) float32, by Malvar, He and Cutler."""
    border = cv2.BORDER_REFLECT_101
    green = cv2.filter2D(raw, -1, _GREEN_AT_OTHER / 8, borderType=border)
    row = cv2.filter2D(raw, -1, _SAME_ROW / 8, borderType=border)
    column = cv2.filter2D(raw, -1, _SAME_ROW.T / 8, borderType=border)
    opposite = cv2.filter2D(raw, -1, _OPPOSITE / 8, borderType=border)
    out = np.repeat(raw[..., None], 3, axis=2)
    out[::2, ::2, 1], out[1::2, 1::2, 1] = green[::2, ::2], green[1::2, 1::2]
    out[::2, 1::2, 0], out[1::2, ::2, 0] = row[::2, 1::2], column[1::2, ::2]
    out[::2, 1::2, 2], out[1::2, ::2, 2] = column[::2, 1::2], row[1::2, ::2]
    out[1::2, 1::2, 0], out[::2, ::2, 2] = opposite[1::2, 1::2], opposite[::2, ::2]
    return out


def demosaic(raw: NDArray[np.float32], method: Demosaic) -> NDArray[np.float32]:
    """Interpolate an RGGB mosaic in 0..1, (H, W) to (H, W, 3) float32."""
    if method == "malvar":
        return demosaic_malvar(raw)
    code = cv2.COLOR_BayerRGGB2RGB if method == "bilinear" else cv2.COLOR_BayerRGGB2RGB_EA
    digital = np.clip(raw * 32768, 0, 65535).astype(np.uint16)
    return cv2.cvtColor(digital, code).astype(np.float32) / np.float32(32768)


def develop(
    rgb: NDArray[np.float32], camera: Camera, unmix: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Colour, tone and sharpening: linear filter signals to gamma-coded RGB, (H, W, 3) in 0..1.

    Args:
        rgb: Demosaiced signals, 1 is full scale.
        camera: The processor's choices.
        unmix: 3x3 colour correction, the inverse of the sensor's filter matrix.
    """
    gains = np.diag([camera.white_balance[0], 1.0, camera.white_balance[1]])
    grey = np.full((3, 3), 1 / 3)
    colour = (np.eye(3) * camera.saturation + grey * (1 - camera.saturation)) @ gains @ unmix
    linear = cv2.transform(np.minimum(rgb, 1.0), colour.astype(np.float32))
    coded = _tone(np.clip(linear, 0, 1), camera.contrast)
    if camera.chroma_denoise or camera.luma_denoise:
        coded = _denoise(coded, camera)
    if camera.sharpen:
        coded = _sharpen(coded, camera)
    return np.clip(coded, 0, 1)


def _tone(linear: NDArray[np.float32], contrast: float) -> NDArray[np.float32]:
    """Apply sRGB's curve and a share of a smoothstep, by table: 4096 steps are below 8 bits."""
    x = np.arange(4097, dtype=np.float32) / 4096
    curve = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)
    curve = (1 - contrast) * curve + contrast * curve * curve * (3 - 2 * curve)
    table: NDArray[np.float32] = curve.astype(np.float32)
    return table[(linear * 4096 + 0.5).astype(np.int32)]


def _denoise(coded: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    ycc = cv2.cvtColor(coded, cv2.COLOR_RGB2YCrCb)
    if camera.chroma_denoise:
        chroma = np.ascontiguousarray(ycc[..., 1:])
        ycc[..., 1:] = cv2.GaussianBlur(chroma, (0, 0), camera.chroma_denoise)
    if camera.luma_denoise:
        luma = np.ascontiguousarray(ycc[..., 0])
        ycc[..., 0] = cv2.bilateralFilter(luma, 5, camera.luma_denoise, 1.5)
    return cast(NDArray[np.float32], cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB))


def _sharpen(coded: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """Unsharp mask on luma only, as camera processors do."""
    luma = cv2.cvtColor(coded, cv2.COLOR_RGB2GRAY)
    halo = luma - cv2.GaussianBlur(luma, (0, 0), camera.sharpen_sigma)
    out: NDArray[np.float32] = coded + np.float32(camera.sharpen) * halo[..., None]
    return out


def shrink(
    coded: NDArray[np.float32], *, height: int, width: int, method: Shrink
) -> NDArray[np.float32]:
    """Resize to the picture's size; a no-op when it has it already."""
    if coded.shape[:2] == (height, width):
        return coded
    # Plain INTER_NEAREST moves the picture by half a pixel against the truth.
    nearest = cv2.INTER_NEAREST_EXACT
    flags = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "nearest": nearest}
    return cast(
        NDArray[np.float32], cv2.resize(coded, (width, height), interpolation=flags[method])
    )
