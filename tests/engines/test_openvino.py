"""What only the OpenVINO back end promises."""

import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from engines.backends.openvino import OpenVinoEngine
from engines.backends.openvino_edges import edges_of
from engines.backends.openvino_quiet import core, ov
from engines.engine import CHROMA_SHIFT, PictureFormat
from engines.errors import EngineError
from engines.models import SHIPPED, model_path

CAN_BF16 = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
# A CPU that only emulates bf16 can, but OpenVINO does not choose it there.
PREFERS_BF16 = core().get_property("CPU", "INFERENCE_PRECISION_HINT") == ov.Type.bf16


def noise(picture_format, seed=0, low=0, high=None):
    rng = np.random.default_rng(seed)
    top = picture_format.peak if high is None else high
    return tuple(
        rng.integers(low, top + 1, shape, dtype=picture_format.dtype)
        for shape in picture_format.plane_shapes
    )


@pytest.mark.parametrize(("layout", "bits"), list(product(CHROMA_SHIFT, (8, 10, 16))))
def test_edges_are_those_of_the_module(small_model, network, layout, bits):
    import torch

    from engines.models.planes import IntegerPlanes

    picture_format = PictureFormat(layout, bits, 64, 32)
    pictures = [noise(picture_format, seed) for seed in range(2)]
    planes = [torch.from_numpy(np.stack(parts)[:, None]) for parts in zip(*pictures, strict=True)]
    with torch.inference_mode():
        module = IntegerPlanes(network, layout, bits)
        wanted = module(tuple(planes), torch.ones(1))
    edges = edges_of(picture_format, picture_format.plane_shapes)
    graph = edges.build(core().read_model(small_model), len(pictures), int8=False)
    compiled = core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inputs = [np.empty(port.shape, picture_format.dtype) for port in compiled.inputs[:-1]]
    for number, picture in enumerate(pictures):
        edges.write(picture, inputs, number)
    outputs = list(compiled([*inputs, np.ones(1, np.float32)]).values())
    found = [edges.read(outputs, number) for number in range(len(pictures))]
    for cleaned, tensor in zip(zip(*found, strict=True), wanted, strict=True):
        difference = np.abs(np.stack(cleaned).astype(int) - tensor.numpy()[:, 0].astype(int))
        assert difference.max() <= 1
        assert np.count_nonzero(difference) <= (0.02 if bits == 16 else 1e-3) * difference.size


def page_under_fringes(picture_format):
    """4:2:0 planes of a grey page under fringes of 24 luma samples, a different phase each."""
    planes = []
    for index, (height, width) in enumerate(picture_format.plane_shapes):
        period = 24 * width / picture_format.width
        phase = 2 * np.pi * (np.arange(width) / period + index / 3)
        plane = (190, 128, 128)[index] + 12 * np.sin(phase)
        planes.append(np.broadcast_to(np.rint(plane).astype(np.uint8), (height, width)))
    return tuple(planes)


@pytest.mark.skipif(not CAN_BF16, reason="this CPU has no bf16")
@pytest.mark.parametrize("model", SHIPPED)
def test_bf16_differs_from_f32_by_rounding_alone(model):
    # Large enough for the kernels that run on real pictures; on small ones others are chosen.
    picture_format = PictureFormat("420", 8, 384, 256)
    planes = page_under_fringes(picture_format)
    found = {}
    for precision in ("bf16", "f32"):
        session = OpenVinoEngine(model=model, precision=precision).open(picture_format)
        found[precision] = session.submit([planes]).result()[0]
    for plane, given, wanted in zip(found["bf16"], planes, found["f32"], strict=True):
        error = np.abs(plane.astype(int) - wanted.astype(int))
        assert error.mean() < 0.5
        assert np.abs(given.astype(int) - wanted.astype(int)).mean() > 4 * error.mean()


def test_the_precision_is_read_from_the_compiled_graph(small_model):
    assert OpenVinoEngine(model=str(small_model), precision="f32").info.precision == "f32"


@pytest.mark.skipif(not PREFERS_BF16, reason="this CPU has no bf16")
def test_auto_takes_bf16_where_the_cpu_has_it(small_model):
    assert OpenVinoEngine(model=str(small_model)).info.precision == "bf16+int8"


@pytest.mark.skipif(CAN_BF16, reason="this CPU has bf16")
def test_bf16_is_refused_where_the_cpu_has_it_not(small_model):
    with pytest.raises(EngineError, match="precision bf16 was asked for, but this CPU runs f32"):
        OpenVinoEngine(model=str(small_model), precision="bf16")


@pytest.mark.parametrize("layout", CHROMA_SHIFT)
def test_the_last_bits_of_16_survive_whatever_the_network_runs_in(small_model, layout):
    # A gain this small moves no code by more than one; in bf16 most would land 100 codes off.
    picture_format = PictureFormat(layout, 16, 64, 64)
    planes = noise(picture_format, low=1000, high=60000)
    session = OpenVinoEngine(model=str(small_model)).open(picture_format)
    (cleaned,) = session.submit([planes], strength=1e-5).result()
    session.close()
    for before, after in zip(planes, cleaned, strict=True):
        assert np.abs(after.astype(int) - before).max() <= 1


@pytest.mark.parametrize(("layout", "bits"), [("420", 8), ("420", 10), ("gbr", 16)])
def test_a_network_that_finds_nothing_changes_nothing(small_model, tmp_path, layout, bits):
    onnx = pytest.importorskip("onnx", reason="needs the extra `train`")
    model = onnx.load(small_model)
    for tensor in model.graph.initializer:
        if ".out_" in tensor.name:
            zeros = np.zeros(tuple(tensor.dims), np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(zeros, tensor.name))
    onnx.save(model, tmp_path / "zero.onnx")
    picture_format = PictureFormat(layout, bits, 70, 50)
    planes = noise(picture_format)
    session = OpenVinoEngine(model=str(tmp_path / "zero.onnx")).open(picture_format)
    (cleaned,) = session.submit([planes]).result()
    session.close()
    for before, after in zip(planes, cleaned, strict=True):
        np.testing.assert_array_equal(after, before)


