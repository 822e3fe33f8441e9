"""What a clip's past is worth to each next picture: where it went, and how much of it to keep."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engines.engine import Moment, PictureFormat, Smoothing
from engines.smooth.motion import (
    Homography,
    MotionEstimator,
    Thumbnail,
    mapped,
)

_STILL_PX = 0.2
"""The past stays where it is while no corner is further away: a tripod needs no warp, and each warp
blurs a little."""
_MOVED_SHARE = 0.25
"""Least share of a picture before which the past was moved. Bilinear moves blur: a past of eight
pictures would take a sixth of a wave of twelve samples; one of four, a twelfth."""
_ANCHOR_S = 0.5
"""A still picture is compared with one that old at most: on the screen, something plays."""
_GAP_S = 1.0
"""After a gap this long, or a jump back, nothing is known of the past."""


@dataclass(frozen=True)
class Leg:
    """From one picture to the next."""

    luma: float = 1.0
    """Least share of the present picture in the result's luma, 0..1."""
    chroma: float = 1.0
    """The same of chroma."""
    elapsed_s: float = 0.0
    """Seconds since the picture before; 0 where a scene begins, and nothing of the past is kept."""
    homography: Homography | None = None
    """From a pixel of the present to that of the past; None where the past lies in place."""

    @property
    def fresh(self) -> bool:
        """A scene begins."""
        return self.elapsed_s == 0


class Course:
    """Follows one clip's pictures, all of one size.

    Args:
        smoothing: Time constants.
        picture_format: Of the pictures.
    """

    def __init__(self, smoothing: Smoothing, picture_format: PictureFormat) -> None:
        self._taus_s = smoothing.luma_s, smoothing.chroma_s
        width, height = picture_format.width, picture_format.height
        self._estimator = MotionEstimator(width=width, height=height)
        right, low = width - 1, height - 1
        self._corners = np.array([(0, 0), (right, 0), (0, low), (right, low)], np.float32)
        self._time_s = -math.inf
        self._anchored_s = -math.inf
        self._seen = 0

    def next(self, thumbnail: Thumbnail, moment: Moment) -> Leg:
        """Return what to do with the past at a picture.

        Args:
            thumbnail: The cleaned picture's luma at half its size, (H / 2, W / 2) uint8.
            moment: When it is shown.
        """
        elapsed_s = moment.time_s - self._time_s
        self._time_s = moment.time_s
        motion = self._estimator.follow(thumbnail)
        if moment.reset or motion.cut or not 0 < elapsed_s <= _GAP_S:
            self._anchor()
            self._seen = 1
            return Leg()
        self._seen += 1
        shift = np.abs(mapped(motion.homography, self._corners) - self._corners).mean()
        moved = shift > _STILL_PX
        # The first pictures are averaged: the result is as steady as it gets from the start.
        least = max(1 / self._seen, _MOVED_SHARE if moved else 0)
        luma, chroma = (max(least, 1 - math.exp(-elapsed_s / tau_s)) for tau_s in self._taus_s)
        if moved:
            self._estimator.mark()  # where the past lies from now on
            self._anchored_s = self._time_s
        elif moment.time_s - self._anchored_s > _ANCHOR_S:
            self._anchor()
        return Leg(luma, chroma, elapsed_s, motion.homography if moved else None)

    def _anchor(self) -> None:
        self._estimator.anchor()
        self._anchored_s = self._time_s
