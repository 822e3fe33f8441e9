"""Hand-written sources, sinks and stages: small enough to see what they do."""

import os
import signal
import threading
from dataclasses import replace
from fractions import Fraction

import numpy as np

from engines.engine import PictureFormat
from pipeline.frame import Frame
from pipeline.media import SourceInfo
from pipeline.runner import carry_over

SMALL = PictureFormat(layout="420", bits=8, width=6, height=4)
TIME_BASE = Fraction(1, 30)


class InjectedError(Exception):
    """The error a test throws in."""


def make_frame(pts=0, *, picture_format=SMALL, pixel_format="yuv420p", **fields):
    """A frame whose samples all tell its pts."""
    planes = tuple(
        np.full(shape, pts % (picture_format.peak + 1), picture_format.dtype)
        for shape in picture_format.plane_shapes
    )
    return Frame(
        planes=planes,
        format=picture_format,
        pixel_format=pixel_format,
        pts=pts,
        time_base=fields.pop("time_base", TIME_BASE),
        **fields,
    )


def make_clip(count, **fields):
    return [make_frame(pts, discontinuity=pts == 0, **fields) for pts in range(count)]


def source_info(**changes):
    return replace(
        SourceInfo(url="a list", width=6, height=4, pixel_format="yuv420p", time_base=TIME_BASE),
        **changes,
    )


class ListSource:
    """Frames from a list; `at[n]` is called just before frame n (or, at its length, the end)."""

    def __init__(self, frames, *, tail=(), at=None, close_error=None):
        self.info = source_info(frame_count=len(frames))
        self.given = list(frames)
        self.closed = 0
        self.left = 0
        self._tail = tail
        self._at = at or {}
        self._close_error = close_error

    def frames(self):
        try:
            for number, frame in enumerate(self.given):
                self._at.get(number, nothing)()
                yield frame
            self._at.get(len(self.given), nothing)()
        finally:
            self.left += 1

    def tail(self):
        assert self.left == 1, "asked for the tail before the end"
        return self._tail

    def close(self):
        self.closed += 1
        if self._close_error is not None:
            raise self._close_error


class ListSink:
    """Keeps what it is given; `at[n]` is called before frame n is taken."""

    def __init__(self, *, at=None, finish_error=None, abort_error=None):
        self.frames = []
        self.tail = None
        self.aborted = 0
        self._at = at or {}
        self._finish_error = finish_error
        self._abort_error = abort_error

    @property
    def finished(self):
        return self.tail is not None

    def write(self, frame):
        assert threading.current_thread() is threading.main_thread()
        self._at.get(len(self.frames), nothing)()
        self.frames.append(frame)

    def finish(self, tail):
        if self._finish_error is not None:
            raise self._finish_error
        self.tail = tail

    def abort(self):
        self.aborted += 1
        if self._abort_error is not None:
            raise self._abort_error


def nothing():
    pass


def throw(error):
    def action():
        raise error

    return action


def interrupt():
    """Press Ctrl-C: the process gets SIGINT, and Linux hands that to the main thread."""
    os.kill(os.getpid(), signal.SIGINT)


def unchanged(frames):
    yield from frames


def in_pairs(frames):
    """Works on two at a time; the last, unpaired frame too."""
    held = []
    for frame in frames:
        held.append(frame)
        if len(held) == 2:
            yield from held
            held = []
    yield from held


def delayed(frames):
    """Three frames late, with a flush at the end."""
    held = []
    for frame in frames:
        held.append(frame)
        if len(held) > 3:
            yield held.pop(0)
    yield from held


def every_second(frames):
    """Drops each other frame, but not its packets."""
    dropped = None
    for frame in frames:
        if dropped is None:
            dropped = frame
        else:
            yield carry_over(dropped, frame)
            dropped = None


def doubled(frames):
    for frame in frames:
        yield frame
        yield replace(frame, packets=())


def first_three(frames):
    """A consumer that leaves early."""
    for number, frame in enumerate(frames):
        if number == 3:
            return
        yield frame


def nobody(frames):
    """Leaves before its first frame."""
    return iter(())


STAGES = {
    stage.__name__: stage
    for stage in (unchanged, in_pairs, delayed, every_second, doubled, first_three, nobody)
}


def acting(at, stage=unchanged):
    """A stage that calls `at[n]` before it takes on frame n, and `at["end"]` before its flush."""

    def watched(frames):
        for number, frame in enumerate(frames):
            at.get(number, nothing)()
            yield frame
        at.get("end", nothing)()

    def composed(frames):
        yield from stage(watched(frames))

    return composed
