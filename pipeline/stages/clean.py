"""The stage that removes moiré: frames through an engine, several in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.frame import Frame

if TYPE_CHECKING:
    from engines.engine import Engine, Request, Session
    from pipeline.runner import Stage


def clean(engine: Engine, *, strength: float, keep_before: bool = False) -> Stage:
    """Return a stage that cleans every frame with `engine`, keeping the order.

    It holds back fewer frames than the session's depth: while the engine computes the last one
    submitted, the next is fetched and copied in. A frame of another format waits for all before
    it and gets a session of its own. The engine stays open: it belongs to the caller.

    Args:
        engine: Where the frames are computed.
        strength: Share of the predicted residual to subtract, 0 (bit-exact input) to 1.
        keep_before: Keep the input's planes in `Frame.before`.
    """

    def stage(frames: Iterator[Frame]) -> Iterator[Frame]:
        lane: _Lane | None = None
        try:
            for frame in frames:
                if lane is None or lane.session.format != frame.format:
                    if lane is not None:
                        yield from lane.drain()
                        lane.session.close()
                    lane = _Lane(engine.open(frame.format), strength, keep_before=keep_before)
                yield from lane.push(frame)
            if lane is not None:
                yield from lane.drain()
        finally:
            if lane is not None:
                lane.session.close()

    return stage


class _Lane:
    """Frames of one format between a session's two ends."""

    def __init__(self, session: Session, strength: float, *, keep_before: bool) -> None:
        self.session = session
        self._keep_before = keep_before
        self._strength = strength
        self._waiting: list[Frame] = []  # Fewer than a batch.
        self._in_flight: deque[tuple[list[Frame], Request]] = deque()

    def push(self, frame: Frame) -> Iterator[Frame]:
        """Take a frame; yield those that are done because its request needs their place."""
        self._waiting.append(frame)
        if len(self._waiting) == self.session.batch:
            self._submit()
            while len(self._in_flight) >= self.session.depth:
                yield from self._oldest()

    def drain(self) -> Iterator[Frame]:
        """Yield all that is left, a short batch too."""
        if self._waiting:
            self._submit()
        while self._in_flight:
            yield from self._oldest()

    def _submit(self) -> None:
        pictures = [frame.planes for frame in self._waiting]
        request = self.session.submit(pictures, strength=self._strength)
        self._in_flight.append((self._waiting, request))
        self._waiting = []

    def _oldest(self) -> Iterator[Frame]:
        frames, request = self._in_flight.popleft()
        for frame, planes in zip(frames, request.result(), strict=True):
            before = frame.planes if self._keep_before else frame.before
            yield replace(frame, planes=planes, before=before)
