"""Whole RGB clips through a back end, as videos go: 8-bit 4:2:0, one session a clip, in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import av
import numpy as np

from engines import rgb
from engines.backends import create_engine
from engines.engine import Engine, Moment, PictureFormat, Planes, Smoothing
from engines.evaluate.cases import ClipCase
from engines.rgb import Picture

MODEL = "model"
"""The method that cleans frame by frame."""
SMOOTHED = "smoothed"
"""The same, each frame blended with those before it."""


class ClipCleaner:
    """Calls an engine on clips; holds nothing in between.

    The network runs once a frame: what it gives is judged as it is, and goes through the engine
    `identity`, which then does nothing but smooth.

    Args:
        engine: Stays open, it belongs to the caller.
        smoothing: Time constants; `SMOOTHED` is left out without.
    """

    def __init__(self, engine: Engine, smoothing: Smoothing | None = None) -> None:
        self._engine = engine
        self._smoothing = smoothing

    def __call__(self, case: ClipCase) -> dict[str, Picture]:
        """Return a clip's frames by method, (T, H, W, 3) uint8 RGB each.

        The conversion to 4:2:0 and back is in them: half a level, and colour at half its
        resolution.

        Raises:
            EngineError: The back end failed.
        """
        height, width = case.clip.shape[1:3]
        layout = PictureFormat("420", 8, width, height)
        with closing(self._engine.open(layout)) as session:
            cleaned = (session.submit([to_planes(frame)]).result()[0] for frame in case.clip)
            if self._smoothing is None:
                return {MODEL: np.stack([to_rgb(planes) for planes in cleaned])}
            moments = (
                Moment(number / case.frame_rate, reset=number == 0)
                for number in range(len(case.clip))
            )
            pairs = list(_smoothed(cleaned, moments, layout, smoothing=self._smoothing))
        model, smoothed = (np.stack(frames) for frames in zip(*pairs, strict=True))
        return {MODEL: model, SMOOTHED: smoothed}


def _smoothed(
    frames: Iterator[Planes],
    moments: Iterator[Moment],
    layout: PictureFormat,
    *,
    smoothing: Smoothing,
) -> Iterator[tuple[Picture, Picture]]:
    """Yield each frame as it came and smoothed, RGB."""
    with (
        closing(create_engine("identity")) as engine,
        closing(engine.open(layout, smoothing=smoothing)) as session,
    ):
        for planes, moment in zip(frames, moments, strict=True):
            before = to_rgb(planes)
            (smooth,) = session.submit([planes], moments=[moment]).result()
            yield before, to_rgb(smooth)


def to_planes(picture: Picture) -> Planes:
    """Return a picture, (H, W, 3) uint8 RGB, as 4:2:0 in limited range; odd sides round up."""
    return tuple(plane.copy() for plane in _views(rgb.to_yuv420(picture, bt709=True)))


def to_rgb(planes: Planes) -> Picture:
    """Return planes as `to_planes` gives them as a picture, (H, W, 3) uint8 RGB."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, target in zip(planes, _views(frame), strict=True):
        target[:] = plane
    return rgb.to_rgb(frame, bt709=True)


def _views(frame: av.VideoFrame) -> list[Picture]:
    """Return a frame's planes, (H, W) each, in its own memory."""
    views = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        views.append(rows[:, : plane.width])
    return views
