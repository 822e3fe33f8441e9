"""Weights as safetensors: no pickle, and the config that built the network travels along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from engines.engine import EngineError
from engines.models.network import Network, NetworkConfig

_KEY = "demoire.network"


def save_checkpoint(network: Network, path: Path) -> None:
    """Write half-precision weights and the config; complete or not at all."""
    tensors = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in network.state_dict().items()
    }
    partial = path.with_suffix(".part")
    save_file(tensors, partial, metadata={_KEY: json.dumps(network.config.to_dict())})
    partial.rename(path)


def load_checkpoint(path: Path) -> Network:
    """Return the network in eval mode, float32 on the CPU.

    Raises:
        EngineError: The file was not written by `save_checkpoint`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise EngineError(f"{path}: not a safetensors file ({error})") from error
    if _KEY not in metadata:
        raise EngineError(f"{path}: no network config in its metadata; train with `demoire train`")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in json.loads(metadata[_KEY]).items()
    }
    network = Network(NetworkConfig(**values))
    network.load_state_dict(tensors)
    return network.eval()
