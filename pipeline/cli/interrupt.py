"""Ctrl-C once ends a run with a valid file; twice aborts it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = b"\ndemoire: stopping after the frames on their way; press Ctrl-C again to abort\n"


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; the second acts as Python's default.

    Use it in the main thread only.
    """
    stop = threading.Event()
    previous = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def on_signal(number: int, frame: FrameType | None) -> None:
        restore()
        stop.set()
        # Not print(): a handler may run in the middle of another write to the same buffer.
        os.write(2, _NOTICE)

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        restore()
