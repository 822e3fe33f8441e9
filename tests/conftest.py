"""Tests that need an NVIDIA GPU."""

import os
from importlib.util import find_spec

import pytest

from engines.backends import nvidia
from engines.errors import EngineError


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "needs_cuda: runs on an NVIDIA GPU through torch; skipped without one, and failed where"
        " DEMOIRE_REQUIRE_CUDA=1, so that a GPU's tests cannot pass by skipping",
    )


def pytest_runtest_setup(item):
    if item.get_closest_marker("needs_cuda") is None:
        return
    reason = _cuda_fault()
    if reason is not None:
        required = os.environ.get("DEMOIRE_REQUIRE_CUDA") == "1"
        (pytest.fail if required else pytest.skip)(f"needs a GPU: {reason}")


def _cuda_fault():
    """Return why torch cannot use a GPU; None where it can."""
    if find_spec("torch") is None:
        return "needs the extra `torch`"
    try:
        nvidia.gpu_names()
    except EngineError as error:
        return str(error)
    import torch

    return None if torch.cuda.is_available() else "this PyTorch has no CUDA"
