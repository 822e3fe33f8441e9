"""What every test of the pipeline gets."""

import signal
import threading

import pytest


@pytest.fixture(autouse=True)
def no_leaked_threads():
    """A test that leaves a thread behind fails."""
    before = set(threading.enumerate())
    yield
    leaked = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not leaked, f"threads still alive: {leaked}"


@pytest.fixture(autouse=True, scope="session")
def interruptible():
    """Tests interrupt themselves; a shell that starts them in the background ignores SIGINT."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)
