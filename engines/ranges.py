"""How far the values reach that convolutions read: measured once, for back ends with integers.

Integers of 8 bits have 256 steps for whatever a convolution reads. A range as wide as the largest
value ever seen makes all steps coarse for one value in a million; a narrow one cuts off what is
strongest, often the fringe. Taken is the range of least squared error over simulated pictures, some
three quarters of the largest value. What `nano` makes of real pictures is then 0.092 levels off
(rms; at most 3); with the largest values 0.100 (4), with 99.99th percentiles 0.119 (11).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.evaluate.video import to_planes
from engines.simulate.takes import Show, draw_picture, film_picture
from engines.view import Ranges

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engines.engine import Planes
    from engines.models.network import Network

SIDE = 512
"""Of simulated pictures; a multiple of every network's."""
_PICTURES = 64
_PEAK = 255

# What it reads is nearest to the picture and mostly at rest, on one value a channel: rounded, that
# is off everywhere alike. It is a fiftieth of the products, and 6 dB of `base`'s worst picture.
_KEPT_EXACT = {"down.0"}

_BINS = 8192
_SHARES = np.linspace(0.05, 1.0, 96)
_STEPS = 127, 255  # on one side of zero, with and without values on the other


def simulated_pictures() -> Iterator[Planes]:
    """Yield 64 filmed screens, 8-bit 4:2:0 of `SIDE` squared; half a second each."""
    for seed in range(_PICTURES):
        yield to_planes(film_picture(draw_picture(seed), Show(), height=SIDE, width=SIDE).picture)


def measure_ranges(network: Network, pictures: Iterable[Planes]) -> Ranges:
    """Return the range of least squared error of each 2x2 and 3x3 convolution's input.

    Args:
        network: In eval mode.
        pictures: 8-bit 4:2:0 planes, sides multiples of the network's; held in memory.
    """
    held = [
        [torch.from_numpy(plane)[None, None] / _PEAK for plane in planes] for planes in pictures
    ]
    largest: dict[str, Tensor] = {}
    smallest: dict[str, Tensor] = {}

    def note_ends(name: str, value: Tensor) -> None:
        size = value.abs().max()
        largest[name] = torch.maximum(largest.get(name, size), size)
        smallest[name] = torch.minimum(smallest.get(name, size), value.min())

    _watch(network, held, note_ends)
    counts: dict[str, NDArray[np.float64]] = {}

    def count(name: str, value: Tensor) -> None:
        found = torch.histc(value.abs(), _BINS, 0, float(largest[name])).double().numpy()
        counts[name] = counts.get(name, 0) + found

    _watch(network, held, count)
    ranges: Ranges = {}
    high = 1.0
    for name, size in largest.items():
        signed = bool(smallest[name] < 0)
        if size > 0:  # An activation that never is keeps the range of the one before it.
            high = _least_error(counts[name], float(size), steps=_STEPS[0 if signed else 1])
        ranges[name] = (-high if signed else 0.0, high)
    return ranges


def _watch(
    network: Network, pictures: list[list[Tensor]], see: Callable[[str, Tensor], None]
) -> None:
    """Run the network and show the input of each convolution that matters, in order."""

    def shown_as(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: see(name, inputs[0])

    hooks = [
        layer.register_forward_pre_hook(shown_as(name))
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d)
        and layer.kernel_size != (1, 1)
        and not name.startswith("stem_")
        and name not in _KEPT_EXACT
    ]
    try:
        with torch.inference_mode():
            for picture in pictures:
                network(*picture)
    finally:
        for hook in hooks:
            hook.remove()


def _least_error(counts: NDArray[np.float64], largest: float, *, steps: int) -> float:
    """Return where values of a histogram from 0 to `largest` are best cut off, to 4 digits."""
    values = (np.arange(_BINS) + 0.5) * (largest / _BINS)
    errors = []
    for share in _SHARES:
        step = share * largest / steps
        rounded = np.minimum(np.rint(values / step), steps) * step
        errors.append(counts @ (rounded - values) ** 2)
    return float(f"{_SHARES[np.argmin(errors)] * largest:.4g}")
