"""One camera and those who look at it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Protocol

from pipeline.live.events import plain
from pipeline.live.redaction import mask
from pipeline.live.status import Status
from pipeline.live.web.broadcast import Broadcast, Receiver
from pipeline.live.web.camera import WHICH, CameraView

_NAMES = ("strength", "smoothing", "bypass")
_LONGEST_VALUE = 32


class Visitor(Receiver, Protocol):
    """A page that is open."""

    def tell(self, status: str) -> None:
        """Take a status message; only the newest matters."""
        ...


class Room:
    """A camera as the server knows it; but for the broadcasts' `push`, all of it is the loop's."""

    def __init__(self, name: str, view: CameraView) -> None:
        self.name = name
        self.view = view
        self.broadcasts = {which: Broadcast(which) for which in WHICH}
        self._visitors: set[Visitor] = set()
        self._looking: set[Visitor] = set()

    @property
    def visitors(self) -> int:
        """Pages that are open."""
        return len(self._visitors)

    def enter(self, visitor: Visitor) -> None:
        """Tell it the status from now on."""
        self._visitors.add(visitor)

    def leave(self, visitor: Visitor) -> None:
        """Forget it."""
        self.look_away(visitor)
        self._visitors.discard(visitor)

    def look(self, visitor: Visitor) -> None:
        """Offer it both pictures from now on."""
        if visitor in self._looking:
            return
        self._looking.add(visitor)
        for broadcast in self.broadcasts.values():
            broadcast.add(visitor)
        self.view.on_viewers(len(self._looking))

    def look_away(self, visitor: Visitor) -> None:
        """Offer it no more pictures, as while the page is in a hidden tab."""
        if visitor not in self._looking:
            return
        self._looking.discard(visitor)
        for broadcast in self.broadcasts.values():
            broadcast.remove(visitor)
        self.view.on_viewers(len(self._looking))

    def is_looking(self, visitor: Visitor) -> bool:
        """Whether it is offered the pictures."""
        return visitor in self._looking

    def announce(self, status: Status, states: dict[str, str]) -> None:
        """Tell everybody how it is now.

        Args:
            status: Of this camera.
            states: Of every camera's source, by name.
        """
        if not self._visitors:
            return
        said = asdict(status) | {"source": mask(status.source), "error": mask(status.error)}
        text = json.dumps(
            plain(
                {
                    "type": "status",
                    "status": said,
                    "control": dict(self.view.control.values()),
                    "cameras": [{"name": name, "state": state} for name, state in states.items()],
                }
            )
        )
        for visitor in self._visitors:
            visitor.tell(text)

    def change(self, name: object, value: object) -> None:
        """Change what is in force, at the wish of a page.

        Raises:
            ValueError: It cannot be changed to that, in words.
        """
        if name not in _NAMES:
            raise ValueError(f"there is nothing of that name; there are {', '.join(_NAMES)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: must be a finite number")
        if not isinstance(value, bool | float | str) or len(str(value)) > _LONGEST_VALUE:
            raise ValueError(f"{name}: must be a number, a word, true or false")
        self.view.control.set(str(name), value)
