"""Frames at the pace of their timestamps, for inputs that could be read faster."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from pipeline.frame import Frame
from pipeline.live.sources.healing import JUMP_S
from pipeline.threads import closing_items

if TYPE_CHECKING:
    from pipeline.live.sources.contract import LiveSource
    from pipeline.media import SourceInfo

_LATE_S = 0.5
"""Pictures that are later than this are shown as they come, and time counts from them anew."""


class Pacer:
    """Says when a picture is due, and waits for it."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._anchor: tuple[float, float] | None = None
        self._last_s = 0.0

    def wait_for(self, time_s: float) -> bool:
        """Wait until a picture's time has come.

        Args:
            time_s: Its timestamp. The first one is due at once, and so is one that jumps back, or
                forward by more than a second.

        Returns:
            Whether it came; False where the wait was stopped.
        """
        now_s = perf_counter()
        if self._anchor is None or not 0 <= time_s - self._last_s <= JUMP_S:
            self._anchor = (now_s, time_s)
        self._last_s = time_s
        due_s = self._anchor[0] + time_s - self._anchor[1]
        if now_s - due_s > _LATE_S:
            self._anchor = (now_s, time_s)
        return not self._stop.wait(max(0.0, due_s - now_s))


class Paced:
    """A live source whose frames are held back until they are due.

    Args:
        source: Yields frames faster than they are to be shown, at times.
        stop: Ends the wait.
    """

    def __init__(self, source: LiveSource, stop: threading.Event) -> None:
        self._source, self._stop = source, stop

    @property
    def info(self) -> SourceInfo:
        """What the source is."""
        return self._source.info

    @property
    def final(self) -> bool:
        """Whether its end is an end."""
        return self._source.final

    @property
    def damaged(self) -> int:
        """Pictures so far that could not be decoded, or only in part."""
        return self._source.damaged

    @property
    def derived(self) -> int:
        """Pictures so far that came without a timestamp."""
        return self._source.derived

    def frames(self) -> Iterator[Frame]:
        """Yield frames when they are due; they arrive at that moment."""
        pacer = Pacer(self._stop)
        frames = self._source.frames()
        with closing_items(frames):
            for frame in frames:
                if not pacer.wait_for(frame.time_s):
                    return
                yield replace(frame, left_source_s=perf_counter())

    def close(self) -> None:
        """Close the source."""
        self._source.close()
