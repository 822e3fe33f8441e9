"""The sensor: colour filters, noise and digitisation.

Phones with many small photosites put one filter over a block of 2x2 of them (Sony's Quad Bayer,
Samsung's Tetracell). What leaves the sensor is an RGGB mosaic all the same: the blocks are added
up ("binned"), or the mosaic of full resolution is interpolated from them ("remosaicked").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from engines.simulate import primitives
from engines.simulate.arrays import Array, move

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


def mosaic(signal: Array) -> Array:
    """Keep one filter per pixel, RGGB: (H, W, 3) to (H, W), H and W even."""
    raw: Array = array_namespace(signal).asarray(signal[..., 1], copy=True)
    raw[::2, ::2] = signal[::2, ::2, 0]
    raw[1::2, 1::2] = signal[1::2, 1::2, 2]
    return raw


def add_noise(raw: Array, sensor: Sensor, rng: np.random.Generator) -> Array:
    """Return `raw` with shot, read and row noise; values may fall below 0.

    Of one seed, NumPy and torch make other noise of the same kind.
    """
    xp = array_namespace(raw)
    deviation = xp.sqrt(xp.clip(raw, min=0) * sensor.shot + sensor.read**2)
    noisy = raw + deviation * primitives.standard_normal(raw, rng, shape=raw.shape)
    if sensor.row:
        noisy += primitives.standard_normal(raw, rng, shape=(raw.shape[0], 1)) * sensor.row
    result: Array = xp.astype(noisy, xp.float32, copy=False)
    return result


def read_out(signal: Array, sensor: Sensor, rng: np.random.Generator) -> Array:
    """Return the RGGB mosaic that a sensor hands over: (H, W, 3) to (H, W) in 0..1, both even.

    Args:
        signal: Filter signals at each sensor pixel.
        sensor: Filters and noise; `quad` needs at least 4 rows and columns.
        rng: For noise.
    """
    if sensor.filters == "quad":
        return remosaic(_clipped(add_noise(quad_mosaic(signal), sensor, rng)))
    # Four photosites under one filter, added up, are one pixel of twice the side: only the noise
    # differs, by the mean of four values, and of two rows.
    if sensor.filters == "quad_binned":
        sensor = replace(
            sensor, shot=sensor.shot / 4, read=sensor.read / 2, row=sensor.row / np.sqrt(2)
        )
    return _clipped(add_noise(mosaic(signal), sensor, rng))


def _clipped(noisy: Array) -> Array:
    """Return what a converter makes of it: values of 0..1."""
    digital: Array = array_namespace(noisy).clip(noisy, 0, 1)
    return digital


def quad_mosaic(signal: Array) -> Array:
    """Keep one filter per photosite, RGGB in blocks of 2x2: (H, W, 3) to (H, W)."""
    raw: Array = array_namespace(signal).asarray(signal[..., 1], copy=True)
    for channel, first in ((0, 0), (2, 2)):
        for row, column in np.ndindex(2, 2):
            rows, columns = (slice(first + at, None, _QUAD_PERIOD) for at in (row, column))
            raw[rows, columns] = signal[rows, columns, channel]
    return raw


def remosaic(raw: Array) -> Array:
    """Interpolate an RGGB mosaic from one of 2x2 blocks, (H, W) float32, sides even and >= 4.

    Linear between the nearest photosites of a colour, along both axes: the least that a remosaic
    does. Photosites whose colour is right already stay as they were measured.
    """
    red, blue = (_across(_across(raw, first).T, first).T for first in (0, 2))
    out = _green(raw)
    out[::2, ::2] = red[::2, ::2]
    out[1::2, 1::2] = blue[1::2, 1::2]
    return out


def _green(raw: Array) -> Array:
    """Green everywhere: measured, or the mean of what its row and its column say."""
    xp = array_namespace(raw)
    upper = move(_same_colour(raw.shape[0], 0)[:, None], like=raw)
    left = move(_same_colour(raw.shape[1], 0)[None], like=raw)
    # In rows of red blocks green has columns 2 and 3 of 4, in rows of blue ones 0 and 1.
    along_row = xp.where(upper, _across(raw, 2), _across(raw, 0))
    along_column = xp.where(left, _across(raw.T, 2).T, _across(raw.T, 0).T)
    green: Array = xp.where(upper != left, raw, 0.5 * along_row + 0.5 * along_column)
    return green


def _same_colour(count: int, first: int) -> NDArray[np.bool_]:
    """Return which of `count` places belong to the pair that begins at `first`, modulo 4."""
    result: NDArray[np.bool_] = (np.arange(count) - first) % _QUAD_PERIOD < 2
    return result


def _across(raw: Array, first: int) -> Array:
    """Interpolate every row linearly from the columns of one colour; constant beyond the last."""
    places = np.arange(raw.shape[1])
    known = places[_same_colour(raw.shape[1], first)]
    last = len(known) - 1
    before = known[np.clip(np.searchsorted(known, places, "right") - 1, 0, last)]
    after = known[np.clip(np.searchsorted(known, places, "left"), 0, last)]
    weight = ((places - before) / np.maximum(after - before, 1)).clip(0).astype(np.float32)
    xp = array_namespace(raw)
    left, right = (xp.take(raw, move(at, like=raw), axis=1) for at in (before, after))
    result: Array = left + move(weight, like=raw) * (right - left)
    return result
