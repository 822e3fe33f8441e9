"""The sensor: colour filters, noise and digitisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sensor:
    """Filters and noise of the sensor; signal 1 is full scale."""

    crosstalk: float = 0.12
    """Share of each neighbouring primary that a filter lets through, 0..0.25."""
    shot: float = 1e-3
    """Variance per unit of signal (photon noise), 1e-5..6e-3."""
    read: float = 2e-3
    """Standard deviation of read noise."""
    row: float = 0.0
    """Standard deviation of noise shared by a row."""
    exposure: float = 0.8
    """Signal of the screen's white."""


def filter_matrix(sensor: Sensor) -> NDArray[np.float32]:
    """Return the 3x3 map from screen primaries to filter signals; rows sum to 1."""
    c = sensor.crosstalk
    matrix = np.array([[1 - c, c * 0.9, c * 0.1], [c / 2, 1 - c, c / 2], [c * 0.1, c * 0.9, 1 - c]])
    result: NDArray[np.float32] = (matrix / matrix.sum(1, keepdims=True)).astype(np.float32)
    return result


def mosaic(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep one filter per pixel, RGGB: (H, W, 3) to (H, W), H and W even."""
    raw = signal[..., 1].copy()
    raw[::2, ::2] = signal[::2, ::2, 0]
    raw[1::2, 1::2] = signal[1::2, 1::2, 2]
    return raw


def add_noise(
    raw: NDArray[np.float32], sensor: Sensor, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return `raw` with shot, read and row noise; values may fall below 0."""
    deviation = np.sqrt(np.maximum(raw, 0) * sensor.shot + sensor.read**2)
    noisy = raw + deviation * rng.standard_normal(raw.shape, np.float32)
    if sensor.row:
        noisy += sensor.row * rng.standard_normal((raw.shape[0], 1), np.float32)
    result: NDArray[np.float32] = noisy.astype(np.float32)
    return result
