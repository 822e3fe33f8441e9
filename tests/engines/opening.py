"""Every engine that the shared suites hold to the contract."""

import os
from importlib.util import find_spec

import pytest

from engines.backends import create_engine, nvidia
from engines.engine import BACKENDS
from engines.errors import EngineError

SLOW = "tensorrt-slow"
"""The TensorRT back end on `SlowDevice`."""

_NEED_GPU = ("tensorrt", "torch-tensorrt")
_TENSORRT = ("tensorrt_rtx_bindings", "tensorrt_rtx", "tensorrt")


def gpu_fault():
    """Why nothing runs on a GPU here; None where something may, or must."""
    if os.environ.get("DEMOIRE_REQUIRE_CUDA") == "1":
        return None
    try:
        nvidia.gpu_names()
    except EngineError as error:
        return str(error)
    return None


ENGINES = [*(name for name in BACKENDS if name not in _NEED_GPU or gpu_fault() is None), SLOW]


def opened(name, model, folder, **options):
    """An engine, or a skip with the reason; `DEMOIRE_REQUIRE_CUDA=1` makes that a failure.

    `folder` is for what the slow one builds.
    """
    if name == "torch":
        pytest.importorskip("torch", reason="needs the extra `torch`")
    if name == SLOW:
        need_tensorrt()
        from slow_engine import SlowTensorRtEngine

        return SlowTensorRtEngine(model=str(model), cache_dir=folder, **options)
    try:
        return create_engine(name, model=str(model), options=options)
    except EngineError as error:
        if name not in _NEED_GPU or os.environ.get("DEMOIRE_REQUIRE_CUDA") == "1":
            raise
        pytest.skip(str(error))


def need_tensorrt():
    """Skip where no TensorRT is installed; `DEMOIRE_REQUIRE_TENSORRT=1` makes that a failure."""
    if any(find_spec(name) for name in _TENSORRT) and find_spec("cuda") and find_spec("onnx"):
        return
    assert os.environ.get("DEMOIRE_REQUIRE_TENSORRT") != "1", "the extra `trt-rtx` is missing"
    pytest.skip("needs the extra `trt-rtx`")
