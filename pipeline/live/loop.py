"""One asyncio event loop in one thread; what is served over a network shares it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

_JOIN_S = 5.0


class LoopThread:
    """Runs an event loop in a thread of its own; `with` starts and stops it.

    Args:
        name: Of the thread, after `demoire-`.
    """

    def __init__(self, name: str = "loop") -> None:
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._stopping = asyncio.Event()
        # A daemon: a process that must end is not held by a task that will not.
        self._thread = threading.Thread(target=self._run, name=f"demoire-{name}", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, once started."""
        assert self._loop is not None, "start() comes first"
        return self._loop

    def start(self) -> None:
        """Return once the loop runs; a loop thread is started once."""
        self._thread.start()
        self._started.result()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop, from any other thread, and return or raise what it does.

        Who calls `stop` sees to it that no call comes later.

        Raises:
            RuntimeError: The loop does not run, or this is its own thread.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("the loop cannot wait for itself; await the coroutine instead")
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:
            coroutine.close()
            raise
        try:
            return future.result()
        except BaseException:
            future.cancel()  # no effect on one that has ended; ends one that Ctrl-C left behind
            raise

    def stop(self) -> None:
        """Cancel the tasks that are left, close the loop and join the thread; twice is once."""
        if self._loop is None:
            return
        with suppress(RuntimeError):  # closed already
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            log.error("thread %s did not end in %g s", self._thread.name, _JOIN_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            try:
                self._loop = runner.get_loop()
            except OSError as error:  # the system has no more descriptors
                self._started.set_exception(error)
                return
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        self._started.set_result(None)
        await self._stopping.wait()
