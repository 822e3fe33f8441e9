"""The model that back ends are tested with; without torch, what the base install has to offer."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from engines.models import model_path

_TRAIN = ("torch", "safetensors", "onnx", "onnxscript")
_MISSING = [name for name in _TRAIN if find_spec(name) is None]

if "torch" not in _MISSING:
    import torch

    # Pictures this small gain nothing from threads, and on busy cores threads spin for each other:
    # measured, training tests take 53 s with two threads and 3 s with one.
    torch.set_num_threads(1)


@pytest.fixture
def train_extra():
    """For tests that need torch or onnx; they are skipped where the extra is not installed."""
    _skip_without_train_extra()


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network's `small.onnx`; without the extra `train`, the shipped `nano.onnx`.

    Either has its `.safetensors` beside it. Only `network` tells which residual to expect.
    """
    if _MISSING:
        return model_path("nano")
    from small_network import write_small_model

    return write_small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def network(small_model: Path):
    """The network behind `small_model`, as a torch module."""
    _skip_without_train_extra()
    from engines.models.checkpoint import load_checkpoint

    return load_checkpoint(small_model.with_suffix(".safetensors"))


def _skip_without_train_extra() -> None:
    if _MISSING:
        pytest.skip(f"needs {', '.join(_MISSING)}: pip install 'demoire[train]'")
