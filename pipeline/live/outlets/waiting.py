"""Units on their way to somebody who may be slow: bounded, and never a picture without its key."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Literal

from pipeline.live.access import AccessUnit

_Gate = Literal["held", "key", "open"]


class UnitQueue:
    """A bounded queue of access units between one or more pushers and one consumer.

    When it is full it loses whole stretches, up to a key picture, which it asks for: what comes out
    can always be decoded.

    Args:
        keep: What a full queue keeps: `new` loses all it has, so that nothing is ever old; `old`
            takes nothing more until there is room.
        most_units: Most units held.
        most_bytes: Most bytes held.
        request_key: Asks the encoder for a key picture; called by whoever pushes or begins.
    """

    def __init__(
        self,
        *,
        keep: Literal["new", "old"],
        most_units: int,
        most_bytes: int,
        request_key: Callable[[], None],
    ) -> None:
        self._keep = keep
        self._most_units, self._most_bytes = most_units, most_bytes
        self._request_key = request_key
        self._changed = threading.Condition()
        self._units: deque[AccessUnit] = deque()
        self._bytes = 0
        self._gate: _Gate = "held"
        self._woken = False
        self._closed = False
        self._dropped = 0
        self._overflows = 0

    @property
    def dropped(self) -> int:
        """Pictures lost so far."""
        return self._dropped

    @property
    def overflows(self) -> int:
        """How often it was full."""
        return self._overflows

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def put(self, unit: AccessUnit) -> None:
        """Take a unit, or lose it; returns at once."""
        with self._changed:
            if self._closed:
                return
            is_start = unit.is_key and unit.medium == "video"
            if self._gate == "held" or (self._gate == "key" and not is_start):
                self._dropped += unit.medium == "video"
                return
            if self._has_room(unit):
                self._gate = "open"
                self._add(unit)
            else:
                self._overflow(unit, is_start=is_start)
            self._changed.notify_all()
            wants_key = self._gate == "key"
        if wants_key:
            self._request_key()

    def get(self, timeout_s: float | None = None) -> AccessUnit | None:
        """Wait for a unit and return it; None when time is up, on `wake`, and once closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._units or self._woken or self._closed, timeout=timeout_s
            )
            self._woken = False
            if not self._units:
                return None
            unit = self._units.popleft()
            self._bytes -= len(unit.data)
            return unit

    def begin(self) -> None:
        """Lose what is held and start with a new key picture."""
        with self._changed:
            self._lose_all()
            self._gate = "key"
        self._request_key()

    def hold(self) -> None:
        """Lose what is held and what comes, until `begin`."""
        with self._changed:
            self._lose_all()
            self._gate = "held"

    def wake(self) -> None:
        """Make the consumer's `get` return."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Take no more; the consumer still gets what is held, then None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, unit: AccessUnit) -> bool:
        """Whether a unit fits; one that is larger than all that may be held does so alone."""
        return not self._units or (
            len(self._units) < self._most_units and self._bytes + len(unit.data) <= self._most_bytes
        )

    def _overflow(self, unit: AccessUnit, *, is_start: bool) -> None:
        """Make room, or do without the unit."""
        self._overflows += self._gate == "open"
        if self._keep == "new":
            self._lose_all()
        if self._keep == "new" and is_start:
            self._add(unit)
            return
        self._dropped += unit.medium == "video"
        self._gate = "key"

    def _add(self, unit: AccessUnit) -> None:
        self._units.append(unit)
        self._bytes += len(unit.data)

    def _lose_all(self) -> None:
        self._dropped += sum(unit.medium == "video" for unit in self._units)
        self._units.clear()
        self._bytes = 0
