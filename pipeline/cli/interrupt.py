"""Ctrl-C once ends a run with a valid file; twice aborts it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# What a second signal does. Not what was there before: a shell starts background jobs with SIGINT
# ignored, and a run that can be stopped but not aborted would be stuck.
_DEFAULTS: dict[signal.Signals, Callable[[int, FrameType | None], Any] | signal.Handlers] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


@contextmanager
def stop_on_interrupt(*, after: str = "the frames on their way") -> Iterator[threading.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; the second acts as Python's default.

    Use it in the main thread only.

    Args:
        after: What is still done, for the notice.
    """
    stop = threading.Event()
    notice = f"\ndemoire: stopping after {after}; press Ctrl-C again to abort\n".encode()
    previous = {number: signal.getsignal(number) for number in _DEFAULTS}

    def on_signal(number: int, frame: FrameType | None) -> None:
        for each, handler in _DEFAULTS.items():
            signal.signal(each, handler)
        stop.set()
        # Not print(): a handler may run in the middle of another write to the same buffer.
        os.write(2, notice)

    for number in _DEFAULTS:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
