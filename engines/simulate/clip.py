"""A filmed screen over time: content that plays, a hand that trembles, and the truth beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from engines.simulate.conditions import Conditions
from engines.simulate.content import Scene
from engines.simulate.film import Filmed, film

_TREMOR_HZ = (4.0, 12.0)
"""Physiological hand tremor; its amplitude falls with the square of the frequency."""


@dataclass(frozen=True)
class Hand:
    """How steadily the camera is held; zero is a tripod."""

    tremor_px: float = 1.5
    """Root mean square of the picture's trembling, in sensor pixels, 0.3..6."""
    drift_px_s: float = 4.0
    """Slow movement, sensor pixels a second."""
    sway_deg: float = 0.15
    """Slow turning in all three axes."""


class Trajectory:
    """Sums of sinusoids with random phases: smooth, repeatable at any time, no state."""

    def __init__(self, hand: Hand, rng: np.random.Generator, *, ratio: float) -> None:
        self._hand, self._ratio = hand, ratio
        self._hz = rng.uniform(*_TREMOR_HZ, size=(2, 6))
        self._phase = rng.uniform(0, 2 * np.pi, size=(2, 6))
        weight = 1 / self._hz**2
        self._weight = weight / np.sqrt((weight**2).sum(axis=1, keepdims=True) / 2)
        self._heading = rng.uniform(0, 2 * np.pi)
        self._slow = rng.uniform(0, 2 * np.pi, size=4)

    def at(self, conditions: Conditions, time_s: float) -> Conditions:
        """Return `conditions` with the pose at `time_s`."""
        hand, pose = self._hand, conditions.pose
        tremor = (self._weight * np.sin(2 * np.pi * self._hz * time_s + self._phase)).sum(axis=1)
        way = hand.drift_px_s * time_s * np.array([np.cos(self._heading), np.sin(self._heading)])
        move = (tremor * hand.tremor_px / np.sqrt(2) + way) / self._ratio
        sway = hand.sway_deg * np.sin(2 * np.pi * 0.4 * time_s + self._slow)
        return replace(
            conditions,
            pose=replace(
                pose,
                shift_x=pose.shift_x + float(move[0]),
                shift_y=pose.shift_y + float(move[1]),
                roll_deg=pose.roll_deg + float(sway[0]),
                tilt_x_deg=pose.tilt_x_deg + float(sway[1]),
                tilt_y_deg=pose.tilt_y_deg + float(sway[2]),
                ratio=pose.ratio * (1 + 0.004 * hand.sway_deg * float(np.sin(time_s + sway[3]))),
            ),
        )


def simulate_clip(
    scene: Scene,
    conditions: Conditions,
    hand: Hand,
    *,
    seed: int,
    height: int,
    width: int,
    frame_rate: float,
    frames: int,
    workers: int = 2,
) -> Iterator[Filmed]:
    """Yield the clip's frames in order, each with its truth.

    Args:
        scene: What plays on the screen; large enough for `film.content_size`.
        conditions: How it is filmed at time zero.
        hand: How the camera moves.
        seed: Of the movement and the noise; every frame has its own noise.
        height: Rows.
        width: Columns.
        frame_rate: Frames per second.
        frames: Length of the clip.
        workers: Frames simulated at a time, on threads (NumPy and OpenCV release the GIL).
    """
    trajectory = Trajectory(hand, np.random.default_rng(seed), ratio=conditions.pose.ratio)

    def shoot(number: int, content: NDArray[np.uint8]) -> Filmed:
        pose = trajectory.at(conditions, number / frame_rate)
        noise = np.random.default_rng([seed, number])
        return film(content, pose, noise, height=height, width=width)

    pending: deque[Future[Filmed]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for number in count():
            if number < frames:
                pending.append(pool.submit(shoot, number, scene.frame(number / frame_rate)))
            if not pending:
                return
            if len(pending) > workers or number >= frames:
                yield pending.popleft().result()
