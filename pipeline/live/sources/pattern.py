"""`test://`: a simulated camera before a simulated screen, cheap enough to run beside the rest.

What the screen shows, and the fringes between its grid and the sensor's, are rendered once. A
picture is then the screen, moved by as much as the hand moved, times the fringes at the phase that
this movement gives them: a screen pixel, two sensor pixels here, is a whole cycle.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.frame import ColourTags, Frame
from pipeline.live.access import CLOCK
from pipeline.live.sources.contract import LiveOptions
from pipeline.live.sources.query import Query, Size, parameters
from pipeline.live.sources.stamp import SIZE as STAMP_SIZE
from pipeline.live.sources.stamp import Stamp, write_stamp
from pipeline.media import SourceInfo, picture_format

if TYPE_CHECKING:
    from engines.engine import Planes
    from pipeline.live.sources.filmed import FilmedScreen

_CATCH_UP_S = 0.5
"""Pictures that nobody took for so long are lost, as in a camera."""
# OpenCV's conversion: BT.601 and limited range.
_COLOUR = ColourTags(space=6, primaries=1, transfer=6, range=1)


class PatternQuery(Query):
    """Parameters of `test://?size=1280x720&rate=30&...`."""

    size: Size = (1280, 720)
    """Width and height, even."""
    rate: Annotated[Fraction, Field(gt=0, le=1000)] = Fraction(30)
    """Pictures a second: `30`, `29.97`, `30000/1001`."""
    seed: Annotated[int, Field(ge=0)] = 1
    motion: Literal["hand", "tripod"] = "hand"
    count: Annotated[int, Field(ge=1)] | None = None
    """Pictures until the end; None for no end."""
    stamp: bool = False
    """Number and moment are written into the top left corner, see `stamp`."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.stamp and (self.size[0] < STAMP_SIZE[0] or self.size[1] < STAMP_SIZE[1]):
            raise ValueError(f"a stamp needs a size of at least {STAMP_SIZE[0]}x{STAMP_SIZE[1]}")
        return self


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of the simulated camera."""

    number: int
    """Counts on through pictures that are lost."""
    arrival_s: float
    planes: Planes
    """Y, U and V, 8-bit 4:2:0, fresh."""


def open_pattern(
    spec: str, options: LiveOptions, stop: threading.Event, since_s: float
) -> PatternSource:
    """Open `test://`."""
    return PatternSource(spec, parameters(spec, PatternQuery), stop)


class PatternCamera:
    """Takes the pictures of a simulated screen, when they are due.

    Args:
        query: What to film.
        stop: Ends the wait for the next picture.
    """

    def __init__(self, query: PatternQuery, stop: threading.Event) -> None:
        self._query, self._stop = query, stop
        self._screen = _render(query)

    def shots(self) -> Iterator[Shot]:
        """Yield pictures at the rate, until stopped or `count` are taken."""
        rate, began_s = float(self._query.rate), perf_counter()
        number = 0
        while self._query.count is None or number < self._query.count:
            wait_s = began_s + number / rate - perf_counter()
            if self._stop.wait(max(0.0, wait_s)):
                return
            arrival_s = perf_counter()
            yield Shot(number, arrival_s, self._screen.picture(number, number / rate))
            number += 1
            late_s = perf_counter() - began_s - number / rate
            if late_s > _CATCH_UP_S and self._query.count is None:
                number += int(late_s * rate)


def _render(query: PatternQuery) -> FilmedScreen:
    from pipeline.live.sources.filmed import FilmedScreen

    width, height = query.size
    return FilmedScreen(width=width, height=height, seed=query.seed, motion=query.motion)


class PatternSource:
    """A simulated camera as a live source."""

    damaged = derived = 0

    def __init__(self, spec: str, query: PatternQuery, stop: threading.Event) -> None:
        self.info = pattern_info(spec, query)
        self.final = query.count is not None
        self._query = query
        self._camera = PatternCamera(query, stop)

    def frames(self) -> Iterator[Frame]:
        """Yield pictures when they are due."""
        to_frame = framing(self._query.rate)
        for shot in self._camera.shots():
            if self._query.stamp:
                stamp(shot)
            yield to_frame(shot)

    def close(self) -> None:
        """Nothing is held."""


def stamp(shot: Shot) -> None:
    """Write number and moment into a picture that has room for them."""
    height, width = shot.planes[0].shape
    if width >= STAMP_SIZE[0] and height >= STAMP_SIZE[1]:
        write_stamp(shot.planes, Stamp(shot.number, round(shot.arrival_s * 1e6)))


def pattern_info(spec: str, query: PatternQuery) -> SourceInfo:
    """Return what a simulated camera announces."""
    width, height = query.size
    return SourceInfo(
        url=spec,
        width=width,
        height=height,
        pixel_format="yuv420p",
        time_base=CLOCK,
        frame_rate=query.rate,
        frame_count=query.count,
        duration_s=None if query.count is None else float(query.count / query.rate),
        colour=_COLOUR,
        codec="rawvideo",
    )


def framing(rate: Fraction) -> Callable[[Shot], Frame]:
    """Return the function that makes a frame of each shot in turn."""
    step = 1 / (rate * CLOCK)
    sizes: list[tuple[int, ...]] = [()]

    def to_frame(shot: Shot) -> Frame:
        height, width = shot.planes[0].shape
        changed = sizes[0] != (height, width)
        sizes[0] = (height, width)
        return Frame(
            planes=shot.planes,
            format=picture_format("yuv420p", width, height),
            pixel_format="yuv420p",
            pts=round(shot.number * step),
            time_base=CLOCK,
            duration=round(step),
            colour=_COLOUR,
            discontinuity=changed,
            left_source_s=shot.arrival_s,
        )

    return to_frame
