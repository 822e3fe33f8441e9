"""`chaos://`: the simulated camera of `test://` with everything that goes wrong with real ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Self

import cv2
import numpy as np
from pydantic import Field, model_validator

from pipeline.errors import SourceError
from pipeline.frame import Frame
from pipeline.live.access import CLOCK
from pipeline.live.sources.contract import LiveOptions
from pipeline.live.sources.faults import Jump, Lasting, Resized, Resizing, Timed
from pipeline.live.sources.lossy import LossyLink
from pipeline.live.sources.pattern import (
    PatternCamera,
    PatternQuery,
    Shot,
    framing,
    pattern_info,
    stamp,
)
from pipeline.live.sources.query import parameters

if TYPE_CHECKING:
    from engines.engine import Plane, Planes

_BLACK = (16, 128, 128)
_MIX = {
    "stall": Timed(1.5, 20),
    "loss": 0.5,
    "jump": Timed(-3600, 25),
    "resize": Resized((640, 360), 30),
    "black": Timed(1, 35),
    "end": 60.0,
}
"""What `chaos://` does without being told: a mild mix of all, but for being absent."""


class ChaosQuery(PatternQuery):
    """Parameters of `chaos://?stall=2@20&...`, and all of `test://`.

    Times count from when the source was first wanted, through all its connections.
    """

    stall: Lasting | None = None
    """`SECONDS@EVERY`: connected, but no pictures."""
    loss: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Percent of the packets of an H.264 stream that are lost."""
    jump: Jump | None = None
    """`SECONDS@EVERY`: timestamps jump by so much, back where negative."""
    resize: Resizing | None = None
    """`WIDTHxHEIGHT@EVERY`: to this size, and back, and so on."""
    black: Lasting | None = None
    """`SECONDS@EVERY`: black pictures."""
    end: Annotated[float, Field(gt=0)] | None = None
    """Seconds after which a connection is closed."""
    absent: Annotated[float, Field(ge=0)] = 0.0
    """Seconds during which there is nobody to connect to."""

    @model_validator(mode="after")
    def _mixed(self) -> Self:
        faults = {*_MIX, "absent"}
        return self.model_copy(update=_MIX) if not faults & self.model_fields_set else self


def open_chaos(
    spec: str, options: LiveOptions, stop: threading.Event, since_s: float
) -> ChaosSource:
    """Open `chaos://`.

    Raises:
        SourceError: It is absent, for now.
    """
    query = parameters(spec, ChaosQuery)
    if (present_s := perf_counter() - since_s) < query.absent:
        raise SourceError(f"{spec}: absent for another {query.absent - present_s:.1f} s")
    return ChaosSource(spec, query, options, stop, since_s)


class ChaosSource:
    """A simulated camera with faults as a live source.

    Args:
        spec: For messages.
        query: What goes wrong, and when.
        options: `stall_s` counts.
        stop: Ends reading.
        since_s: What the times of faults count from.
    """

    derived = 0

    def __init__(
        self,
        spec: str,
        query: ChaosQuery,
        options: LiveOptions,
        stop: threading.Event,
        since_s: float,
    ) -> None:
        self.info = pattern_info(spec, query)
        self.final = query.count is not None
        self._spec, self._query, self._options = spec, query, options
        self._stop, self._since_s = stop, since_s
        self._camera = PatternCamera(query, stop)
        self._rng = np.random.default_rng(query.seed)
        self._link: LossyLink | None = None
        self._size = query.size
        self._damaged = 0

    @property
    def faults(self) -> set[str]:
        """Names of the parameters that make something go wrong."""
        return {name for name in (*_MIX, "absent") if getattr(self._query, name)}

    @property
    def damaged(self) -> int:
        """Pictures so far that were lost, or damaged by a loss."""
        return self._damaged + (self._link.damaged if self._link else 0)

    def frames(self) -> Iterator[Frame]:
        """Yield pictures when they are due, as faults leave them.

        Raises:
            SourceError: The camera stalls for longer than `stall_s`.
        """
        began_s, query = perf_counter(), self._query
        to_frame = framing(query.rate)
        for shot in self._camera.shots():
            if query.end is not None and shot.arrival_s - began_s >= query.end:
                return
            time_s = shot.arrival_s - self._since_s
            if query.stall is not None and query.stall.active(time_s):
                self._endure(query.stall.remaining_s(time_s))
                continue
            seen = replace(shot, planes=self._filmed(shot, time_s))
            if query.stamp:
                stamp(seen)
            for planes in self._transmitted(seen.planes):
                yield self._late(to_frame(replace(seen, planes=planes)), time_s)

    def close(self) -> None:
        """Nothing is held but memory."""
        self._damaged, self._link = self.damaged, None

    def _endure(self, remaining_s: float) -> None:
        """Wait as long as the camera is frozen, or until a reader would give up."""
        if self._stop.wait(min(remaining_s, self._options.stall_s)):
            return
        if remaining_s > self._options.stall_s:
            raise SourceError(f"{self._spec}: no picture for {self._options.stall_s:.1f} s")

    def _filmed(self, shot: Shot, time_s: float) -> Planes:
        planes, query = shot.planes, self._query
        if query.black is not None and query.black.active(time_s):
            for plane, level in zip(planes, _BLACK, strict=True):
                plane.fill(level)
        if query.resize is not None and query.resize.active(time_s):
            planes = _resized(planes, query.resize.size)
        return planes

    def _transmitted(self, planes: Planes) -> Iterator[Planes]:
        if not self._query.loss:
            yield planes
            return
        height, width = planes[0].shape
        if self._link is None or self._size != (width, height):
            self._damaged, self._size = self.damaged, (width, height)
            self._link = LossyLink(
                width=width,
                height=height,
                rate=self._query.rate,
                loss=self._query.loss / 100,
                rng=self._rng,
            )
        yield from self._link.send(planes)

    def _late(self, frame: Frame, time_s: float) -> Frame:
        """Return the frame with its timestamp as the faulty camera writes it."""
        jump = self._query.jump
        if jump is None:
            return frame
        ticks = round(jump.amount_s * jump.times(time_s) / CLOCK)
        return replace(frame, pts=frame.pts + ticks)


def _resized(planes: Planes, size: tuple[int, int]) -> Planes:
    width, height = size
    sizes = ((width, height), (width // 2, height // 2), (width // 2, height // 2))

    def one(plane: Plane, wanted: tuple[int, int]) -> Plane:
        return np.asarray(cv2.resize(plane, wanted, interpolation=cv2.INTER_AREA), np.uint8)

    return tuple(one(plane, wanted) for plane, wanted in zip(planes, sizes, strict=True))