def test_sizes_that_pad_to_the_same_share_a_graph(small_model):
    engine = OpenVinoEngine(model=str(small_model))
    for width, height in [(128, 128), (97, 128), (100, 110)]:
        engine.open(PictureFormat("420", 8, width, height)).close()
    assert len(engine._compiled) == 2  # a small one from the start, and 128x128


def test_old_graphs_make_room(small_model):
    engine = OpenVinoEngine(model=str(small_model))
    for size in range(1, 8):
        engine.open(PictureFormat("gray", 8, 32 * size, 32)).close()
    assert len(engine._compiled) == 4


@pytest.mark.parametrize("requests", [1, 3])
def test_depth_is_the_number_of_requests(small_model, requests):
    session = OpenVinoEngine(model=str(small_model), requests=requests, threads=1).open(
        PictureFormat("420", 8, 32, 32)
    )
    assert session.depth == requests
    session.close()


def test_all_requests_but_one_are_computed_at_the_same_time(small_model):
    engine = OpenVinoEngine(model=str(small_model), requests=3)
    compiled = engine.compiled_for(PictureFormat("420", 8, 64, 64))
    _, most = core().get_property("CPU", "RANGE_FOR_STREAMS")
    assert compiled.get_property("NUM_STREAMS") == min(2, most)


@pytest.mark.skipif(not PREFERS_BF16, reason="this CPU has no bf16")
@pytest.mark.parametrize(
    ("layout", "bits", "precision"),
    [("420", 8, "bf16+int8"), ("gray", 8, "bf16+int8"), ("420", 10, "bf16"), ("gbr", 8, "bf16")],
)
def test_bytes_are_multiplied_by_int8(small_model, layout, bits, precision):
    engine = OpenVinoEngine(model=str(small_model), precision="bf16")
    engine.open(PictureFormat(layout, bits, 64, 64)).close()
    assert engine.info.precision == precision


def test_a_closed_session_says_so(small_model):
    picture_format = PictureFormat("420", 8, 32, 32)
    session = OpenVinoEngine(model=str(small_model)).open(picture_format)
    session.close()
    with pytest.raises(EngineError, match="the session is closed; open another one"):
        session.submit([noise(picture_format)])


def test_compiled_models_are_kept_where_asked(small_model, tmp_path):
    OpenVinoEngine(model=str(small_model), cache_dir=tmp_path)
    assert list(tmp_path.glob("*.blob"))


def test_a_shipped_model_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("engines.models.WEIGHTS", tmp_path)
    with pytest.raises(EngineError, match=r"nano.onnx does not exist; write it with `demoire exp"):
        OpenVinoEngine()


def test_a_file_that_is_not_onnx_is_named(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(EngineError, match=r"broken.onnx: OpenVINO cannot read it"):
        OpenVinoEngine(model=str(path))


def test_somebody_elses_onnx_is_refused(small_model, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the extra `train`")
    model = onnx.load(small_model)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(EngineError, match=r"other.onnx: not written by `demoire export`"):
        OpenVinoEngine(model=str(tmp_path / "other.onnx"))


@pytest.mark.parametrize("layout", ["420", "444"])
def test_a_file_without_the_names_to_cut_at_is_refused(small_model, layout):
    exported = core().read_model(small_model)
    exported.reshape({"y": [1, 1, 64, 64], "u": [1, 1, 32, 32], "v": [1, 1, 32, 32]})
    for node in exported.get_ops():
        for output in node.outputs():
            if "residual_u" in output.get_names():
                output.set_names({"renamed"})
    picture_format = PictureFormat(layout, 8, 64, 64)
    edges = edges_of(picture_format, picture_format.plane_shapes)
    with pytest.raises(EngineError, match=r"no value named residual_u; write .*demoire export"):
        edges.build(exported, 1, int8=False)


def test_a_file_without_the_names_to_cut_at_opens_no_engine(small_model, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the extra `train`")
    model = onnx.load(small_model)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == "residual_u":
                    names[index] = "renamed"
    onnx.save(model, tmp_path / "renamed.onnx")
    with pytest.raises(EngineError, match=r"no value named residual_u.*demoire export"):
        OpenVinoEngine(model=str(tmp_path / "renamed.onnx"))


def test_the_shipped_nano_changes_little_of_a_plain_picture():
    assert model_path("nano").is_file()
    picture_format = PictureFormat("420", 8, 320, 180)
    planes = tuple(np.full(shape, 120, np.uint8) for shape in picture_format.plane_shapes)
    session = OpenVinoEngine().open(picture_format)
    (cleaned,) = session.submit([planes]).result()
    session.close()
    for plane in cleaned:
        assert np.abs(plane.astype(int) - 120).mean() < 2


ENGINES_COME_AND_GO = """
import signal

from engines.backends.openvino import OpenVinoEngine

caught = []
signal.signal(signal.SIGINT, lambda *_: caught.append(True))
first, second = OpenVinoEngine(), OpenVinoEngine()
del first
del second
signal.raise_signal(signal.SIGINT)
print("caught", caught)
"""


def test_ctrl_c_is_survived_after_engines_have_come_and_gone():
    found = subprocess.run(
        [sys.executable, "-c", ENGINES_COME_AND_GO], capture_output=True, text=True
    )
    assert found.stdout == "caught [True]\n", found
