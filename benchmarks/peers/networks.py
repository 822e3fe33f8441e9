"""Our network as vs-mlrt takes one: a single float32 picture in, the clean picture out, as ONNX.

Three forms of the same weights:

- `rgb`, (1, 3, H, W) in 0..1, full range, which is how nearly every network for VapourSynth
  is made: converted to BT.709 limited-range 4:2:0, cleaned, and the residual converted back.
- `rgb-folded`, the same interface: as the conversion is linear, it is folded into the first and
  the last convolution. More arithmetic, but fewer passes over large pictures.
- `planes`, (1, 1, 3 H / 2, W): Y above U beside V, codes over 255. Exactly our network.

Run as a script, because a process that has imported torch is too large to start others from.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.models import load_network
from engines.models.network import Network, count_macs
from engines.view import BLOCK, BLUE_SCALE, LUMA, RED_SCALE

if TYPE_CHECKING:
    import onnx

_OPSET = 20
# BT.709 limited range: code / 255 = zero + span * value, luma and chroma.
_LUMA_ZERO, _LUMA_SPAN = 16 / 255, 219 / 255
_CHROMA_ZERO, _CHROMA_SPAN = 128 / 255, 224 / 255
_MIDDLE = 0.5
"""What `Network.forward` takes from each plane first."""


class PlanesForm(nn.Module):
    """The network on one sheet of planes."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, sheet: Tensor) -> Tensor:
        """(1, 1, 3 H / 2, W) -> the same, codes over 255; H and W multiples of the network's."""
        height, middle = sheet.shape[2] * 2 // 3, sheet.shape[3] // 2
        chroma = sheet[:, :, height:]
        y, u, v = self.network(sheet[:, :, :height], chroma[..., :middle], chroma[..., middle:])
        return sheet - torch.cat([y, torch.cat([u, v], 3)], 2)


class RgbForm(nn.Module):
    """The network on RGB between two conversions."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        matrix = _yuv_of_rgb()
        self.to_yuv, self.to_rgb = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1, bias=False)
        assert self.to_yuv.bias is not None
        with torch.no_grad():
            self.to_yuv.weight.copy_(matrix[:, :, None, None])
            self.to_yuv.bias.copy_(torch.tensor([_LUMA_ZERO, _CHROMA_ZERO, _CHROMA_ZERO]))
            self.to_rgb.weight.copy_(torch.linalg.inv(matrix)[:, :, None, None])

    def forward(self, rgb: Tensor) -> Tensor:
        """(1, 3, H, W) -> the same, 0..1; H and W multiples of the network's."""
        yuv = self.to_yuv(rgb)
        chroma = functional.avg_pool2d(yuv[:, 1:], 2)
        y, u, v = self.network(yuv[:, :1], chroma[:, :1], chroma[:, 1:])
        chroma = functional.interpolate(torch.cat([u, v], 1), scale_factor=2.0)
        out: Tensor = rgb - self.to_rgb(torch.cat([y, chroma], 1))
        return out


def _yuv_of_rgb() -> Tensor:
    """Return the matrix from RGB in 0..1 to codes over 255, without their zeros."""
    weights = torch.tensor(LUMA)
    blue, red = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0])
    u = _CHROMA_SPAN / BLUE_SCALE * (blue - weights)
    v = _CHROMA_SPAN / RED_SCALE * (red - weights)
    return torch.stack([_LUMA_SPAN * weights, u, v])


class RgbFoldedForm(nn.Module):
    """The network on RGB, its first and last convolution of RGB themselves.

    Equal to `RgbForm`, whose average over 2x2 pixels and whose repetition of the residual's
    chroma are linear as well.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.stem = _stem(network)
        self.trunk = copy.deepcopy(network)
        self.trunk.stem_y = _HalfMore()  # type: ignore[assignment]
        self.trunk.stem_u = _Nothing()  # type: ignore[assignment]
        self.trunk.stem_v = _Nothing()  # type: ignore[assignment]
        self.trunk.out_y = _out(network)

    def forward(self, rgb: Tensor) -> Tensor:
        """(1, 3, H, W) -> the same, 0..1; H and W multiples of the network's."""
        blocks = self.stem(rgb)
        # What the trunk makes of `out_u` and `out_v` is no output, so exporting drops it.
        residual: Tensor = self.trunk(blocks, blocks, blocks)[0]
        return rgb - residual


