"""The ONNX file: what is in it, and that it computes what the module does."""

import re

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra `train`")
pytest.importorskip("torch", reason="needs the extra `train`")

import onnx
import torch

from engines.backends.openvino_int8 import read_ranges
from engines.backends.openvino_quiet import core
from engines.engine import EngineError
from engines.export import INPUTS, OUTPUTS, export_onnx
from engines.models.network import Network, NetworkConfig
from engines.models.planes import IntegerPlanes
from engines.view import MULTIPLE_KEY, RANGES_KEY, RESIDUALS, VIEW

TINY = NetworkConfig(analysis=8, widths=(4, 4), depths=(0, 0))


class TwoFaced(Network):
    """Answers otherwise while it is exported, as a miscompiled network would."""

    def forward(self, y, u, v):
        ry, ru, rv = super().forward(y, u, v)
        return ry + (0.1 if torch.compiler.is_exporting() else 0.0), ru, rv


def test_inputs_and_outputs_are_integer_planes(small_model):
    graph = onnx.load(small_model).graph
    byte, real = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    types = {value.name: value.type.tensor_type.elem_type for value in graph.input}
    assert types == dict(zip(INPUTS, (byte, byte, byte, real), strict=True))
    assert {v.name: v.type.tensor_type.elem_type for v in graph.output} == dict.fromkeys(
        OUTPUTS, byte
    )


def test_sizes_are_free(small_model):
    sizes = [
        dimension.dim_param or dimension.dim_value
        for value in onnx.load(small_model).graph.input[:2]
        for dimension in value.type.tensor_type.shape.dim
    ]
    assert sizes == ["n", 1, "32*h", "32*w", "n", 1, "16*h", "16*w"]


def test_values_to_cut_at_have_their_names(small_model):
    made = {name for node in onnx.load(small_model).graph.node for name in node.output}
    assert made >= {*VIEW, *RESIDUALS}


def test_the_multiple_is_in_the_metadata(small_model, network):
    properties = {p.key: p.value for p in onnx.load(small_model).metadata_props}
    assert properties == {MULTIPLE_KEY: str(network.config.multiple)}


def test_ranges_are_read_back_by_the_names_of_weights(network, small_model, tmp_path):
    path = tmp_path / "ranged.onnx"
    export_onnx(network, path, ranges={"down.1": (-1.25, 1.25), "decode.0.second": (0.0, 0.1234)})
    assert read_ranges(core().read_model(path)) == {
        "planes.network.down.1.weight": (-1.25, 1.25),
        "planes.network.decode.0.second.weight": (0.0, 0.1234),
    }
    with_ranges, without = onnx.load(path), onnx.load(small_model)
    assert [p.key for p in with_ranges.metadata_props] == [MULTIPLE_KEY, RANGES_KEY]
    del with_ranges.metadata_props[1]
    assert with_ranges == without


def test_without_ranges_none_are_read(small_model):
    assert read_ranges(core().read_model(small_model)) == {}


def test_nothing_in_the_file_tells_where_it_was_made(small_model):
    text = small_model.read_bytes()
    assert not re.search(rb"\.py|stack_trace|File \"", text)


def test_the_same_weights_give_the_same_bytes(small_model, network, tmp_path):
    export_onnx(network, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == small_model.read_bytes()


@pytest.mark.parametrize(("height", "width", "count"), [(32, 32, 1), (96, 160, 1), (64, 32, 3)])
def test_the_file_agrees_with_the_module(small_model, network, height, width, count):
    rng = np.random.default_rng(0)
    shapes = [(height, width), (height // 2, width // 2), (height // 2, width // 2)]
    planes = [rng.integers(0, 256, (count, 1, *shape), dtype=np.uint8) for shape in shapes]
    strength = np.array([0.7], np.float32)
    with torch.inference_mode():
        module = IntegerPlanes(network, "420", 8)
        wanted = module(tuple(map(torch.from_numpy, planes)), torch.from_numpy(strength))
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    found = core().compile_model(small_model, "CPU", config)([*planes, strength])
    for name, tensor in zip(OUTPUTS, wanted, strict=True):
        difference = np.abs(found[name].astype(int) - tensor.numpy())
        assert difference.max() <= 1
        assert np.count_nonzero(difference) <= 1e-3 * difference.size


def test_a_file_that_disagrees_is_not_written(tmp_path):
    with pytest.raises(EngineError, match="disagree on y_out by up to"):
        export_onnx(TwoFaced(TINY), tmp_path / "wrong.onnx")
    assert list(tmp_path.iterdir()) == []
