"""The event loop in its thread."""

import asyncio
import threading

import pytest

from pipeline.live.loop import LoopThread


async def name():
    return threading.current_thread().name


async def fail():
    raise ValueError("as asked")


def test_call_runs_in_the_loops_thread_and_returns():
    with LoopThread("web") as loop:
        assert loop.call(name()) == "demoire-web"


def test_call_raises_what_the_coroutine_does():
    with LoopThread() as loop, pytest.raises(ValueError, match="as asked"):
        loop.call(fail())


def test_stop_ends_tasks_that_are_left():
    ended = threading.Event()

    async def begin():
        async def forever():
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        task = asyncio.get_running_loop().create_task(forever())
        await asyncio.sleep(0)
        return task

    with LoopThread() as loop:
        task = loop.call(begin())
    assert ended.is_set()
    assert task.cancelled()


def test_stop_ends_the_threads_that_the_loop_made():
    async def resolve():
        await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 1)

    with LoopThread() as loop:
        loop.call(resolve())  # the fixture that looks for leaked threads does the rest


def test_stop_twice_is_once_and_before_the_start_nothing():
    loop = LoopThread()
    loop.stop()
    loop.start()
    loop.stop()
    loop.stop()


def test_call_after_the_end_is_refused():
    with LoopThread() as loop:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        loop.call(name())


def test_loop_does_not_wait_for_itself():
    with LoopThread() as loop:

        async def deadlock():
            loop.call(name())

        with pytest.raises(RuntimeError, match="cannot wait for itself"):
            loop.call(deadlock())