class _HalfMore(nn.Module):
    """Undo the middle that `Network.forward` takes off before its stem."""

    def forward(self, blocks: Tensor) -> Tensor:
        return blocks + _MIDDLE


class _Nothing(nn.Module):
    def forward(self, _blocks: Tensor) -> float:
        return 0.0


@torch.no_grad()
def _stem(network: Network) -> nn.Conv2d:
    """Return the three stems as one convolution of RGB."""
    luma = network.stem_y.weight
    # An average over 2x2 pixels before a 4x4 kernel is an 8x8 kernel.
    blue, red = (
        stem.weight.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
        for stem in (network.stem_u, network.stem_v)
    )
    kernels = torch.stack([luma[:, 0], blue[:, 0], red[:, 0]], 1)  # (analysis, 3, 8, 8)
    stem = nn.Conv2d(3, luma.shape[0], BLOCK, stride=BLOCK)
    assert network.stem_y.bias is not None
    assert stem.bias is not None
    bias = network.stem_y.bias + (_LUMA_ZERO - _MIDDLE) * luma.sum((1, 2, 3))
    bias = bias + (_CHROMA_ZERO - _MIDDLE) * (blue + red).sum((1, 2, 3))
    stem.weight.copy_(torch.einsum("apij,pc->acij", kernels, _yuv_of_rgb()))
    stem.bias.copy_(bias)
    return stem


@torch.no_grad()
def _out(network: Network) -> nn.Conv2d:
    """Return the three last layers as one whose channels `pixel_shuffle` lays out as RGB."""
    row, column = torch.arange(BLOCK)[:, None] // 2, torch.arange(BLOCK)[None] // 2
    repeated = (row * (BLOCK // 2) + column).flatten()
    out = nn.Conv2d(network.config.analysis, 3 * BLOCK * BLOCK, 1)
    back = torch.linalg.inv(_yuv_of_rgb())
    for name in ("weight", "bias"):
        y, u, v = (getattr(layer, name) for layer in (network.out_y, network.out_u, network.out_v))
        planes = torch.stack([y, u[repeated], v[repeated]])
        getattr(out, name).copy_(torch.einsum("cp,p...->c...", back, planes).flatten(0, 1))
    return out


FORMS: dict[str, type[PlanesForm | RgbForm | RgbFoldedForm]] = {
    "rgb": RgbForm,
    "rgb-folded": RgbFoldedForm,
    "planes": PlanesForm,
}


def shape_of(form: str, *, height: int, width: int) -> tuple[int, int, int, int]:
    """Return what the form takes for a padded picture."""
    return (1, 1, height * 3 // 2, width) if form == "planes" else (1, 3, height, width)


def export(network: Network, path: Path, *, form: str, height: int, width: int) -> int:
    """Write a form as ONNX of static shape and return its multiply-accumulates for a picture."""
    import onnx

    module = FORMS[form](network).eval()
    picture = torch.zeros(shape_of(form, height=height, width=width))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own use of its deprecated names
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            module,
            (picture,),
            input_names=["input"],
            output_names=["output"],
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return onnx_macs(model)


def onnx_macs(model: onnx.ModelProto) -> int:
    """Return the multiply-accumulates of a model's convolutions, which are all it computes with."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = (*inferred.value_info, *inferred.output)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    weights = {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    shapes |= weights
    total = 0
    for node in inferred.node:
        if node.op_type == "Conv":
            _, inputs, *kernel = shapes[node.input[1]]
            outputs = torch.Size(shapes[node.output[0]]).numel()
            total += outputs * inputs * torch.Size(kernel).numel()
    return total


def main() -> None:
    """Export what the options ask for and print what it is as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano", help="as `demoire clean --model`")
    parser.add_argument("--form", choices=FORMS, required=True)
    parser.add_argument("--size", required=True, help="of the video, e.g. 1920x1080")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    network = load_network(options.model)
    multiple = network.config.multiple
    width, height = (-(-int(side) // multiple) * multiple for side in options.size.split("x"))
    macs = export(network, options.out, form=options.form, height=height, width=width)
    own_macs = count_macs(network.config, height=height, width=width)
    print(json.dumps({"multiple": multiple, "macs": macs, "own_macs": own_macs}))


if __name__ == "__main__":
    main()
