"""A small network with a residual worth testing; needs torch."""

from pathlib import Path

import torch

from engines.export import export_onnx
from engines.models.checkpoint import load_checkpoint, save_checkpoint
from engines.models.network import Network, NetworkConfig

SMALL = NetworkConfig(analysis=16, widths=(8, 12, 16), depths=(0, 1, 1), bands=True)


def random_network(seed: int = 0) -> Network:
    """Random weights that change every plane of a picture by some ten levels of 255."""
    torch.manual_seed(seed)
    network = Network(SMALL)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith(("gate", "bias", "decode", "encode", "bands.enter", "bands.gate")):
                parameter.normal_(std=0.1)
    return network.eval()


def write_small_model(folder: Path) -> Path:
    """Write `small.onnx`, with `small.safetensors` beside it, and return its path."""
    checkpoint = folder / "small.safetensors"
    save_checkpoint(random_network(), checkpoint)
    path = checkpoint.with_suffix(".onnx")
    export_onnx(load_checkpoint(checkpoint), path)
    return path
