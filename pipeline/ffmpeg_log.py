"""FFmpeg's own words for why something failed: errors are often only a number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import av


@contextmanager
def error_log() -> Iterator[list[tuple[int, str, str]]]:
    """Collect what FFmpeg logs as errors in this thread: level, name and message of each."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as log:
            yield log
    finally:
        av.logging.set_level(level)


def reason(error: Exception, log: list[tuple[int, str, str]]) -> str:
    """Return what failed and, in brackets, the first thing that was logged: it is the cause."""
    words = getattr(error, "strerror", None) or str(error)
    said = next((message.strip() for _, _, message in log if message.strip()), "")
    return f"{words} ({said})" if said else words
