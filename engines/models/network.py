"""The demoiré network: planes in, the residual to subtract out.

Moiré multiplies the picture by a smooth, locally periodic gain, so the network is built like an
adaptive filter rather than like a painter. A stem turns each 8x8 luma block and its two 4x4 chroma
blocks into `analysis` learned coefficients, a small U-Net with a wide view decides from context
how much of each coefficient is fringe (`gate`) and what to add beside that (`bias`), and a
synthesis layer turns the result back into the residual. All of it is strided and 1x1 convolutions
plus a few 3x3 ones at low resolution: cheap on CPUs, accepted by every compiler.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise, product

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK = 8
"""Luma samples per block side; chroma (4:2:0) has half."""

# Of cosine coefficients against samples.
_GAIN = 4.0


@dataclass(frozen=True)
class NetworkConfig:
    """Size of a tier; a tier is a config, not a second code path."""

    analysis: int = 64
    """Coefficients per block."""
    widths: tuple[int, ...] = (32, 64, 96)
    """Channels at strides 8, 16, 32, ..."""
    depths: tuple[int, ...] = (1, 2, 3)
    """Residual blocks at each stride, on the way down; the way up has one each."""

    def __post_init__(self) -> None:
        if not 5 <= self.analysis <= 80:
            # A fifth each is U's and V's, at most 16 functions of a 4x4 block.
            raise ValueError(f"analysis must be 5..80 coefficients, got {self.analysis}")

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this."""
        return BLOCK << (len(self.widths) - 1)

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def cosine_basis(size: int, count: int) -> Tensor:
    """Return the `count` lowest orthonormal 2-D DCT-II functions, (count, size, size).

    Raises:
        ValueError: There are only size * size of them.
    """
    if count > size * size:
        raise ValueError(f"a {size}x{size} block has {size * size} frequencies, got {count=}")
    k = torch.arange(size, dtype=torch.float64)
    rows = torch.cos(torch.pi * (k[None] + 0.5) * k[:, None] / size) * (2 / size) ** 0.5
    rows[0] /= 2**0.5
    order = sorted((sum(ij), ij) for ij in product(range(size), repeat=2))[:count]
    return torch.stack([torch.outer(rows[i], rows[j]) for _, (i, j) in order]).float()


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around one activation, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        # Starts as the identity: deep stacks train without normalisation layers.
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        out: Tensor = x + self.second(functional.relu(self.first(x)))
        return out


class Network(nn.Module):
    """Planes to residual planes; see the module's docstring for the idea."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        widths, depths = config.widths, config.depths
        self.stem_y = nn.Conv2d(1, config.analysis, BLOCK, stride=BLOCK)
        self.stem_u = nn.Conv2d(1, config.analysis, BLOCK // 2, stride=BLOCK // 2, bias=False)
        self.stem_v = nn.Conv2d(1, config.analysis, BLOCK // 2, stride=BLOCK // 2, bias=False)
        self.enter = nn.Conv2d(config.analysis, widths[0], 1)
        self.enter_energy = nn.Conv2d(config.analysis, widths[0], 1, bias=False)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.encode = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.decode = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.gate = nn.Conv2d(widths[0], config.analysis, 1)
        self.bias = nn.Conv2d(widths[0], config.analysis, 1)
        self.out_y = nn.Conv2d(config.analysis, BLOCK * BLOCK, 1)
        self.out_u = nn.Conv2d(config.analysis, BLOCK * BLOCK // 4, 1)
        self.out_v = nn.Conv2d(config.analysis, BLOCK * BLOCK // 4, 1)
        for layer in (self.gate, self.bias):
            # A fresh network subtracts next to nothing.
            nn.init.normal_(layer.weight, std=1e-2)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self._start_as_cosine_transform()

    @torch.no_grad()
    def _start_as_cosine_transform(self) -> None:
        """Set stem and synthesis to a cosine transform and its inverse, lowest frequencies first.

        From random weights the network stays at "subtract nothing" for thousands of steps; from
        here a gate of 1 already means "this frequency is fringe" (measured: engines/train/LOG.md).
        """
        chroma = self.config.analysis // 5
        luma = self.config.analysis - 2 * chroma
        start = 0
        for stem, out, count in (
            (self.stem_y, self.out_y, luma),
            (self.stem_u, self.out_u, chroma),
            (self.stem_v, self.out_v, chroma),
        ):
            basis = cosine_basis(stem.kernel_size[0], count)
            # Fringes are a hundredth of white: lift them to the size that layers work with, and
            # hold back the mean, which would drown them. On the way out all are alike: means that
            # weighed more would jump with every step of training.
            gain = torch.full((count,), _GAIN)
            gain[0] = 2.0 / stem.kernel_size[0]
            here = slice(start, start + count)
            for layer in (stem, out):
                nn.init.zeros_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            stem.weight[here, 0] = basis * gain[:, None, None]
            out.weight[:, here, 0, 0] = (basis / _GAIN).flatten(1).T
            start += count

    def forward(self, y: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what to subtract.

        Args:
            y: Luma code values over their peak, (N, 1, H, W) in 0..1, H and W multiples of
                `config.multiple`.
            u: Chroma, (N, 1, H/2, W/2), in 0..1 with 0.5 for grey.
            v: As `u`.

        Returns:
            Residuals of the same shapes and unit.
        """
        blocks = self.stem_y(y - 0.5) + self.stem_u(u - 0.5) + self.stem_v(v - 0.5)
        # A coefficient's sign is the fringe's phase, its magnitude how much fringe there is.
        x = self.enter(blocks) + self.enter_energy(blocks.abs())
        x = functional.relu(x)  # (N, C0, H/8, W/8)
        skips = []
        for level, encode in enumerate(self.encode):
            x = encode(x)
            if level < len(self.down):
                skips.append(x)
                x = functional.relu(self.down[level](x))
        for level in reversed(range(len(self.down))):
            x = skips[level] + functional.pixel_shuffle(self.up[level](x), 2)
            x = self.decode[level](x)
        mixed = self.gate(x) * blocks + self.bias(x)  # (N, analysis, H/8, W/8)
        shuffle = functional.pixel_shuffle
        return (
            shuffle(self.out_y(mixed), BLOCK),
            shuffle(self.out_u(mixed), BLOCK // 2),
            shuffle(self.out_v(mixed), BLOCK // 2),
        )


def count_macs(config: NetworkConfig, *, height: int, width: int) -> int:
    """Return multiply-accumulates of one picture, by running the network on meta tensors."""
    total = 0

    def hook(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += output.numel() * layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]

    with torch.device("meta"):
        network = Network(config)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(hook)
        luma = torch.empty(1, 1, height, width)
        chroma = torch.empty(1, 1, height // 2, width // 2)
        network(luma, chroma, chroma)
    return total
