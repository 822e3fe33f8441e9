"""Fringes alone: what is left of moiré when nothing of the panel's own grid survives.

A far or soft copy of a clip (shrunk, denoised, compressed again) shows the beat between the
screen's grid and the sensor's, and no trace of either. That beat needs no oversampled light: its
phase is the difference of two coordinates, so a sample costs a fraction of `film`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from engines.simulate import optics
from engines.simulate.arrays import Array, centres, move
from engines.simulate.conditions import Conditions
from engines.simulate.optics import Pose

_GAMMA = 2.2


@dataclass(frozen=True)
class Beat:
    """Strength of the fringes, as a share of the light; one entry each for R, G and B."""

    across: tuple[float, float, float]
    """Of the beat along screen rows, where red, green and blue stripes stand side by side."""
    down: tuple[float, float, float]
    """Of the beat along screen columns, where all three have the same phase."""
    offsets: tuple[float, float, float] = (0.0, 1 / 3, 2 / 3)
    """Place of the sub-pixels within a screen pixel: their fringes are shifted by as much."""
    shortest_px: float = 9.0
    """Period that lens, shrinking and codec leave a third of: shorter fringes are fainter."""


def draw_beat(rng: np.random.Generator) -> Beat:
    """Draw fringes from barely visible to strong."""
    strength = 10 ** rng.uniform(-1.9, -0.3)
    # Green is sampled twice as densely as red and blue and beats less.
    shares = rng.uniform(0.4, 1, 3) * np.array([1, rng.uniform(0.2, 1), 1])
    down = strength * rng.uniform(0, 1) * rng.uniform(0.4, 1, 3) * (rng.random() < 0.5)
    order = np.array([0.0, 1 / 3, 2 / 3]) * rng.choice([-1, 1])
    offsets = order + rng.normal(0, 0.04, 3)
    shortest_px = float(np.exp(rng.uniform(np.log(3), np.log(12))))
    return Beat(_triple(strength * shares), _triple(down), _triple(offsets), shortest_px)


def draw_slow_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose so near a resonance that fringes are tens to hundreds of pixels long."""
    resonance = rng.choice([2.0, 1.0, 2 / 3])
    return Pose(
        ratio=float(resonance * np.exp(rng.normal(0, rng.choice([0.004, 0.015, 0.05])))),
        roll_deg=rng.normal(0, 1),
        tilt_x_deg=rng.normal(0, 4),
        tilt_y_deg=rng.normal(0, 4),
    )


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = values.tolist()
    return red, green, blue


def add_beat(truth: Array, conditions: Conditions, beat: Beat) -> Array:
    """Return `truth` with fringes.

    Args:
        truth: (H, W, 3) uint8 RGB, gamma-coded.
        conditions: Their pose and lens decide where fringes are long and how they bend.
        beat: Their strength.
    """
    height, width = truth.shape[:2]
    xp = array_namespace(truth)
    to_screen = move(optics.homography(conditions.pose, focal=conditions.focal), like=truth)
    column, row = optics.screen_points(
        to_screen, conditions.lens, height=height, width=width, oversampling=1
    )
    # Red and blue filters repeat every second pixel: the sensor's own frequencies are halves.
    harmonic = max(1, round(2 / conditions.pose.ratio)) / 2
    x, y = centres(width, like=truth)[None], centres(height, like=truth)[:, None]
    gain = xp.ones(truth.shape, dtype=xp.float32, device=device(truth))
    for cycles, strengths, offsets in (
        (column - harmonic * x, beat.across, beat.offsets),
        (row - harmonic * y, beat.down, (0.0, 0.0, 0.0)),
    ):
        visible = _visibility(cycles, beat.shortest_px)
        for channel in range(3):
            phase = 2 * np.pi * (cycles + offsets[channel])
            gain[..., channel] += strengths[channel] * visible * xp.cos(phase)
    coded = truth * xp.clip(gain, min=0) ** (1 / _GAMMA)
    picture: Array = xp.astype(xp.clip(coded + 0.5, 0, 255), xp.uint8)
    return picture


def _visibility(cycles: Array, shortest_px: float) -> Array:
    """Return the contrast, 0..1, that a Gaussian blur leaves to the local frequency."""
    squared = (_slope(cycles.T).T ** 2 + _slope(cycles) ** 2) * shortest_px**2
    visible: Array = array_namespace(cycles).exp(-squared)
    return visible


def _slope(values: Array) -> Array:
    """Return by how much values change from row to row: over two rows, at the borders over one."""
    xp = array_namespace(values)
    inner = (values[2:] - values[:-2]) / 2
    slope: Array = xp.concat([values[1:2] - values[:1], inner, values[-1:] - values[-2:-1]])
    return slope
