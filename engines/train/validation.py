"""How well a network does on held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.train.data import Planes, both_planes
from engines.train.losses import demoire_loss

_BATCH = 16
_SHOWN, _SHOWN_STEP = 32, 4
"""Every fourth of the first samples of a set is on the contact sheet."""


@dataclass
class Validation:
    """Figures of one validation."""

    loss: float = 0.0
    """Mean over all samples."""
    psnr: list[tuple[float, float]] = field(default_factory=list)
    """Before and after, in dB over Y, U and V, of each sample."""
    strips: list[NDArray[np.uint8]] = field(default_factory=list)
    """Input, output and truth side by side, (S, 3 S, 3) BGR, of some samples."""

    @property
    def gains(self) -> dict[str, float | None]:
        """Mean gains by the strength of the input's moiré, in dB; None where there is no such."""
        before, after = np.array(self.psnr).T
        strong, weak = before < 25, (before >= 25) & (before < 60)
        return {
            "gain_strong_db": _mean((after - before)[strong]),
            "gain_weak_db": _mean((after - before)[weak]),
            "identity_db": _mean(after[before >= 60]),
        }

    def sheet(self) -> NDArray[np.uint8]:
        """Return the strips in two columns, cut to the smallest."""
        side = min(len(strip) for strip in self.strips)
        rows = [_cut_strip(strip, side) for strip in self.strips]
        if len(rows) % 2:
            rows.append(np.zeros_like(rows[0]))
        half = len(rows) // 2
        return np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half:])], axis=1)


@torch.no_grad()
def validate(
    clean: Callable[[Planes], Planes], sets: Sequence[NDArray[np.uint8]], *, device: str
) -> Validation:
    """Judge on all samples, (N, 2, 3/2 S, S) uint8 in each set."""
    result = Validation()
    total = sum(len(samples) for samples in sets)
    for samples in sets:
        for start in range(0, len(samples), _BATCH):
            planes, truth = both_planes(samples[start : start + _BATCH], device)
            outputs = tuple(plane.clamp(0, 1) for plane in clean(planes))
            result.loss += float(demoire_loss(outputs, truth).sum()) / total
            result.psnr += _psnr_pairs(planes, outputs, truth)
            if start < _SHOWN:
                shown = range(0, len(planes[0]), _SHOWN_STEP)
                result.strips += [_strip((planes, outputs, truth), i) for i in shown]
    return result


def _mean(decibels: NDArray[np.float64]) -> float | None:
    return round(float(decibels.mean()), 3) if decibels.size else None


def _psnr_pairs(planes: Planes, outputs: Planes, truth: Planes) -> list[tuple[float, float]]:
    """Return (before, after) of each sample, capped at 80 dB."""

    def psnr(candidate: Planes) -> NDArray[np.float64]:
        errors = [((a - b) ** 2).mean((1, 2, 3)) for a, b in zip(candidate, truth, strict=True)]
        mse = (errors[0] * 4 + errors[1] + errors[2]) / 6
        result: NDArray[np.float64] = -10 * np.log10(np.maximum(mse.cpu().numpy(), 1e-8))
        return result

    return list(zip(psnr(planes), psnr(outputs), strict=True))


def _strip(versions: Sequence[Planes], i: int) -> NDArray[np.uint8]:
    return np.concatenate([_to_bgr([plane[i, 0] for plane in v]) for v in versions], axis=1)


def _cut_strip(strip: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    pictures = strip.reshape(len(strip), 3, -1, 3)[:side, :, :side]
    return pictures.reshape(side, 3 * side, 3)


def _to_bgr(planes: list[Tensor]) -> NDArray[np.uint8]:
    y, u, v = ((p.cpu().numpy() * 255 + 0.5).astype(np.uint8) for p in planes)
    stacked = np.concatenate([y, u.reshape(-1, y.shape[1]), v.reshape(-1, y.shape[1])])
    return cast(NDArray[np.uint8], cv2.cvtColor(stacked, cv2.COLOR_YUV2BGR_I420))
