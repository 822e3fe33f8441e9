"""The stage that removes moiré and steadies what is left: frames through an engine."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from engines.engine import Moment, TakesDevicePictures
from pipeline.frame import Frame

if TYPE_CHECKING:
    from engines.engine import Engine, Flicker, Request, Session, Smoothing
    from pipeline.runner import Stage

log = logging.getLogger(__name__)


def clean(
    engine: Engine,
    *,
    strength: float,
    smoothing: Smoothing | None = None,
    keep_before: bool = False,
    flickers: list[Flicker] | None = None,
) -> Stage:
    """Return a stage that cleans every frame with `engine`, keeping the order.

    It holds back fewer frames than the session's depth: while the engine computes the last one
    submitted, the next is fetched and copied in. A frame of another format waits for all before
    it and gets a session of its own. The engine stays open: it belongs to the caller.

    A frame on a device is taken from there by a session that can, unless its planes are kept, and
    copied to the host otherwise; what comes out is on the host always.

    Args:
        engine: Where the frames are computed.
        strength: Share of the predicted residual to subtract, 0 (bit-exact input) to 1.
        smoothing: Blend each frame with those before it; begins anew at a discontinuity.
        keep_before: Keep the input's planes in `Frame.before`.
        flickers: What smoothing did is added, for each session, once it ends.
    """

    def begin(frame: Frame) -> _Lane:
        session = engine.open(frame.format, smoothing=smoothing)
        return _Lane(session, strength, keep_before=keep_before)

    def end(lane: _Lane) -> None:
        if flickers is not None and lane.session.flicker is not None:
            flickers.append(lane.session.flicker)
        lane.session.close()

    def stage(frames: Iterator[Frame]) -> Iterator[Frame]:
        lane: _Lane | None = None
        try:
            for frame in frames:
                if lane is None or lane.session.format != frame.format:
                    if lane is not None:
                        yield from lane.drain()
                        end(lane)
                    lane = begin(frame)
                yield from lane.push(frame)
            if lane is not None:
                yield from lane.drain()
        finally:
            if lane is not None:
                end(lane)

    return stage


class _Lane:
    """Frames of one format between a session's two ends."""

    def __init__(self, session: Session, strength: float, *, keep_before: bool) -> None:
        self.session = session
        self._keep_before = keep_before
        self._strength = strength
        # What is shown beside the cleaned picture must be on the host.
        self._from_device = (
            session if isinstance(session, TakesDevicePictures) and not keep_before else None
        )
        self._has_copied = False
        self._waiting: list[Frame] = []  # Fewer than a batch, all on a device or none.
        self._in_flight: deque[tuple[list[Frame], Request]] = deque()

    def push(self, frame: Frame) -> Iterator[Frame]:
        """Take a frame; yield those that are done because its request needs their place."""
        if frame.device is not None and self._from_device is None:
            frame = self._copied(frame)
        if self._waiting and (self._waiting[0].device is None) != (frame.device is None):
            yield from self._submit()
        self._waiting.append(frame)
        if len(self._waiting) == self.session.batch:
            yield from self._submit()

    def drain(self) -> Iterator[Frame]:
        """Yield all that is left, a short batch too."""
        if self._waiting:
            yield from self._submit()
        while self._in_flight:
            yield from self._oldest()

    def _submit(self) -> Iterator[Frame]:
        frames, self._waiting = self._waiting, []
        moments = [Moment(frame.time_s, reset=frame.discontinuity) for frame in frames]
        pictures = [frame.device for frame in frames if frame.device is not None]
        if pictures and self._from_device is not None:
            request = self._from_device.submit_device(
                pictures, strength=self._strength, moments=moments
            )
        else:
            planes = [frame.planes for frame in frames]
            request = self.session.submit(planes, strength=self._strength, moments=moments)
        self._in_flight.append((frames, request))
        while len(self._in_flight) >= self.session.depth:
            yield from self._oldest()

    def _oldest(self) -> Iterator[Frame]:
        frames, request = self._in_flight.popleft()
        for frame, planes in zip(frames, request.result(), strict=True):
            before = frame.planes if self._keep_before else frame.before
            yield replace(frame, planes=planes, device=None, before=before)

    def _copied(self, frame: Frame) -> Frame:
        if not self._has_copied:
            self._has_copied = True
            because = "they are shown, too" if self._keep_before else "the engine takes none there"
            log.info("decoded pictures are copied from the GPU to the host: %s", because)
        return frame.on_host()
