"""Rows exposed one after the other, before a light that flickers: bands across the picture.

A rolling shutter begins each row a little later than the one above. A screen whose light pulses
(by its refresh, or because its backlight is dimmed by pulse-width modulation) then gives each row
another share of a pulse: bright and dark bands. They stand still where the camera's frame rate
divides the pulses' and move at the beat of the two otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from engines.simulate.arrays import Array

_ROWS_PER_FIELD = 0.98
"""Rows of a 16:9 picture over its half diagonal, 2 * 9 / sqrt(16^2 + 9^2)."""

_REFRESH_HZ = (50.0, 144.0)
_PWM_HZ = (120.0, 960.0)
_READOUT_MS = (8.0, 25.0)
_EXPOSURE_MS = (1.0, 1000 / 30)
_BAND_DEPTH = (0.02, 0.3)


@dataclass(frozen=True)
class Shutter:
    """When the rows of a picture are exposed."""

    readout_ms: float = 0.0
    """From the first row to the last of the full picture, 8..25 of phones; 0 exposes all rows
    at once."""
    exposure_ms: float = 8.0
    """How long each row gathers light, 1..33."""


@dataclass(frozen=True)
class Flicker:
    """A light that pulses: a panel's refresh at 50..144 Hz, or dimming by PWM at 120..960 Hz."""

    frequency_hz: float
    depth: float
    """How much darker than its bright part a period's dark part is, 0..1."""
    dark_share: float = 0.5
    """Share of a period that is dark, 0..1."""
    phase: float = 0.0
    """Where in the period time zero lies, in periods; the dark part comes first."""


def row_delays_s(shutter: Shutter, *, rows: int, field: float) -> NDArray[np.float64]:
    """Return by how much each row begins later than the first, in seconds, (rows,).

    Args:
        shutter: Its readout is that of the full picture.
        rows: Of the window that is simulated.
        field: Half diagonal of the full picture in sensor pixels, as `Lens.field`.
    """
    line_s = shutter.readout_ms / 1000 / (_ROWS_PER_FIELD * field)
    result: NDArray[np.float64] = np.arange(rows, dtype=np.float64) * line_s
    return result


def row_gain(flicker: Flicker, begin_s: Array, exposure_ms: float) -> Array:
    """Return the light of rows relative to a steady light of the same mean, (rows,) float32.

    Args:
        flicker: The light.
        begin_s: When each row's exposure begins, (rows,) float64.
        exposure_ms: How long it lasts; pulses within it average out.
    """
    xp = array_namespace(begin_s)
    begin = begin_s * flicker.frequency_hz + flicker.phase
    periods = exposure_ms / 1000 * flicker.frequency_hz
    dark = _dark_until(begin + periods, flicker.dark_share) - _dark_until(begin, flicker.dark_share)
    light = xp.clip(1 - flicker.depth * dark / periods, min=0)  # rounding may go below
    gain: Array = xp.astype(light / (1 - flicker.depth * flicker.dark_share), xp.float32)
    return gain


def _dark_until(time: Array, share: float) -> Array:
    """Return the dark part of the time since zero, both in periods."""
    xp = array_namespace(time)
    whole = xp.floor(time)
    dark: Array = whole * share + xp.clip(time - whole, max=share)
    return dark


def band_depth(flicker: Flicker, exposure_ms: float) -> float:
    """Return how far apart the brightest and the darkest row are, as a share of the mean."""
    swing = _swing(flicker.frequency_hz, flicker.dark_share, exposure_ms)
    return flicker.depth * swing / (1 - flicker.depth * flicker.dark_share)


def _swing(frequency_hz: float, dark_share: float, exposure_ms: float) -> float:
    """Return how much the dark share of an exposure varies with its beginning, 0..1."""
    periods = exposure_ms / 1000 * frequency_hz
    rest = periods % 1
    return min(rest, 1 - rest, dark_share, 1 - dark_share) / periods


def draw_shutter(rng: np.random.Generator) -> Shutter:
    """Draw a phone's rolling shutter and an exposure of 1/1000 to 1/30 s."""
    low, high = np.log(_EXPOSURE_MS)
    return Shutter(rng.uniform(*_READOUT_MS), float(np.exp(rng.uniform(low, high))))


def draw_flicker(rng: np.random.Generator, exposure_ms: float) -> Flicker:
    """Draw a pulsing light whose bands are 2..30 % deep; less where the exposure evens it out."""
    if rng.random() < 0.5:
        frequency_hz, dark_share = rng.uniform(*_REFRESH_HZ), rng.uniform(0.05, 0.5)
    else:
        low, high = np.log(_PWM_HZ)
        frequency_hz, dark_share = float(np.exp(rng.uniform(low, high))), rng.uniform(0.1, 0.9)
    band = rng.uniform(*_BAND_DEPTH)
    swing = _swing(frequency_hz, dark_share, exposure_ms)
    depth = min(1.0, band / (swing + band * dark_share))
    return Flicker(frequency_hz, depth, dark_share, phase=rng.random())
