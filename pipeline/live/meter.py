"""Rates and delays of the last seconds, from any thread."""

from __future__ import annotations

import threading
from collections import deque
from time import perf_counter

_WINDOW_S = 2.0


class Rate:
    """How often something happened, in all and per second lately."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: deque[float] = deque()
        self.count = 0

    def tick(self) -> None:
        """Note one."""
        now_s = perf_counter()
        with self._lock:
            self.count += 1
            self._times.append(now_s)
            while now_s - self._times[0] > _WINDOW_S:
                self._times.popleft()

    @property
    def per_second(self) -> float:
        """Over the last two seconds."""
        now_s = perf_counter()
        with self._lock:
            return sum(now_s - time_s <= _WINDOW_S for time_s in self._times) / _WINDOW_S


class Delays:
    """Percentiles of the last few hundred delays."""

    def __init__(self, kept: int = 300) -> None:
        self._lock = threading.Lock()
        self._seconds: deque[float] = deque(maxlen=kept)

    def add(self, seconds: float) -> None:
        """Note one."""
        with self._lock:
            self._seconds.append(seconds)

    def percentile_ms(self, share: float) -> float | None:
        """Return the delay that `share` of them do not exceed; None before the first."""
        with self._lock:
            ordered = sorted(self._seconds)
        if not ordered:
            return None
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
