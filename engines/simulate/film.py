"""The whole chain: a screen's picture in, what the camera saw and what it should have seen out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import cv2
import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from engines.simulate import camera, codec, display, optics, primitives, sensor, shutter
from engines.simulate.arrays import Array, Device, move, to_gpu, to_host
from engines.simulate.conditions import Conditions


@dataclass(frozen=True)
class Filmed:
    """A picture and its truth, (H, W, 3) uint8 RGB: same geometry, lens, colours and codec.

    The truth has no grid, no noise and no flicker.

    The codec takes texture from both: what it took is not for the network to bring back.
    """

    picture: NDArray[np.uint8]
    truth: NDArray[np.uint8]


# Of what a still camera sees: room for a hand that moves.
_SPARE = 1.25
_MARGIN = 16

_FIT_CELL = 4
_FIT_INERTIA = 1e-4
_FIT_SHARE = 0.05
"""Of a frame in a clip's fit: it follows within 20 frames."""

_Sums = NDArray[np.floating[Any]]


def content_size(conditions: Conditions, *, height: int, width: int) -> tuple[int, int]:
    """Return (rows, columns) of screen pixels that a picture of this size can see.

    That is everything in view, plus a quarter and 16 pixels for a camera that moves.
    """
    x, y = _points(conditions, (height, width), oversampling=1, like=np.empty(0))
    reach_y, reach_x = float(np.abs(y).max()), float(np.abs(x).max())
    return ceil(2 * _SPARE * reach_y) + _MARGIN, ceil(2 * _SPARE * reach_x) + _MARGIN


def sensor_size(conditions: Conditions, *, height: int, width: int) -> tuple[int, int]:
    """Return the (rows, columns) of sensor pixels of a picture: whole mosaics."""
    shrink = conditions.camera.shrink
    rows, columns = (2 * ceil(side * shrink / 2) for side in (height, width))
    if conditions.sensor.filters == "quad":
        return max(sensor.LEAST_SIDE, rows), max(sensor.LEAST_SIDE, columns)
    return rows, columns


def film(
    content: Array,
    conditions: Conditions,
    rng: np.random.Generator,
    *,
    height: int,
    width: int,
) -> Filmed:
    """Film `content` as shown on a screen.

    Everything up to the codec is computed by the library and on the device of `content`; codecs,
    and what is returned, are NumPy's, on the host.

    Args:
        content: What the screen shows, (rows, columns, 3) uint8 RGB; the camera looks at its
            middle, and sees it mirrored beyond its edges.
        conditions: How it is filmed.
        rng: For noise: a seed makes other noise with torch than with NumPy, of the same kind.
        height: Rows of the picture.
        width: Columns of the picture.
    """
    # Below 1.5 sensor pixels per picture pixel nothing later hides an undersampled light field.
    oversampling = 3 if conditions.camera.shrink < 1.5 else 2
    size = (height, width)
    x, y = _points(conditions, size, oversampling=oversampling, like=content)
    x += content.shape[1] / 2
    y += content.shape[0] / 2
    light = display.linear_light(content, conditions.panel.gamma)
    footprint = 1 / (oversampling * conditions.pose.ratio)
    mask = display.pattern(conditions.panel, footprint=footprint)
    plain = display.emit(light, x, y)
    patterned = display.patterned(plain, x, y, mask)
    picture = _picture(patterned, conditions, rng, oversampling, size)
    truth = _truth(plain, conditions, oversampling, size)
    return Filmed(*(_copy(to_host(side), conditions) for side in (picture, truth)))


def film_on(
    device: Device,
    content: NDArray[np.uint8],
    conditions: Conditions,
    rng: np.random.Generator,
    *,
    height: int,
    width: int,
) -> Filmed:
    """Film content that is on the host with what computes on a device, see `film`."""
    if device == "cpu":
        return film(content, conditions, rng, height=height, width=width)
    return film(to_gpu(content), conditions, rng, height=height, width=width)


def _copy(picture: NDArray[np.uint8], conditions: Conditions) -> NDArray[np.uint8]:
    """Return the picture after every generation of scaling and compression."""
    if conditions.first_compression is not None:
        picture = codec.compress(picture, conditions.first_compression)
    if conditions.rescale > 1:
        picture = codec.rescale(picture, conditions.rescale)
    if conditions.compression is not None:
        picture = codec.compress(picture, conditions.compression)
    return picture


def _points(
    conditions: Conditions, size: tuple[int, int], *, oversampling: int, like: Array
) -> tuple[Array, Array]:
    """Return where each sample of the sensor looks, in screen pixels from the content's centre."""
    rows, columns = sensor_size(conditions, height=size[0], width=size[1])
    if conditions.sweep:
        to_screen = optics.swept_homography(
            conditions.sweep, focal=conditions.focal, rows=rows * oversampling
        )
    else:
        to_screen = optics.homography(conditions.pose, focal=conditions.focal)
    return optics.screen_points(
        move(to_screen, like=like),
        conditions.lens,
        height=rows,
        width=columns,
        oversampling=oversampling,
    )


