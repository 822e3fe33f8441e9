"""What every test of the pipeline gets."""

import threading

import pytest


@pytest.fixture(autouse=True)
def no_leaked_threads():
    """A test that leaves a thread behind fails."""
    before = set(threading.enumerate())
    yield
    leaked = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not leaked, f"threads still alive: {leaked}"
