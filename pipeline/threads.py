"""All concurrency of the program: bounded channels and threads that end together.

One condition variable and one `cancelled` flag serve a whole `ThreadGroup`. With a flag per
channel, a stage that fails while the group is still being wired would leave a channel made later
uncancelled, and the program would hang there. Nothing polls, and channels know no timeouts.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Cancelled(BaseException):
    """The other end of a channel left, or the whole group is ending; only channels raise it."""


@dataclass(frozen=True, kw_only=True)
class ChannelStatistics:
    """What a channel saw so far."""

    items: int
    """Items put in, the dropped ones included."""
    dropped: int
    """Items removed to make room; always 0 for a channel that blocks."""
    peak: int
    """Most items held at once."""
    put_blocked_s: float
    """Seconds the producer waited because the consumer was slow."""
    get_blocked_s: float
    """Seconds the consumer waited because the producer was slow."""


class Channel(Generic[T]):
    """A bounded queue from one thread to one other; iterate to receive.

    Made by `ThreadGroup.channel`. Every operation raises `Cancelled` once the group is cancelled.

    Args:
        group: The group whose condition and flag this channel shares.
        capacity: Most items held, >= 1.
        drop: None blocks the producer of a full channel. Otherwise the oldest item is dropped, and
            `drop(oldest, next)` returns what stands in for the item after it. It runs with the
            group's condition held, so it must be quick.
    """

    def __init__(
        self, group: ThreadGroup, capacity: int, drop: Callable[[T, T], T] | None = None
    ) -> None:
        if capacity < 1:
            raise ValueError(f"a channel holds at least one item, got {capacity=}")
        self._group = group
        self._changed = group.changed
        self._capacity = capacity
        self._drop = drop
        self._items: deque[T] = deque()
        self._closed = False
        self._abandoned = False
        self._put_count = self._drop_count = self._peak = 0
        self._put_blocked_s = self._get_blocked_s = 0.0

    def put(self, item: T) -> None:
        """Hand over an item, waiting while the channel is full.

        Raises:
            Cancelled: The consumer abandoned the channel, or the group was cancelled.
        """
        with self._changed:
            if self._drop is None:
                self._put_blocked_s += self._wait_while(
                    lambda: len(self._items) >= self._capacity and not self._abandoned
                )
            if self._group.cancelled or self._abandoned:
                raise Cancelled
            assert not self._closed, "put() after close()"
            self._items.append(item)
            self._put_count += 1
            if self._drop is not None and len(self._items) > self._capacity:
                oldest = self._items.popleft()
                self._items[0] = self._drop(oldest, self._items[0])
                self._drop_count += 1
            self._peak = max(self._peak, len(self._items))
            self._changed.notify_all()

    def close(self) -> None:
        """Say that no more items follow; iteration ends after those already put."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Say that nobody will receive any more; the producer's next `put` raises `Cancelled`."""
        with self._changed:
            self._abandoned = True
            self._items.clear()
            self._changed.notify_all()

    @property
    def abandoned(self) -> bool:
        """Whether the consumer has left."""
        return self._abandoned

    # Not a generator: closing one that was never started would skip its `finally`, and a stage
    # that returns before its first frame would leave its producer blocked for ever.
    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._changed:
            self._get_blocked_s += self._wait_while(lambda: not self._items and not self._closed)
            if self._group.cancelled:
                raise Cancelled
            if not self._items:
                raise StopIteration
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def statistics(self) -> ChannelStatistics:
        """Counts so far; consistent at any moment, from any thread."""
        with self._changed:
            return ChannelStatistics(
                items=self._put_count,
                dropped=self._drop_count,
                peak=self._peak,
                put_blocked_s=self._put_blocked_s,
                get_blocked_s=self._get_blocked_s,
            )

    def _wait_while(self, blocked: Callable[[], bool]) -> float:
        """Wait, with the condition held, and return the seconds that took."""
        if self._group.cancelled or not blocked():
            return 0.0
        began = perf_counter()
        while not self._group.cancelled and blocked():
            self._changed.wait()
        return perf_counter() - began


