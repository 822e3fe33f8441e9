"""The sensor: colour filters, noise and digitisation.

Phones with many small photosites put one filter over a block of 2x2 of them (Sony's Quad Bayer,
Samsung's Tetracell). What leaves the sensor is an RGGB mosaic all the same: the blocks are added
up ("binned"), or the mosaic of full resolution is interpolated from them ("remosaicked").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Filters = Literal["bayer", "quad", "quad_binned"]

_QUAD_PERIOD = 4
LEAST_SIDE = 4
"""Rows and columns that hold every colour of a quad-Bayer mosaic."""


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
    filters: Filters = "bayer"
    """`quad` has 2x2 photosites of a colour side by side and is remosaicked to RGGB; of
    `quad_binned`, a block is one sensor pixel here, and the noise figures are of a photosite."""


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


def read_out(
    signal: NDArray[np.float32], sensor: Sensor, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the RGGB mosaic that a sensor hands over: (H, W, 3) to (H, W) in 0..1, both even.

    Args:
        signal: Filter signals at each sensor pixel.
        sensor: Filters and noise; `quad` needs at least 4 rows and columns.
        rng: For noise.
    """
    if sensor.filters == "quad":
        noisy = add_noise(quad_mosaic(signal), sensor, rng)
        return remosaic(np.clip(noisy, 0, 1))
    # Four photosites under one filter, added up, are one pixel of twice the side: only the noise
    # differs, by the mean of four values, and of two rows.
    if sensor.filters == "quad_binned":
        sensor = replace(
            sensor, shot=sensor.shot / 4, read=sensor.read / 2, row=sensor.row / np.sqrt(2)
        )
    return np.clip(add_noise(mosaic(signal), sensor, rng), 0, 1)


def quad_mosaic(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep one filter per photosite, RGGB in blocks of 2x2: (H, W, 3) to (H, W)."""
    raw = signal[..., 1].copy()
    for channel, first in ((0, 0), (2, 2)):
        here = np.ix_(*(_same_colour(side, first) for side in raw.shape))
        raw[here] = signal[..., channel][here]
    return raw


def remosaic(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Interpolate an RGGB mosaic from one of 2x2 blocks, (H, W) float32, sides even and >= 4.

    Linear between the nearest photosites of a colour, along both axes: the least that a remosaic
    does. Photosites whose colour is right already stay as they were measured.
    """
    red, blue = (_across(_across(raw, first).T, first).T for first in (0, 2))
    out = _green(raw)
    out[::2, ::2] = red[::2, ::2]
    out[1::2, 1::2] = blue[1::2, 1::2]
    return out


def _green(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Green everywhere: measured, or the mean of what its row and its column say."""
    upper = _same_colour(raw.shape[0], 0)[:, None]
    left = _same_colour(raw.shape[1], 0)[None]
    # In rows of red blocks green has columns 2 and 3 of 4, in rows of blue ones 0 and 1.
    along_row = np.where(upper, _across(raw, 2), _across(raw, 0))
    along_column = np.where(left, _across(raw.T, 2).T, _across(raw.T, 0).T)
    half = np.float32(0.5)
    return np.where(upper != left, raw, half * along_row + half * along_column)


def _same_colour(count: int, first: int) -> NDArray[np.bool_]:
    """Return which of `count` places belong to the pair that begins at `first`, modulo 4."""
    result: NDArray[np.bool_] = (np.arange(count) - first) % _QUAD_PERIOD < 2
    return result


def _across(raw: NDArray[np.float32], first: int) -> NDArray[np.float32]:
    """Interpolate every row linearly from the columns of one colour; constant beyond the last."""
    places = np.arange(raw.shape[1])
    known = places[_same_colour(raw.shape[1], first)]
    last = len(known) - 1
    before = known[np.clip(np.searchsorted(known, places, "right") - 1, 0, last)]
    after = known[np.clip(np.searchsorted(known, places, "left"), 0, last)]
    weight = ((places - before) / np.maximum(after - before, 1)).clip(0).astype(np.float32)
    left = raw[:, before]
    result: NDArray[np.float32] = left + weight * (raw[:, after] - left)
    return result
