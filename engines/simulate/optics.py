"""Where each point of the sensor looks on the screen, and how the lens blurs and shades it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from engines.simulate import primitives
from engines.simulate.arrays import Array, centres


@dataclass(frozen=True)
class Pose:
    """The camera before the screen, as seen in the picture."""

    ratio: float = 2.0
    """Sensor pixels per screen pixel at the centre: decides everything about the fringes."""
    roll_deg: float = 0.0
    tilt_x_deg: float = 0.0
    """Turn about the vertical axis."""
    tilt_y_deg: float = 0.0
    """Turn about the horizontal axis."""
    shift_x: float = 0.0
    """Where the sensor's centre looks, in screen pixels from the content's centre."""
    shift_y: float = 0.0


@dataclass(frozen=True)
class Lens:
    """Geometry and blur of the lens; lengths in sensor pixels."""

    sigma: float = 0.5
    """Gaussian point spread, .3 to 1.2."""
    k1: float = 0.0
    """Radial distortion at the corner of the full picture, +-.08."""
    chromatic: tuple[float, float] = (0.0, 0.0)
    """Sideways shift of red (x, y); blue shifts the other way. Below 0.7."""
    vignette: float = 0.0
    """Light lost in the corner of the full picture, 0..0.4."""
    field: float = 1500.0
    """Half diagonal of the full picture: where corner figures hold."""
    centre: tuple[float, float] = (0.0, 0.0)
    """Optical axis relative to the middle of the simulated window."""


def homography(pose: Pose, *, focal: float) -> NDArray[np.float64]:
    """Return the 3x3 map from sensor to screen pixels, both from their centres.

    Args:
        pose: The camera's pose.
        focal: Focal length in sensor pixels; short ones make strong perspective.
    """
    roll, tx, ty = np.deg2rad([pose.roll_deg, pose.tilt_x_deg, pose.tilt_y_deg])
    turn_z = np.array(
        [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    )
    turn_y = np.array([[np.cos(tx), 0, np.sin(tx)], [0, 1, 0], [-np.sin(tx), 0, np.cos(tx)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(ty), -np.sin(ty)], [0, np.sin(ty), np.cos(ty)]])
    turn = turn_z @ turn_y @ turn_x
    # Screen plane z = 0 at distance focal / ratio: x_sensor = focal * X / Z.
    plane = np.column_stack([turn[:, 0], turn[:, 1], [0, 0, focal / pose.ratio]])
    to_sensor = np.diag([focal, focal, 1.0]) @ plane
    inverse = np.linalg.inv(to_sensor)
    shift = np.array([[1, 0, pose.shift_x], [0, 1, pose.shift_y], [0, 0, 1]])
    result: NDArray[np.float64] = shift @ (inverse / inverse[2, 2])
    return result


def swept_homography(poses: Sequence[Pose], *, focal: float, rows: int) -> NDArray[np.float64]:
    """Return one map for each row of a rolling shutter, (rows, 3, 3), see `homography`.

    Args:
        poses: The camera's poses while the picture is read out, evenly spaced in time from the
            first row to the last; rows between two of them are interpolated.
        focal: Focal length in sensor pixels.
        rows: Rows of sample points.
    """
    maps = np.stack([homography(pose, focal=focal) for pose in poses])
    place = np.linspace(0, len(maps) - 1, rows)
    before = np.minimum(place.astype(np.intp), max(0, len(maps) - 2))
    after = np.minimum(before + 1, len(maps) - 1)
    weight = (place - before)[:, None, None]
    swept: NDArray[np.float64] = maps[before] + weight * (maps[after] - maps[before])
    return swept


def screen_points(
    to_screen: Array, lens: Lens, *, height: int, width: int, oversampling: int
) -> tuple[Array, Array]:
    """Return x and y on the screen of each sample point, (height * s, width * s) float32.

    Args:
        to_screen: `homography()`, or `swept_homography()` with one map for each row of points; the
            result is relative to the content's centre, in its library and on its device.
        lens: For the radial distortion.
        height: Sensor rows.
        width: Sensor columns.
        oversampling: Points s per sensor pixel and axis.
    """
    xp = array_namespace(to_screen)
    x = centres(width, like=to_screen, oversampling=oversampling)[None, :]
    y = centres(height, like=to_screen, oversampling=oversampling)[:, None]
    if lens.k1:
        cx, cy = lens.centre
        radius = ((x - cx) ** 2 + (y - cy) ** 2) * (lens.k1 / lens.field**2)
        x, y = x + (x - cx) * radius, y + (y - cy) * radius
    # (3, 3, 1), or (3, 3, rows, 1) to go with the rows of x and y.
    h = xp.moveaxis(xp.astype(to_screen, xp.float32), (-2, -1), (0, 1))[..., None]
    scale = 1 / (h[2, 0] * x + h[2, 1] * y + h[2, 2])
    return (h[0, 0] * x + h[0, 1] * y + h[0, 2]) * scale, (
        h[1, 0] * x + h[1, 1] * y + h[1, 2]
    ) * scale


def expose(light: Array, lens: Lens, *, oversampling: int) -> Array:
    """Blur, average over each sensor pixel, shade: (h s, w s, 3) to (h, w, 3) float32.

    Args:
        light: Light at the sample points, float32.
        lens: Point spread, chromatic shift and vignette.
        oversampling: Points per sensor pixel and axis.
    """
    height, width = light.shape[0] // oversampling, light.shape[1] // oversampling
    blurred = primitives.blur(light, lens.sigma * oversampling)
    sensor = primitives.resize(blurred, height=height, width=width, method="area")
    sx, sy = lens.chromatic
    if sx or sy:
        # Sub-pixel shifts after the average: below the aperture's resolution, and far cheaper than
        # moving the samples.
        for channel, sign in ((0, 1.0), (2, -1.0)):
            sensor[..., channel] = primitives.shift(sensor[..., channel], sign * sx, sign * sy)
    if lens.vignette:
        sensor *= vignette(lens, like=sensor)[..., None]
    return sensor


def vignette(lens: Lens, *, like: Array) -> Array:
    """Return the lens's relative light, float32 in (0, 1], (H, W) as the picture `like` has."""
    height, width = like.shape[:2]
    cx, cy = lens.centre
    x = centres(width, like=like)[None, :] - cx
    y = centres(height, like=like)[:, None] - cy
    squared = array_namespace(like).clip(x**2 + y**2, max=lens.field**2)
    light: Array = 1 - (lens.vignette / lens.field**2) * squared
    return light
