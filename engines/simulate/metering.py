"""A camera that follows the screen: exposure and white balance that change late, and too far.

Automatic exposure compensates part of a change of brightness, automatic white balance part of a
change of colour ("grey world"). Both arrive with a lag, so a cut to a bright slide blooms first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.simulate import display
from engines.simulate.conditions import Conditions

_LAG_S = (0.3, 1.5)
_METERED_SIDE = 64
_GAMMA = 2.2
_DARK = 0.02
"""Light added before the logarithm: cameras do not make day of a black screen."""
_MOST_STOPS = 1.5


@dataclass(frozen=True)
class Metering:
    """How a camera's automatics follow the screen."""

    lag_s: float = 0.7
    """Time constant of the first-order lag, 0.3..1.5."""
    exposure: float = 0.4
    """Share of a change of brightness that is compensated, 0..1."""
    colour: float = 0.2
    """Share of a change of colour that is compensated, 0..1."""
    start: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """How far from settled the clip begins, in stops: exposure, red gain, blue gain."""


class Meter:
    """The automatics over a clip; the clip's first picture is what they are settled on."""

    def __init__(self, metering: Metering) -> None:
        self._metering = metering
        self._stops: NDArray[np.float64] = np.array(metering.start)
        self._first: NDArray[np.float64] | None = None
        self._time_s = 0.0

    def follow(
        self, conditions: Conditions, content: NDArray[np.uint8], *, time_s: float
    ) -> Conditions:
        """Return `conditions` with the exposure and white balance of this moment.

        Args:
            conditions: As the camera is set at the clip's beginning.
            content: What the screen shows, (H, W, 3) uint8.
            time_s: Not before the last call's.
        """
        wanted = self._wanted(content)
        share = 1 - np.exp(-(time_s - self._time_s) / self._metering.lag_s)
        self._stops = self._stops + share * (wanted - self._stops)
        self._time_s = time_s
        exposure, red, blue = (2**self._stops).tolist()
        sensor, camera = conditions.sensor, conditions.camera
        gains = camera.white_balance
        return replace(
            conditions,
            sensor=replace(sensor, exposure=sensor.exposure * exposure),
            camera=replace(camera, white_balance=(gains[0] * red, gains[1] * blue)),
        )

    def _wanted(self, content: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the stops (exposure, red, blue) at which the camera would settle."""
        small = cv2.resize(content, (_METERED_SIDE,) * 2, interpolation=cv2.INTER_AREA)
        light = display.linear_light(np.asarray(small, np.uint8), _GAMMA).mean((0, 1), np.float64)
        red, green, blue = np.log2(light + _DARK)
        found = np.array([green, red - green, blue - green])
        if self._first is None:
            self._first = found
        shares = np.array([self._metering.exposure, self._metering.colour, self._metering.colour])
        stops: NDArray[np.float64] = -shares * (found - self._first)
        return stops.clip(-_MOST_STOPS, _MOST_STOPS)


def draw_metering(rng: np.random.Generator) -> Metering:
    """Draw automatics from slow and mild to quick and strong; half the clips begin unsettled."""
    unsettled = rng.normal(0, (0.35, 0.12, 0.12)) * (rng.random() < 0.5)
    exposure, red, blue = unsettled.clip(-1, 1).tolist()
    return Metering(
        lag_s=rng.uniform(*_LAG_S),
        exposure=rng.uniform(0, 0.7),
        colour=rng.uniform(0, 0.4),
        start=(exposure, red, blue),
    )