def _signal(light: Array, conditions: Conditions, oversampling: int) -> Array:
    """Light at the samples to filter signals at each sensor pixel."""
    exposed = optics.expose(light, conditions.lens, oversampling=oversampling)
    mix = sensor.filter_matrix(conditions.sensor) * np.float32(conditions.sensor.exposure)
    return primitives.transform(exposed, mix)


def _develop(
    signal: Array, conditions: Conditions, size: tuple[int, int], method: camera.Shrink
) -> Array:
    xp = array_namespace(signal)
    unmix = np.linalg.inv(sensor.filter_matrix(conditions.sensor))
    coded = camera.develop(signal, conditions.camera, unmix.astype(np.float32))
    small = camera.shrink(coded, height=size[0], width=size[1], method=method)
    developed: Array = xp.astype(xp.clip(small, 0, 1) * 255 + 0.5, xp.uint8)
    return developed


def _picture(
    light: Array,
    conditions: Conditions,
    rng: np.random.Generator,
    oversampling: int,
    size: tuple[int, int],
) -> Array:
    signal = _signal(light, conditions, oversampling)
    if conditions.flicker is not None:
        delays = shutter.row_delays_s(
            conditions.shutter, rows=len(signal), field=conditions.lens.field
        )
        begins = move(conditions.time_s + delays, like=signal)
        gain = shutter.row_gain(conditions.flicker, begins, conditions.shutter.exposure_ms)
        signal *= gain[:, None, None]
    raw = sensor.read_out(signal, conditions.sensor, rng)
    rgb = camera.demosaic(raw, conditions.camera.demosaic)
    return _develop(rgb, conditions, size, conditions.camera.shrink_filter)


def _truth(light: Array, conditions: Conditions, oversampling: int, size: tuple[int, int]) -> Array:
    signal = _signal(light, conditions, oversampling)
    clipped: Array = array_namespace(signal).clip(signal, 0, 1)
    return _develop(clipped, conditions, size, "area")


def match_colours(truth: NDArray[np.uint8], picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `truth` in the picture's mean colours, (H, W, 3) uint8.

    A grid that is resolved darkens a picture: its peaks are clipped, and the mean of a gamma curve
    is below the curve of the mean. That is not for a network to undo that must leave colours alone,
    and nobody could tell it from the picture. Each channel becomes the least-squares fit, over
    means of 4x4 pixels, of all three channels, its own square and a constant.
    """
    return _recoloured(truth, _sums(truth, picture))


def match_clip_colours(clip: Iterable[Filmed]) -> Iterator[Filmed]:
    """Yield a clip's frames with truths in the colours of their pictures, see `match_colours`.

    The fit follows the clip slowly: one made anew for each frame would make the truth flicker.
    """
    sums: _Sums | None = None
    for filmed in clip:
        found = _sums(filmed.truth, filmed.picture)
        sums = found if sums is None else sums + _FIT_SHARE * (found - sums)
        yield Filmed(filmed.picture, _recoloured(filmed.truth, sums))


def _sums(truth: NDArray[np.uint8], picture: NDArray[np.uint8]) -> _Sums:
    """Return each channel's normal equations, (3, 6, 5): matrix, and right side below."""
    height, width = truth.shape[:2]
    size = (max(1, width // _FIT_CELL), max(1, height // _FIT_CELL))
    wanted, given = (
        _units(cv2.resize(p, size, interpolation=cv2.INTER_AREA)) for p in (picture, truth)
    )
    sums = []
    for channel in range(3):
        rows = _features(given, channel)
        error = rows.T @ (wanted[:, channel] - given[:, channel]) / len(rows)
        sums.append(np.vstack([rows.T @ rows / len(rows), error]))
    return np.stack(sums)


def _recoloured(truth: NDArray[np.uint8], sums: _Sums) -> NDArray[np.uint8]:
    """Return `truth` changed by what the normal equations say."""
    full = _units(truth)
    matched = np.empty_like(full)
    for channel in range(3):
        # What flat content leaves undetermined stays as it is: small changes are preferred.
        matrix, error = sums[channel, :-1], sums[channel, -1]
        normal = matrix + _FIT_INERTIA * np.eye(len(matrix))
        change = np.linalg.solve(normal, error).astype(np.float32)
        matched[:, channel] = full[:, channel] + _features(full, channel) @ change
    rounded: NDArray[np.uint8] = np.clip(matched * 255 + 0.5, 0, 255).astype(np.uint8)
    return rounded.reshape(truth.shape)


def _units(rgb: NDArray[Any]) -> NDArray[np.float32]:
    """(H, W, 3) levels to (H W, 3) in 0..1."""
    return rgb.reshape(-1, 3).astype(np.float32) * np.float32(1 / 255)


def _features(rgb: NDArray[np.float32], channel: int) -> NDArray[np.float32]:
    """Return what a channel is fitted from, (N, 5): R, G, B, its own square and 1."""
    return np.column_stack([rgb, rgb[:, channel] ** 2, np.ones(len(rgb), np.float32)])
