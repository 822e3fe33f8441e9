"""One picture on its way from the thread that encodes to everybody who looks at it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import Protocol

from pipeline.live.access import AccessUnit
from pipeline.live.web.camera import Which

_WAITING = 240
"""Units that wait for the loop at most; a loop that far behind hangs."""


class Receiver(Protocol):
    """Somebody who looks. Called in the loop, must be quick."""

    def offer(self, which: Which, unit: AccessUnit) -> None:
        """Take a unit or leave it out."""
        ...

    def missed(self, which: Which) -> None:
        """Take note that units were lost before the next."""
        ...


class Broadcast:
    """An `Outlet` that hands units over to the loop; receivers are added there."""

    def __init__(self, which: Which) -> None:
        self._which = which
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._receivers: list[Receiver] = []
        self._waiting: deque[AccessUnit] = deque()
        self._scheduled = False
        self._lost = False

    def push(self, unit: AccessUnit) -> None:
        """Take a unit, from any thread; sound and what nobody looks at is left out."""
        if unit.medium != "video":
            return
        with self._lock:
            if self._loop is None or not self._receivers:
                return
            if len(self._waiting) >= _WAITING:
                self._waiting.clear()
                self._lost = True
            self._waiting.append(unit)
            if not self._scheduled:
                with suppress(RuntimeError):  # the loop has just ended
                    self._loop.call_soon_threadsafe(self._deliver)
                    self._scheduled = True

    def close(self) -> None:
        """Take no more units. The page lives on until its server closes."""
        self.disconnect()

    def connect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver in that loop from now on."""
        with self._lock:
            self._loop = loop

    def disconnect(self) -> None:
        """Drop what waits and everything that comes."""
        with self._lock:
            self._loop = None
            self._waiting.clear()

    def add(self, receiver: Receiver) -> None:
        """Offer it every unit from now on."""
        with self._lock:
            self._receivers.append(receiver)

    def remove(self, receiver: Receiver) -> None:
        """Offer it nothing more."""
        with self._lock:
            self._receivers.remove(receiver)

    def _deliver(self) -> None:
        with self._lock:
            units, self._waiting = self._waiting, deque()
            receivers = tuple(self._receivers)
            lost, self._lost = self._lost, False
            self._scheduled = False
        for receiver in receivers:
            if lost:
                receiver.missed(self._which)
            for unit in units:
                receiver.offer(self._which, unit)
