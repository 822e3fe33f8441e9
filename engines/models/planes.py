"""Integer planes in, integer planes out: what every back end's graph must compute around a network.

The network looks at 4:2:0 and answers with a residual. This module is the reference for the rest:
how each layout becomes that view, how the residual finds its way back to planes of any size and
depth, and how it is subtracted so that nothing else changes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.engine import Layout
from engines.view import BLUE_SCALE, GREEN_OF_U, GREEN_OF_V, LUMA, RED_SCALE, chroma_window


class IntegerPlanes(nn.Module):
    """A network between integer planes of one layout and depth.

    A residual of zero, or a strength of zero, returns the input bit for bit at every depth:
    float32 holds 16-bit codes exactly and the difference is rounded once, in the input's own unit.

    Args:
        network: A `Network`, or what takes and returns float32 as one does.
        layout: Of the planes.
        bits: Of a sample.
    """

    def __init__(self, network: nn.Module, layout: Layout, bits: int) -> None:
        super().__init__()
        self.network = network
        self.layout: Layout = layout
        self.peak = (1 << bits) - 1
        self.dtype = torch.uint8 if bits == 8 else torch.uint16

    def forward(self, planes: tuple[Tensor, ...], strength: Tensor) -> tuple[Tensor, ...]:
        """Return the cleaned planes, of the same shapes and type.

        Args:
            planes: Codes, (N, 1, H, W) each, uint8 or uint16 as `bits` says, in the layout's
                order; luma height and width are multiples of the network's `config.multiple`,
                chroma is smaller by exactly the layout's subsampling.
            strength: Share of the residual to subtract, float32 (1,), 0 to 1.
        """
        codes = tuple(plane.to(torch.float32) for plane in planes)
        residuals = self.network(*self.view(codes))
        return self.subtract(codes, self.spread(residuals), strength)

    def view(self, codes: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the network looks at: Y, U and V in 0..1, chroma half as wide and high."""
        units = tuple(code * (1 / self.peak) for code in codes)
        if self.layout == "gray":
            grey = torch.full_like(functional.avg_pool2d(units[0], 2), 0.5)
            return units[0], grey, grey
        if self.layout == "gbr":
            green, blue, red = units
            y = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
            u = functional.avg_pool2d(blue - y, 2) * (1 / BLUE_SCALE) + 0.5
            v = functional.avg_pool2d(red - y, 2) * (1 / RED_SCALE) + 0.5
            return y, u, v
        y, u, v = units
        window = chroma_window(self.layout)
        if window == (1, 1):
            return y, u, v
        return y, functional.avg_pool2d(u, window), functional.avg_pool2d(v, window)

    def spread(self, residuals: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Return the residual of each plane at the plane's own size.

        Chroma is scaled up bilinearly: the network saw averages of its samples, so the residual
        is smooth, and nearest would print it as 2x2 steps on flat colour.
        """
        y, u, v = residuals
        if self.layout == "gray":
            return (y,)
        window = chroma_window(self.layout)
        if window != (1, 1):
            factor = (float(window[0]), float(window[1]))
            u = functional.interpolate(u, scale_factor=factor, mode="bilinear")
            v = functional.interpolate(v, scale_factor=factor, mode="bilinear")
        if self.layout != "gbr":
            return y, u, v
        green = y + GREEN_OF_U * u + GREEN_OF_V * v
        return green, y + BLUE_SCALE * u, y + RED_SCALE * v

    def subtract(
        self, codes: tuple[Tensor, ...], residuals: tuple[Tensor, ...], strength: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the integer planes, rounded once (half to even) and clamped."""
        gain = strength * float(self.peak)
        return tuple(
            (code - residual * gain).round().clamp(0, self.peak).to(self.dtype)
            for code, residual in zip(codes, residuals, strict=True)
        )