class Mailbox(Generic[T]):
    """The newest items from one thread for another, which may wait for them with a deadline.

    What `Channel` is not: its producer never waits, and its consumer does something else when
    nothing comes. It belongs to no group, because a live chain must outlive what feeds it.

    Args:
        capacity: Most items held, >= 1; a full one lets go of its oldest.
        drop: Given the oldest and the one after it; returns what stands in for the latter. It runs
            with the lock held, so it must be quick.
    """

    def __init__(self, capacity: int, drop: Callable[[T, T], T] | None = None) -> None:
        if capacity < 1:
            raise ValueError(f"a mailbox holds at least one item, got {capacity=}")
        self._changed = threading.Condition()
        self._capacity = capacity
        self._drop = drop
        self._items: deque[T] = deque()
        self._closed = False
        self._dropped = 0

    def put(self, item: T) -> None:
        """Leave an item and return at once; one that is closed takes no more."""
        with self._changed:
            if self._closed:
                return
            self._items.append(item)
            if len(self._items) > self._capacity:
                oldest = self._items.popleft()
                if self._drop is not None:
                    self._items[0] = self._drop(oldest, self._items[0])
                self._dropped += 1
            self._changed.notify_all()

    def take(self, timeout_s: float | None = None) -> T | None:
        """Return the oldest item; None when none came in time, or none is to come."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            return self._items.popleft() if self._items else None

    def close(self) -> None:
        """Say that nothing follows; what is there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether it is closed and empty."""
        with self._changed:
            return self._closed and not self._items

    @property
    def waiting(self) -> int:
        """Items that are there."""
        return len(self._items)

    @property
    def dropped(self) -> int:
        """Items let go so far."""
        return self._dropped


class ThreadGroup:
    """Threads that end together; nothing outlives the `with` block.

    The first error, in a thread or in the block itself, cancels the group. Leaving the block, also
    without an error, cancels what still runs, joins the threads, runs the `at_end` actions and
    raises the first error; later ones are logged.

    Args:
        body: Stage name of the `with` block itself, for the note on its errors.
        join_deadline_s: How long leaving the block waits for the threads, all together. A thread
            that is still busy then is left behind with its stack in the log; threads are
            daemons, so the process can end regardless.
    """

    def __init__(self, *, body: str, join_deadline_s: float = 10.0) -> None:
        # Over an RLock: an interrupt may find this thread with the lock taken; see `_unlock`.
        self.changed = threading.Condition()
        self.cancelled = False
        self._body = body
        self._join_deadline_s = join_deadline_s
        self._error: BaseException | None = None
        self._threads: list[threading.Thread] = []
        # Ours, because an interrupted `Thread.join` calls a running thread stopped (CPython 3.11).
        self._running: set[threading.Thread] = set()
        self._at_end: list[tuple[str, Callable[[], None]]] = []

    @property
    def failed(self) -> bool:
        """Whether an error was recorded."""
        return self._error is not None

    def channel(self, capacity: int, drop: Callable[[T, T], T] | None = None) -> Channel[T]:
        """Make a channel that ends with this group; see `Channel` for the arguments."""
        return Channel(self, capacity, drop)

    def start(
        self,
        name: str,
        produce: Callable[[], Iterator[T]],
        *,
        into: Channel[T],
        after: Channel[Any] | None = None,
    ) -> threading.Thread:
        """Start a thread that pumps what `produce()` yields into a channel.

        Args:
            name: Stage name, for the thread and for the note on its errors.
            produce: Called in the new thread; a generator it returns is closed there.
            into: Closed when the iterator is exhausted.
            after: The channel that `produce` consumes, abandoned when the thread ends.
        """

        def pump() -> None:
            try:
                items = produce()
                with closing_items(items):
                    for item in items:
                        into.put(item)
                into.close()
            except Cancelled:
                if not into.abandoned:
                    raise
            finally:
                if after is not None:
                    after.abandon()

        return self.run(name, pump)

    def run(self, name: str, action: Callable[[], None]) -> threading.Thread:
        """Start a thread that does one thing; its error is the group's.

        Args:
            name: For the thread and for the note on its errors.
            action: Done in the new thread; ends soon once what it waits for is cancelled.
        """

        def body() -> None:
            self._attempt(name, action)
            with self.changed:
                self._running.discard(thread)
                self.changed.notify_all()

        thread = threading.Thread(target=body, name=f"demoire-{name}", daemon=True)
        self._threads.append(thread)
        self._running.add(thread)
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads
            self._running.discard(thread)
            self._threads.remove(thread)
            raise
        return thread

    def is_running(self, thread: threading.Thread) -> bool:
        """Whether a thread of this group is at work; after the join, that it was left behind."""
        return thread in self._running

    def at_end(self, name: str, action: Callable[[], None]) -> None:
        """Run an action after the join, whatever happened; the last one registered runs first."""
        self._at_end.append((name, action))

    def fail(self, name: str, error: BaseException) -> None:
        """Record the first error of the group and cancel it; log a later one."""
        # Anyone else's `Cancelled` is an error: ignored, it would look like the end of the stream.
        if isinstance(error, Cancelled) and self.cancelled:
            return
        error.add_note(f"raised in pipeline stage {name!r}")
        with self.changed:
            first = self._error is None
            if first:
                self._error = error
            self._cancel()
        if not first:
            logger.error("later error in pipeline stage %r", name, exc_info=error)

    def join(self) -> None:
        """Wait for every thread, up to the deadline.

        Raises:
            Cancelled: There was an error; leaving the `with` block turns it into that error.
        """
        deadline = perf_counter() + self._join_deadline_s
        with self.changed:
            while (stuck := self._running.intersection(self._threads)) and (
                left_s := deadline - perf_counter()
            ) > 0:
                self.changed.wait(left_s)
        for thread in self._threads:
            if thread in stuck:
                _log_stack(thread)
            else:
                thread.join()
        self._threads = []  # nobody waits twice for one that is stuck
        if self.failed:
            raise Cancelled

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self._unlock()
        if error is not None:
            self.fail(self._body, error)
        self._cancel()
        # Guarded, because an impatient Ctrl-C must not skip the actions that follow.
        self._attempt(self._body, self.join)
        for name, action in reversed(self._at_end):
            self._attempt(name, action)
        if self._error is None or self._error is error:
            return
        context = self._error.__context__
        try:
            raise self._error
        finally:
            # `raise` replaced what the error was raised in the handling of by our `Cancelled`.
            self._error.__context__ = context

    def _cancel(self) -> None:
        with self.changed:
            self.cancelled = True
            self.changed.notify_all()

    def _unlock(self) -> None:
        """Free the lock, which Ctrl-C leaves taken when it falls between `acquire` and its block.

        The threads could never end otherwise. Nothing holds it rightly where this is called.
        """
        with suppress(RuntimeError):
            while True:
                self.changed.release()

    def _attempt(self, name: str, action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - an error lost here would become a hang
            self.fail(name, error)


def closing_items(items: Iterator[T]) -> AbstractContextManager[object]:
    """Close what can be closed; an iterator such as `map` has nothing to close."""
    return closing(items) if isinstance(items, Generator) else nullcontext()


def _log_stack(thread: threading.Thread) -> None:
    frame = sys._current_frames().get(thread.ident or 0)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "(it has just ended)"
    logger.error("thread %s did not end in time; it is still here:\n%s", thread.name, stack)
