"""One outlet that is many."""

from __future__ import annotations

import logging
import threading
from time import monotonic

from pipeline.live.access import AccessUnit, Outlet
from pipeline.live.events import log_event

log = logging.getLogger(__name__)

_CLOSE_S = 2.5
"""How long all closings together may take; each outlet promises a second or two."""


class Hub:
    """Hands every unit to all outlets; one that raises is taken out and closed, the others go on.

    Outlets may come and go while units are pushed, from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Replaced, never changed: pushing needs no lock, so no outlet can hold up another's adding.
        self._outlets: dict[str, Outlet] = {}
        self._failed: dict[str, Exception] = {}
        self._closing: list[threading.Thread] = []
        self._closed = False

    def add(self, name: str, outlet: Outlet) -> None:
        """Push to an outlet from the next unit on.

        Raises:
            ValueError: There is one of that name, or the hub is closed.
        """
        with self._lock:
            if self._closed or name in self._outlets:
                state = "the hub is closed" if self._closed else "there is one of that name"
                raise ValueError(f"outlet {name!r} cannot be added: {state}")
            self._outlets = {**self._outlets, name: outlet}
            self._failed.pop(name, None)

    def remove(self, name: str) -> None:
        """Take an outlet out and close it, without waiting for that; an unknown name is no error.

        A push that has begun may still reach it.
        """
        self._take_out(name)

    def push(self, unit: AccessUnit) -> None:
        """Hand a unit to every outlet."""
        for name, outlet in self._outlets.items():
            try:
                outlet.push(unit)
            except Exception as error:  # noqa: BLE001 - whatever breaks in one must spare the others
                self._fail(name, outlet, error)

    def failed(self) -> dict[str, Exception]:
        """Return the outlets that were taken out because they raised, and what they raised."""
        with self._lock:
            return dict(self._failed)

    def names(self) -> tuple[str, ...]:
        """Return the outlets that are pushed to."""
        return tuple(self._outlets)

    def close(self) -> None:
        """Close every outlet, all at the same time; twice is once."""
        with self._lock:
            self._closed = True
        for name in self.names():
            self._take_out(name)
        deadline = monotonic() + _CLOSE_S
        with self._lock:
            closing, self._closing = self._closing, []
        for thread in closing:
            thread.join(max(0.0, deadline - monotonic()))
            if thread.is_alive():
                log_event(
                    log,
                    "outlet.stuck",
                    f"{thread.name} did not end in {_CLOSE_S:g} s; it is left behind",
                    level=logging.ERROR,
                )

    def _fail(self, name: str, outlet: Outlet, error: Exception) -> None:
        if not self._take_out(name, outlet, error):
            return  # another thread's push saw it first
        log_event(
            log,
            "outlet.failed",
            f"outlet {name} is taken out, it raised {type(error).__name__}: {error}",
            level=logging.ERROR,
            fields={"outlet": name},
        )

    def _take_out(
        self, name: str, only: Outlet | None = None, error: Exception | None = None
    ) -> bool:
        """Take an outlet out and start closing it; whether this call did so."""
        with self._lock:
            outlet = self._outlets.get(name)
            if outlet is None or only not in (None, outlet):
                return False
            self._outlets = {key: one for key, one in self._outlets.items() if key != name}
            if error is not None:
                self._failed[name] = error
            self._closing = [thread for thread in self._closing if thread.is_alive()]
            # Closing may take a second or two, which whoever pushes does not have.
            thread = threading.Thread(
                target=_close, args=(name, outlet), name=f"demoire-close-{name}", daemon=True
            )
            self._closing.append(thread)
            thread.start()
        return True


def _close(name: str, outlet: Outlet) -> None:
    try:
        outlet.close()
    except Exception as error:  # noqa: BLE001 - nobody is left to hear of it but the log
        log_event(
            log,
            "outlet.close_failed",
            f"outlet {name} raised {type(error).__name__} when it was closed: {error}",
            level=logging.WARNING,
            fields={"outlet": name},
        )
