"""Clocks around frames: what passes before the window does not count."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pipeline.bench.figures import milliseconds
from pipeline.bench.memory import MemoryWatch
from pipeline.bench.result import Milliseconds, Sample
from pipeline.errors import ConfigError
from pipeline.threads import closing_items


class Meter:
    """Wall and CPU time of frames in a window, and memory; to be made right before the first frame.

    Args:
        warmup: Frames before the window, >= 1.
        frames: Frames of the window, >= 1.
    """

    def __init__(self, *, warmup: int, frames: int) -> None:
        self._warmup, self._frames = warmup, frames
        self._passed = 0
        self._last_s = 0.0
        self._durations_s: list[float] = []
        self._cpu_began_s = 0.0
        self._cpu_s = 0.0
        self.memory = MemoryWatch()

    @property
    def running(self) -> bool:
        """Whether the last lap was one of the window."""
        return bool(self._durations_s)

    @property
    def done(self) -> bool:
        """Whether the window is over."""
        return len(self._durations_s) == self._frames

    def lap(self) -> None:
        """One frame is done; those after the window are passed over."""
        if self.done:
            return
        now_s = time.perf_counter()
        self._passed += 1
        if self._passed > self._warmup:
            self._durations_s.append(now_s - self._last_s)
        if self._passed == self._warmup:
            self._cpu_began_s = time.process_time()
        if self.done:
            self._cpu_s = time.process_time() - self._cpu_began_s
        self._last_s = now_s

    def sample(self, **found: Any) -> Sample:  # noqa: ANN401 (the fields of `Sample`)
        """Return what was measured; `found` are fields that the part knows better.

        Raises:
            ConfigError: The frames ran out before the window was over.
        """
        if not self.done:
            raise ran_out(self._passed, warmup=self._warmup, frames=self._frames)
        measured = {
            "frames": self._frames,
            "fps": self.fps,
            "frame_ms": milliseconds(self._durations_s),
            "cpu_s": self._cpu_s / self._frames,
            "memory_peak_mb": self.memory.peak_mb(),
            "memory_growth_mb": self.memory.growth_mb(),
        }
        return Sample.model_validate(measured | found)

    @property
    def fps(self) -> float:
        """Frames per second of the window."""
        return self._frames / sum(self._durations_s)

    def frame_ms(self) -> Milliseconds:
        """Return how long the window's frames took."""
        return milliseconds(self._durations_s)


def ran_out(there: int, *, warmup: int, frames: int) -> ConfigError:
    """Return the error of an input that is too short."""
    return ConfigError(
        f"the input has {there} frames, and {warmup} to warm up and {frames} to measure are asked"
        " for; give a longer one, or a smaller --frames or --warmup"
    )


def timed(steps: Iterator[object], *, warmup: int, frames: int) -> Meter:
    """Take steps, one a frame, until the window is over, close them, and return what it took.

    Args:
        steps: A generator that has done a frame whenever it yields.
        warmup: Frames before the window.
        frames: Frames of the window.
    """
    meter = Meter(warmup=warmup, frames=frames)
    with closing_items(steps):
        for _ in steps:
            meter.lap()
            if meter.done:
                break
    return meter
