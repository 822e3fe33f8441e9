"""How long to wait before a source is tried again."""

from __future__ import annotations

import random

SHORTEST_S, LONGEST_S = 0.25, 2.0
JITTER = 0.25
"""Many cameras that lost one switch must not all come back in the same moment."""


class Pauses:
    """Pauses between tries, each twice as long as the one before, up to two seconds.

    A source that is back is then seen within three.

    Args:
        rng: Of the jitter, a quarter up or down.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next_s = SHORTEST_S

    def following_s(self) -> float:
        """Return the next pause, in seconds."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, LONGEST_S)
        return pause_s * self._rng.uniform(1 - JITTER, 1 + JITTER)

    def reset(self) -> None:
        """Begin again with the shortest."""
        self._next_s = SHORTEST_S
