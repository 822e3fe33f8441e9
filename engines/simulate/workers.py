"""Simulation on all cores: one process each does better than threads within one picture."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2
"""Items handed out per worker: enough that none waits for the next."""


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Generator[Result, None, None]:
    """Yield `work(item)` for every item, in order, computed by processes.

    Closing the iterator ends the processes, after the items that they are at; so does the first
    error of a worker, which is raised here.

    Args:
        work: A function of a module, or a partial of one: it is sent to the processes.
        items: Taken as they are needed.
        workers: Processes.
    """
    pending: deque[Future[Result]] = deque()
    # A forked worker would inherit the locks of threads that it does not have.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare)
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= _AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare() -> None:
    """Leave Ctrl-C, which reaches every process of a terminal, to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
