"""The networks: their sizes, where their weights lie, and how to load them.

A model is a pair of files in `engines/models/weights`: `NAME.onnx`, which back ends run, and
`NAME.safetensors`, the same weights for torch with the network's config in its metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.engine import EngineError

if TYPE_CHECKING:
    from engines.models.network import Network

WEIGHTS = Path(__file__).parent / "weights"

MODELS: dict[str, dict[str, Any]] = {
    "nano": {
        "analysis": 64,
        "widths": (32, 48, 64, 96),
        "depths": (0, 1, 2, 3),
        "bands": True,
    },
    "base": {
        "analysis": 64,
        "widths": (96, 128, 128, 160),
        "depths": (1, 2, 3, 3),
        "bands": True,
    },
}
"""Tiers by name: keyword arguments of `engines.models.network.NetworkConfig`."""

SHIPPED = tuple(name for name in MODELS if (WEIGHTS / f"{name}.onnx").is_file())
"""Tiers with weights; the others wait for a training that makes them better than a smaller one."""


def model_path(model: str) -> Path:
    """Return the ONNX file of a shipped model's name, or of a path to one.

    Raises:
        EngineError: There is no such model or file.
    """
    if model in SHIPPED:
        return WEIGHTS / f"{model}.onnx"
    path = Path(model)
    if path.suffix == ".onnx" and path.is_file():
        return path
    raise EngineError(
        f"model {model!r}: not one of {', '.join(SHIPPED)} and not an .onnx file that exists"
        + _way_to(model)
    )


def load_network(model: str | Path) -> Network:
    """Return the torch network of a shipped model's name, or of a safetensors file, in eval mode.

    Raises:
        EngineError: There is no such model, or the file is not one of ours.
    """
    from engines.models.checkpoint import load_checkpoint

    path = WEIGHTS / f"{model}.safetensors" if str(model) in SHIPPED else Path(model)
    if not path.is_file():
        raise EngineError(f"model {str(model)!r}: {path} does not exist{_way_to(str(model))}")
    return load_checkpoint(path)


def _way_to(model: str) -> str:
    """Return what to do about a tier that has no weights yet; nothing for any other name."""
    if model not in MODELS:
        return ""
    return f"; no weights of {model} ship yet: make them with `demoire train`"
