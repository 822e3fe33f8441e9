"""Arrays of either library: NumPy's on the host, torch's on the host or on a GPU.

The chain is written once. What is elementwise goes through the Python array API
(`array_api_compat`), what that lacks is in `primitives`; a stage's results are of the library and
on the device of what it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from array_api_compat import array_namespace, device, to_device
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", NDArray[Any], "torch.Tensor")
"""What a stage takes and returns, the same throughout a call."""

Device = Literal["cpu", "cuda"]
"""Where the chain is computed: `cpu` by NumPy and OpenCV, `cuda` by torch on the GPU."""


def move(values: NDArray[Any], *, like: Array) -> Array:
    """Return a table that NumPy made in the library, and on the device, of `like`."""
    moved: Array = array_namespace(like).asarray(values, device=device(like))
    return moved


def to_gpu(values: NDArray[Any]) -> torch.Tensor:
    """Return a copy on the GPU, of the same dtype; needs torch and a GPU."""
    import torch

    return torch.tensor(values, device="cuda")


def to_host(array: Array) -> NDArray[Any]:
    """Return the array as NumPy's; no copy where it is on the host already."""
    return np.asarray(to_device(array, "cpu"))


def centres(length: int, *, like: Array, oversampling: int = 1) -> Array:
    """Return where samples lie along an axis, in pixels from its middle, (length * s,) float32.

    Args:
        length: Pixels.
        like: For library and device.
        oversampling: Samples s per pixel.
    """
    step = 1 / oversampling
    places = (np.arange(length * oversampling) + 0.5) * step - length / 2
    return move(places.astype(np.float32), like=like)


def look_up(table: NDArray[Any], index: Array) -> Array:
    """Return the table's entry, or row, for each index: (N, ...) to (*index.shape, ...).

    Args:
        table: Small, as NumPy made it.
        index: int32, each in 0..N-1.
    """
    xp = array_namespace(index)
    entries = xp.take(move(table, like=index), xp.reshape(index, (-1,)), axis=0)
    found: Array = xp.reshape(entries, (*index.shape, *table.shape[1:]))
    return found
