"""A filmed screen of which everything dear is rendered once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.simulate import optics
from engines.simulate.beat import Beat, add_beat
from engines.simulate.clip import Hand, Trajectory
from engines.simulate.conditions import Conditions
from engines.simulate.content import draw_content
from engines.simulate.film import content_size
from engines.simulate.optics import Lens, Pose

if TYPE_CHECKING:
    from engines.engine import Planes

Picture = NDArray[np.uint8]

# Two sensor pixels a screen pixel, but for three per cent: there the fringes are widest.
_RATIO = 2.06
_BEAT = Beat(across=(0.22, 0.15, 0.21), down=(0.07, 0.06, 0.07), shortest_px=8.0)
_KINDS = ("windows", "web", "dashboard", "document", "slide", "code")
_MARGIN = 24
"""Sensor pixels around the picture that a hand may bring into view."""
_LEVEL = 128
"""Of a gain of one."""
_LENS_SIGMA = 0.7
_NOISE = 1.6
_NOISE_ROOM = 64
_NOISE_MEAN = 8
_HANDS = {
    "hand": Hand(tremor_px=1.2, drift_px_s=0.0, sway_deg=0.0),
    "tripod": Hand(tremor_px=0.04, drift_px_s=0.0, sway_deg=0.0),
}
_SWAY_PX = {"hand": 7.0, "tripod": 0.0}
_SWAY_HZ = np.array([0.11, 0.07])


class FilmedScreen:
    """Pictures of one screen by a hand-held camera or one on a tripod.

    Args:
        width: Of the pictures, even.
        height: Of the pictures, even.
        seed: Of what is shown, how it is filmed and how the hand trembles.
        motion: `hand` or `tripod`.
    """

    def __init__(
        self, *, width: int, height: int, seed: int, motion: Literal["hand", "tripod"]
    ) -> None:
        rng = np.random.default_rng(seed)
        self._width, self._height = width, height
        conditions = _conditions(rng, width, height)
        self._conditions = replace(conditions, pose=replace(conditions.pose, shift_x=0, shift_y=0))
        self._scene = _scene(rng, self._conditions, width=width, height=height)
        self._across, self._down = _fringes(self._conditions, width=width, height=height)
        self._noise = _noise(rng, width=width, height=height)
        self._trajectory = Trajectory(_HANDS[motion], rng, ratio=_RATIO)
        self._sway_px = _SWAY_PX[motion]
        self._sway_phase = rng.uniform(0, 2 * np.pi, 2)
        self._seed = seed

    def picture(self, number: int, time_s: float) -> Planes:
        """Return a picture as fresh Y, U and V planes, 8-bit 4:2:0, BT.601, limited range.

        Args:
            number: Of the picture, for its noise.
            time_s: When it is taken, for the hand.
        """
        x, y = self.shift(time_s)  # screen pixels
        seen = _moved(self._scene, x * _RATIO, y * _RATIO, width=self._width, height=self._height)
        for fringes, cycles in ((self._across, x), (self._down, y)):
            cv2.multiply(seen, _at_phase(fringes, cycles), dst=seen, scale=1 / _LEVEL)
        left, top = np.random.default_rng([self._seed, number]).integers(0, _NOISE_ROOM, 2)
        noise = self._noise[top : top + self._height, left : left + self._width]
        cv2.addWeighted(seen, 1, noise, 1, -_NOISE_MEAN, dst=seen)
        packed = np.asarray(cv2.cvtColor(seen, cv2.COLOR_RGB2YUV_I420), np.uint8)
        return _planes(packed, self._width, self._height)

    def shift(self, time_s: float) -> tuple[float, float]:
        """Return where the camera looks, in screen pixels from where it looked at rest."""
        pose = self._trajectory.at(self._conditions, time_s).pose
        sway = np.sin(2 * np.pi * _SWAY_HZ * time_s + self._sway_phase) * self._sway_px / _RATIO
        return pose.shift_x + float(sway[0]), pose.shift_y + float(sway[1])


def _conditions(rng: np.random.Generator, width: int, height: int) -> Conditions:
    tilt = rng.uniform(2, 5, 2) * rng.choice([-1, 1], 2)
    pose = Pose(
        ratio=_RATIO,
        roll_deg=float(rng.uniform(0.5, 1.5) * rng.choice([-1, 1])),
        tilt_x_deg=float(tilt[0]),
        tilt_y_deg=float(tilt[1]),
    )
    field = float(np.hypot(width, height) / 2)
    # The same perspective and bend at every size of the picture.
    return Conditions(pose=pose, focal=3 * field, lens=Lens(k1=0.012, field=field))


def _scene(rng: np.random.Generator, conditions: Conditions, *, width: int, height: int) -> Picture:
    """Return what a lens makes of the screen, without fringes, with a margin on all sides."""
    wide, tall = width + 2 * _MARGIN, height + 2 * _MARGIN
    rows, columns = content_size(conditions, height=tall, width=wide)
    content = draw_content(
        rng, max(96, rows), max(96, columns), kind=_KINDS[rng.integers(len(_KINDS))]
    )
    to_screen = optics.homography(conditions.pose, focal=conditions.focal)
    x, y = optics.screen_points(to_screen, conditions.lens, height=tall, width=wide, oversampling=1)
    x, y = x + content.shape[1] / 2 - 0.5, y + content.shape[0] / 2 - 0.5
    seen = cv2.remap(
        content,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    blurred = cv2.GaussianBlur(seen, (0, 0), _LENS_SIGMA)
    # A screen's black is not dark, and its white is metered below clipping.
    return np.asarray(cv2.convertScaleAbs(blurred, alpha=0.84, beta=10), np.uint8)


def _fringes(
    conditions: Conditions, *, width: int, height: int
) -> tuple[tuple[Picture, Picture], tuple[Picture, Picture]]:
    """Return gains of the fringes along rows and along columns, each at two phases.

    A quarter of a cycle lies between the two; any other phase is a mixture of them.
    """
    flat = np.full((height, width, 3), _LEVEL, np.uint8)
    none = (0.0, 0.0, 0.0)

    def at(x: float, y: float, beat: Beat) -> Picture:
        pose = replace(conditions.pose, shift_x=x, shift_y=y)
        gain: Picture = add_beat(flat, replace(conditions, pose=pose), beat)
        return gain

    across, down = replace(_BEAT, down=none), replace(_BEAT, across=none)
    return (
        (at(0, 0, across), at(0.25, 0, across)),
        (at(0, 0, down), at(0, 0.25, down)),
    )


def _at_phase(fringes: tuple[Picture, Picture], cycles: float) -> Picture:
    """Return the gains of fringes that are moved by so many cycles."""
    cosine, sine = np.cos(2 * np.pi * cycles), np.sin(2 * np.pi * cycles)
    rest = _LEVEL * (1 - cosine - sine)
    return np.asarray(cv2.addWeighted(fringes[0], cosine, fringes[1], sine, rest), np.uint8)


def _noise(rng: np.random.Generator, *, width: int, height: int) -> Picture:
    shape = (height + _NOISE_ROOM, width + _NOISE_ROOM, 3)
    noise = rng.standard_normal(shape, np.float32) * _NOISE + _NOISE_MEAN + 0.5
    return np.asarray(np.clip(noise, 0, 2 * _NOISE_MEAN), np.uint8)


def _moved(scene: Picture, x: float, y: float, *, width: int, height: int) -> Picture:
    """Return the scene seen from x and y further on, in pixels; bilinear between pixels."""
    column, across = _whole_and_part(x)
    row, down = _whole_and_part(y)
    tall = scene[row : row + height + 1]
    left, right = tall[:, column : column + width], tall[:, column + 1 : column + 1 + width]
    rows = cv2.addWeighted(left, 1 - across, right, across, 0)
    return np.asarray(cv2.addWeighted(rows[:-1], 1 - down, rows[1:], down, 0), np.uint8)


def _whole_and_part(shift: float) -> tuple[int, float]:
    place = min(max(_MARGIN + shift, 0.0), 2 * _MARGIN - 1.0)
    return int(place), place - int(place)


def _planes(packed: Picture, width: int, height: int) -> Planes:
    """Return views of OpenCV's I420, which puts the planes one after the other."""
    samples = packed.reshape(-1)
    luma, chroma = width * height, width * height // 4
    return (
        samples[:luma].reshape(height, width),
        samples[luma : luma + chroma].reshape(height // 2, width // 2),
        samples[luma + chroma :].reshape(height // 2, width // 2),
    )
