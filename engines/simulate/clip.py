"""A filmed screen over time: content that plays, a hand that trembles, and the truth beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.simulate.arrays import Device
from engines.simulate.conditions import Conditions
from engines.simulate.content import Scene
from engines.simulate.film import Filmed, film_on, sensor_size
from engines.simulate.metering import Meter, Metering
from engines.simulate.shutter import row_delays_s

_TREMOR_HZ = (4.0, 12.0)
"""Physiological hand tremor; its amplitude falls with the square of the frequency."""
_SLICES = 5
"""Moments at which the pose is known while a picture is read out: 6 ms apart at most, under a
tenth of the fastest tremor's period."""


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

    def during(self, conditions: Conditions, time_s: float, readout_s: float) -> Conditions:
        """Return `conditions` with the pose at `time_s` and those until the last row is exposed."""
        now = replace(self.at(conditions, time_s), time_s=time_s)
        times = time_s + np.linspace(0, readout_s, _SLICES)
        sweep = tuple(self.at(conditions, time).pose for time in times.tolist())
        return replace(now, sweep=sweep) if len(set(sweep)) > 1 else now


def draw_hand(rng: np.random.Generator) -> Hand:
    """Draw a hand, from a calm one to one that walks."""
    low, high = np.log((0.3, 6.0))
    return Hand(
        tremor_px=float(np.exp(rng.uniform(low, high))),
        drift_px_s=rng.uniform(0, 12),
        sway_deg=rng.uniform(0.02, 0.3),
    )


def draw_tripod(rng: np.random.Generator) -> Hand:
    """Draw a tripod: what is left is a floor that trembles, below a twentieth of a pixel."""
    return Hand(tremor_px=rng.uniform(0, 0.05), drift_px_s=0.0, sway_deg=0.0)


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
    metering: Metering | None = None,
    device: Device = "cpu",
) -> Iterator[Filmed]:
    """Yield the clip's frames in order, each with its truth.

    A rolling shutter of `conditions` shears what moves, and makes bands of its flicker.

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
        metering: How exposure and white balance follow the screen; fixed without.
        device: What films the frames.
    """
    meter = None if metering is None else Meter(metering)
    readout_s = _readout_s(conditions, height=height, width=width)
    trajectory = Trajectory(hand, np.random.default_rng(seed), ratio=conditions.pose.ratio)

    def shoot(number: int, content: NDArray[np.uint8], settings: Conditions) -> Filmed:
        posed = trajectory.during(settings, number / frame_rate, readout_s)
        noise = np.random.default_rng([seed, number])
        return film_on(device, content, posed, noise, height=height, width=width)

    def begin(number: int) -> Future[Filmed]:
        time_s = number / frame_rate
        content = scene.frame(time_s)
        settings = meter.follow(conditions, content, time_s=time_s) if meter else conditions
        return pool.submit(shoot, number, content, settings)

    with ThreadPoolExecutor(workers) as pool:
        yield from _in_order(begin, frames, ahead=workers)


def _in_order(
    begin: Callable[[int], Future[Filmed]], frames: int, *, ahead: int
) -> Iterator[Filmed]:
    """Yield each frame's result while so many more are under way."""
    pending: deque[Future[Filmed]] = deque()
    for number in range(frames):
        pending.append(begin(number))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _readout_s(conditions: Conditions, *, height: int, width: int) -> float:
    """Return how much later the picture's last row is exposed than its first."""
    rows, _ = sensor_size(conditions, height=height, width=width)
    delays = row_delays_s(conditions.shutter, rows=rows, field=conditions.lens.field)
    return float(delays[-1])
