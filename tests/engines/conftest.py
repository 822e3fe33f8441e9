"""A small network with a residual worth testing, as a module and as the files back ends read."""

from pathlib import Path

import pytest
import torch

from engines.export import export_onnx
from engines.models.checkpoint import load_checkpoint, save_checkpoint
from engines.models.network import Network, NetworkConfig

# Pictures this small gain nothing from threads, and on busy cores threads spin for each other:
# measured, training tests take 53 s with two threads and 3 s with one.
torch.set_num_threads(1)

SMALL = NetworkConfig(analysis=16, widths=(8, 12, 16), depths=(0, 1, 1))


def random_network(seed: int = 0) -> Network:
    """Random weights that change every plane of a picture by some ten levels of 255."""
    torch.manual_seed(seed)
    network = Network(SMALL)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith(("gate", "bias", "decode", "encode")):
                parameter.normal_(std=0.1)
    return network.eval()


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small.onnx`, with `small.safetensors` beside it."""
    checkpoint = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_checkpoint(random_network(), checkpoint)
    path = checkpoint.with_suffix(".onnx")
    export_onnx(load_checkpoint(checkpoint), path)
    return path


@pytest.fixture(scope="session")
def network(small_model: Path) -> Network:
    """The network behind `small_model`."""
    return load_checkpoint(small_model.with_suffix(".safetensors"))
