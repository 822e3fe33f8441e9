"""Write the network as ONNX: the one file that every back end without torch reads."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from engines.engine import EngineError
from engines.models.planes import IntegerPlanes
from engines.view import MULTIPLE_KEY, RANGES_KEY, RESIDUALS, VIEW, Ranges

if TYPE_CHECKING:
    import onnx

    from engines.models.network import Network

INPUTS = ("y", "u", "v", "strength")
OUTPUTS = ("y_out", "u_out", "v_out")

# TensorRT 10 and OpenVINO 2026 both parse it; nothing in the graph needs a later one.
_OPSET = 20

# Both compute in float32, so only sums within rounding error of a half can fall the other way.
_TOLERATED_LEVELS = 1
_TOLERATED_SHARE = 1e-3

# Below this a tensor is a bias or a scalar: its bytes do not matter.
_HALVED_FROM = 1024


class _Exported(nn.Module):
    """8-bit 4:2:0, with the values between edges and network as outputs so that they get names."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.planes = IntegerPlanes(network, "420", 8)

    def forward(self, y: Tensor, u: Tensor, v: Tensor, strength: Tensor) -> tuple[Tensor, ...]:
        codes = tuple(plane.to(torch.float32) for plane in (y, u, v))
        view = self.planes.view(codes)
        residuals = self.planes.network(*view)
        cleaned = self.planes.subtract(codes, self.planes.spread(residuals), strength)
        return (*cleaned, *view, *residuals)


def export_onnx(network: Network, path: Path, *, ranges: Ranges | None = None) -> None:
    """Write `network` between 8-bit 4:2:0 planes as ONNX; complete and checked, or not at all.

    Inputs are `y` (N, 1, H, W), `u` and `v` (N, 1, H/2, W/2), uint8, any N, H and W being
    multiples of the network's, and `strength`, float32 (1,); outputs are `y_out`, `u_out`,
    `v_out`. Back ends that take other layouts and depths cut the graph at `engines.view.VIEW` and
    `RESIDUALS` and build their own edges. The same weights and ranges give the same bytes.

    Args:
        network: What is written.
        path: Of the file.
        ranges: Of `engines.ranges.measure_ranges`; without, the file only runs in floating point.

    Raises:
        EngineError: The file and `network` disagree by more than one level, or by one level on
            more than a thousandth of the samples.
    """
    import onnx

    network = network.eval()
    model = _halve(_tidy(_convert(network)))
    model.metadata_props.add(key=MULTIPLE_KEY, value=str(network.config.multiple))
    if ranges:
        model.metadata_props.add(key=RANGES_KEY, value=_as_json(ranges))
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    _check(network, content)
    partial = path.with_suffix(".part")
    partial.write_bytes(content)
    partial.rename(path)


def _as_json(ranges: Ranges) -> str:
    return json.dumps({f"planes.network.{name}.weight": ends for name, ends in ranges.items()})


def _convert(network: Network) -> onnx.ModelProto:
    """Return what torch makes of the network."""
    multiple = network.config.multiple
    n, h, w = torch.export.Dim("n"), torch.export.Dim("h"), torch.export.Dim("w")
    luma = {0: n, 2: multiple * h, 3: multiple * w}
    chroma = {0: n, 2: multiple // 2 * h, 3: multiple // 2 * w}
    with warnings.catch_warnings():
        # torch's own use of its deprecated names, and a remark that U and V share their sizes.
        warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")
        warnings.filterwarnings("ignore", "# The axis name")
        program = torch.onnx.export(
            _Exported(network).eval(),
            (*_picture(multiple, (2, 3)), torch.ones(1)),
            input_names=INPUTS,
            output_names=(*OUTPUTS, *VIEW, *RESIDUALS),
            dynamic_shapes=(luma, chroma, dict(chroma), None),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _picture(multiple: int, tiles: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return two pictures of noise, `tiles` times the multiple high and wide."""
    generator = torch.Generator().manual_seed(0)
    height, width = (multiple * count for count in tiles)
    shapes = ((height, width), (height // 2, width // 2), (height // 2, width // 2))
    y, u, v = (
        torch.randint(0, 256, (2, 1, *shape), generator=generator, dtype=torch.uint8)
        for shape in shapes
    )
    return y, u, v


def _tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its real outputs only, and without traces of how it was exported."""
    real = [output for output in model.graph.output if output.name in OUTPUTS]
    del model.graph.output[:]
    model.graph.output.extend(real)
    # The exporter records stack traces, hence paths of the machine it ran on.
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    entries = (*model.graph.node, *model.graph.initializer, *model.graph.input, *real)
    for entry in entries:
        del entry.metadata_props[:]
        entry.doc_string = ""
    return model


def _halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store weights that half precision holds exactly, as a checkpoint's are, in half the bytes.

    Compilers fold the casts away, so what runs is the same.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _HALVED_FROM:
            continue
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _check(network: Network, content: bytes) -> None:
    """Raise unless OpenVINO gets from the file what torch gets from the network."""
    from engines.backends.openvino_quiet import core

    inputs = (*_picture(network.config.multiple, (3, 2)), torch.ones(1))
    with torch.inference_mode():
        wanted = IntegerPlanes(network, "420", 8)(inputs[:3], inputs[3])
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core().compile_model(core().read_model(content), "CPU", config)
    found = compiled([tensor.numpy() for tensor in inputs])
    for name, tensor in zip(OUTPUTS, wanted, strict=True):
        difference = np.abs(found[name].astype(np.int16) - tensor.numpy().astype(np.int16))
        share = np.count_nonzero(difference) / difference.size
        if difference.max() > _TOLERATED_LEVELS or share > _TOLERATED_SHARE:
            raise EngineError(
                f"export: ONNX and network disagree on {name} by up to {difference.max()} levels,"
                f" on {share:.2%} of the samples; this combination of torch and openvino"
                " versions miscompiles the network"
            )
