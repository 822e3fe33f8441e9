"""The demoiré network: planes in, the residual to subtract out.

Moiré multiplies the picture by a smooth, locally periodic gain, so the network is built like an
adaptive filter rather than like a painter. A stem turns each 8x8 luma block and its two 4x4 chroma
blocks into `analysis` learned coefficients, a small U-Net with a wide view decides from context
how much of each coefficient is fringe (`gate`) and what to add beside that (`bias`), and a
synthesis layer turns the result back into the residual. Fringes longer than a block lie in the
blocks' means: those are split into bands that are gated as well (`MeanBands`). All of it is strided
and 1x1 convolutions plus a few 3x3 ones at low resolution: cheap on CPUs, accepted by every
compiler.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise, product
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from engines.view import BLOCK

# Of a block's cosine coefficients against orthonormal ones; of its mean against that in samples.
_GAIN = 4.0
_MEAN_GAIN = 2.0
# Of the means, once more, where they are split into bands.
_LIFT = 4.0


@dataclass(frozen=True)
class NetworkConfig:
    """Size of a tier; a tier is a config, not a second code path."""

    analysis: int = 64
    """Coefficients per block."""
    widths: tuple[int, ...] = (32, 64, 96)
    """Channels at strides 8, 16, 32, ..."""
    depths: tuple[int, ...] = (1, 2, 3)
    """Residual blocks at each stride, on the way down; the way up has one each."""
    bands: bool = False
    """Whether the means of blocks are split into bands that are gated, see `MeanBands`."""

    def __post_init__(self) -> None:
        if not 5 <= self.analysis <= 80:
            # A fifth each is U's and V's, at most 16 functions of a 4x4 block.
            raise ValueError(f"analysis must be 5..80 coefficients, got {self.analysis}")
        if self.bands and len(self.widths) < 2:
            raise ValueError(f"bands lie between two scales or more, got {self.widths=}")

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


class MeanBands(nn.Module):
    """The means of blocks as a Laplacian pyramid, each band gated at its own scale.

    A fringe longer than a block lies in the blocks' means. To add its negative, a network would
    have to carry its phase to a hundredth of white through every layer; to let a gate take what is
    there, it only has to know that it is fringe.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        widths = config.widths[:-1]  # the coarsest scale has no coarser one to differ from
        planes = 3
        self.split = nn.Conv2d(config.analysis, planes, 1, bias=False)
        self.enter = nn.ModuleList(nn.Conv2d(planes, width, 1, bias=False) for width in widths)
        self.enter_energy = nn.ModuleList(
            nn.Conv2d(planes, width, 1, bias=False) for width in widths
        )
        self.gate = nn.ModuleList(nn.Conv2d(width, planes, 1) for width in widths)
        self.join = nn.Conv2d(planes, config.analysis, 1, bias=False)
        for layer in (*self.enter, *self.enter_energy, *self.gate):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
        self._start_with_means(config.analysis)

    @torch.no_grad()
    def _start_with_means(self, analysis: int) -> None:
        """Take the lowest cosine coefficient of each plane, lifted, and put it back as it was."""
        nn.init.zeros_(self.split.weight)
        nn.init.zeros_(self.join.weight)
        for plane, (start, side) in enumerate(
            zip(_starts(analysis), (BLOCK, BLOCK // 2, BLOCK // 2), strict=True)
        ):
            self.split.weight[plane, start] = _LIFT
            self.join.weight[start, plane] = _GAIN / _MEAN_GAIN / _LIFT * side

    def analyse(self, blocks: Tensor) -> list[Tensor]:
        """(N, analysis, H/8, W/8) coefficients to one (N, 3, ., .) band each, finest first."""
        bands, means = [], self.split(blocks)
        for _ in self.gate:
            coarser = functional.avg_pool2d(means, 2)
            bands.append(means - _double(coarser))
            means = coarser
        return bands

    def look(self, band: Tensor, level: int) -> Tensor:
        """Return what the encoder of a level sees of its band: sign and magnitude."""
        # One convolution: of three channels each, two cost twice the time of six.
        layers = (self.enter[level], self.enter_energy[level])
        weight = torch.cat([cast(Tensor, layer.weight) for layer in layers], 1)
        return functional.conv2d(torch.cat([band, band.abs()], 1), weight)

    def take(self, band: Tensor, level: int, x: Tensor, coarser: Tensor | None) -> Tensor:
        """Return what to subtract from the means down to this level."""
        taken: Tensor = self.gate[level](x) * band
        return taken if coarser is None else taken + _double(coarser)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _starts(analysis: int) -> tuple[int, int, int]:
    """Return where the coefficients of Y, U and V begin."""
    chroma = analysis // 5
    return 0, analysis - 2 * chroma, analysis - chroma


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
        self.bands = MeanBands(config) if config.bands else None
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
            gain[0] = _MEAN_GAIN / stem.kernel_size[0]
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
        x = self.enter(blocks) + self.enter_energy(blocks.abs())  # (N, C0, H/8, W/8)
        bands = self.bands.analyse(blocks) if self.bands is not None else []
        skips = []
        for level, encode in enumerate(self.encode):
            if self.bands is not None and level < len(bands):
                x = x + self.bands.look(bands[level], level)
            x = encode(functional.relu(x))
            if level < len(self.down):
                skips.append(x)
                x = self.down[level](x)
        taken = None
        for level in reversed(range(len(self.down))):
            x = skips[level] + functional.pixel_shuffle(self.up[level](x), 2)
            x = self.decode[level](x)
            if self.bands is not None:
                taken = self.bands.take(bands[level], level, x, taken)
        mixed = self.gate(x) * blocks + self.bias(x)  # (N, analysis, H/8, W/8)
        if self.bands is not None:
            mixed = mixed + self.bands.join(taken)
        shuffle = functional.pixel_shuffle
        return (
            shuffle(self.out_y(mixed), BLOCK),
            shuffle(self.out_u(mixed), BLOCK // 2),
            shuffle(self.out_v(mixed), BLOCK // 2),
        )


def count_macs(config: NetworkConfig, *, height: int, width: int) -> int:
    """Return multiply-accumulates of one picture, by running the network on meta tensors."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        luma = torch.empty(1, 1, height, width)
        chroma = torch.empty(1, 1, height // 2, width // 2)
        Network(config)(luma, chroma, chroma)
    return int(counter.get_total_flops()) // 2
