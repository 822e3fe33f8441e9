"""How the system schedules the thread that opens an encoder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def scheduled_as_before() -> Iterator[None]:
    """Give the calling thread back the scheduling it came with, if a library changes it within.

    SVT-AV1, opened by root, makes its caller a real-time thread of the highest priority to see
    whether it may, and leaves it so. Every thread and process started later inherits that; two of
    them that wait for each other in a loop, as OpenBLAS does, then share a core for ever.
    """
    if sys.platform != "linux":  # the others have no such calls, and SVT-AV1 makes none there
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)  # 0: the calling thread
    try:
        yield
    finally:
        # Only if it changed: a sandbox may forbid the call itself.
        if os.sched_getscheduler(0) != policy or os.sched_getparam(0) != parameters:
            os.sched_setscheduler(0, policy, parameters)
