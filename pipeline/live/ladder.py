"""What is left out to keep up, one step at a time, and when: no clock and no threads in here.

A chain that is too slow first drops pictures (`late`). When that goes on, it steps down to less
work; when it has long kept up, it tries the step above again, each time after a longer wait if
that proved too much.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median

_WINDOW_S, _PART_S = 2.0, 0.2
_TOO_MANY = 3
"""Parts of the window with a late picture. One hiccup of the machine makes several pictures late,
all at once; who cannot keep up is late again and again."""
_SETTLE_S = 1.0
"""After a step nothing is judged for so long: the first pictures of a new graph are slow."""
_CALM_S = 5.0
"""Without a late picture for so long, there is room."""
_MOST_CALM_S = 120.0
_COSTS = 45
"""Pictures whose cost is remembered: more than half of them would have to fall into a hiccup."""
_TOO_DEAR = 0.9
"""Share of a picture's time above which a step's cost leaves no room for anything else."""
_BELIEVED = 6
"""Calm spells for which a step is not tried because of what it once cost."""
_ROOM = 0.75
"""The step above is tried only if its last known cost is below this share of a picture's time."""


class Ladder:
    """Where a chain is between all of its work and none.

    Args:
        steps: Names, all of the work first.
        start_s: Now, on the clock of the other calls.
    """

    def __init__(self, steps: Sequence[str], *, start_s: float) -> None:
        if not steps:
            raise ValueError("a ladder needs a step")
        self._steps = tuple(steps)
        self._index = 0
        self.changes = 0
        self._late: deque[float] = deque()
        self._begun_s = start_s
        self._calm_s = [_CALM_S] * len(steps)
        self._costs_s: dict[int, deque[float]] = {}
        self._believed: dict[int, int] = {}

    @property
    def step(self) -> str:
        """What is done now."""
        return self._steps[self._index]

    @property
    def steps(self) -> tuple[str, ...]:
        """All of them, from everything to nothing."""
        return self._steps

    def settle(self, now_s: float) -> None:
        """Forget what was late, and judge nothing for a moment: something else took the cores."""
        self._begun_s = now_s
        self._late.clear()

    def worked(self, cost_s: float, now_s: float, interval_s: float) -> bool:
        """Note how long one picture took at this step; return whether a step down was taken.

        A step that takes as long as there is from picture to picture is left before it is late.

        Args:
            cost_s: Of the picture.
            now_s: The time.
            interval_s: From one picture to the next.
        """
        if now_s - self._begun_s < _SETTLE_S:
            return False
        costs_s = self._costs_s.setdefault(self._index, deque(maxlen=_COSTS))
        costs_s.append(cost_s)
        too_dear = len(costs_s) == _COSTS and median(costs_s) > _TOO_DEAR * interval_s
        if not too_dear or self._index == len(self._steps) - 1:
            return False
        self._tried_in_vain(now_s)
        self._go(self._index + 1, now_s)
        return True

    def late(self, now_s: float) -> bool:
        """Note a picture that came too late or was dropped; return whether a step was taken."""
        if now_s - self._begun_s < _SETTLE_S:
            return False
        if not self._late or now_s - self._late[-1] >= _PART_S:
            self._late.append(now_s)
        while now_s - self._late[0] > _WINDOW_S:
            self._late.popleft()
        if len(self._late) < _TOO_MANY or self._index == len(self._steps) - 1:
            return False
        self._tried_in_vain(now_s)
        self._go(self._index + 1, now_s)
        return True

    def kept_up(self, now_s: float, interval_s: float) -> bool:
        """Note a picture in time; return whether a step up was taken.

        Args:
            now_s: The time.
            interval_s: From one picture to the next.
        """
        if self._index == 0:
            return False
        above = self._index - 1
        since_s = self._late[-1] if self._late else self._begun_s
        if now_s - max(since_s, self._begun_s) < self._calm_s[above]:
            return False
        costs_s = self._costs_s.get(above)
        if costs_s and median(costs_s) > _ROOM * interval_s:
            # Known too dear; but what made it so may be gone: believed for a while only.
            self._believed[above] = self._believed.get(above, 0) + 1
            self._begun_s = now_s
            if self._believed[above] < _BELIEVED:
                return False
        self._go(above, now_s)
        return True

    def _tried_in_vain(self, now_s: float) -> None:
        """Have the next try of this step wait longer where this one has just begun."""
        if now_s - self._begun_s < self._calm_s[self._index]:
            self._calm_s[self._index] = min(2 * self._calm_s[self._index], _MOST_CALM_S)

    def _go(self, index: int, now_s: float) -> None:
        if index < self._index:
            self._costs_s.pop(index, None)  # it is tried anew
            self._believed.pop(index, None)
        self._index, self._begun_s = index, now_s
        self.changes += 1
        self._late.clear()
