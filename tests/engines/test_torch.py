"""What only the torch back end promises: precision, compilation, memory, and on a GPU more."""

import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `torch`")

import torch
from test_conformance import FORMATS, assert_equal, assert_parity, picture, run

from engines.backends import create_engine
from engines.backends.torch import TorchEngine
from engines.backends.torch_network import (
    NarrowNetwork,
    attempt,
    out_of_memory,
    precision_of,
)
from engines.engine import BACKENDS, DeviceTimed, Moment, PictureFormat, Smoothing
from engines.errors import DeviceMemoryError, EngineError
from engines.evaluate.cases import SimulatedCases
from engines.models import SHIPPED
from engines.models.planes import IntegerPlanes

LEAST_PSNR = 55.0


@pytest.fixture(params=["f16", "bf16"], scope="module")
def narrow(request, small_model):
    engine = TorchEngine(model=str(small_model), precision=request.param, requests=2)
    yield engine
    engine.close()


def test_f32_is_what_a_cpu_computes_in(small_model):
    engine = TorchEngine(model=str(small_model))
    assert engine.info.precision == "f32"
    engine.open(PictureFormat("420", 8, 64, 64)).close()
    assert engine.info.version == f"torch {torch.__version__}, eager"


def test_info_tells_the_precision_that_runs(narrow):
    assert narrow.info.precision == narrow.options.precision
    assert {parameter.dtype for parameter in narrow._network.parameters()} == {
        {"f16": torch.float16, "bf16": torch.bfloat16}[narrow.options.precision]
    }


@pytest.mark.parametrize("picture_format", FORMATS, ids=lambda f: f"{f.layout}-{f.bits}")
def test_narrower_precision_keeps_its_tolerance(narrow, network, picture_format):
    assert_parity(narrow, network, picture_format, picture(picture_format))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (65, 130), (270, 481)])
def test_narrower_precision_takes_any_size(narrow, network, height, width):
    picture_format = PictureFormat("420", 8, width, height)
    assert_parity(narrow, network, picture_format, picture(picture_format))


@pytest.mark.parametrize("picture_format", FORMATS, ids=lambda f: f"{f.layout}-{f.bits}")
def test_narrower_precision_is_bit_exact_at_no_strength(narrow, picture_format):
    planes = picture(picture_format)
    assert_equal(run(narrow, planes, picture_format, 0.0), planes)


def test_narrower_precision_gives_the_same_result_again(narrow):
    picture_format = PictureFormat("420", 10, 200, 120)
    planes = picture(picture_format)
    assert_equal(run(narrow, planes, picture_format), run(narrow, planes, picture_format))


def filmed():
    """Two simulated photographs of screens, 512 x 512, as 8-bit planes of 4:2:0."""
    for case in SimulatedCases(2):
        i420 = cv2.cvtColor(case.picture, cv2.COLOR_RGB2YUV_I420)
        height, width = case.picture.shape[:2]
        chroma = i420[height:].reshape(2, height // 2, width // 2)
        yield i420[:height], chroma[0].copy(), chroma[1].copy()


def psnr_and_worst(found, wanted):
    """Of all planes of several pictures together, in codes of 8 bits."""
    errors = [
        (one.astype(np.float64) - other).ravel()
        for planes in zip(found, wanted, strict=True)
        for one, other in zip(*planes, strict=True)
    ]
    every = np.concatenate(errors)
    return 10 * np.log10(255**2 / np.mean(every**2)), np.abs(every).max()


def cleaned(engine, pictures):
    picture_format = PictureFormat("420", 8, 512, 512)
    return [run(engine, planes, picture_format) for planes in pictures]


@pytest.mark.parametrize("model", SHIPPED)
def test_shipped_networks_lose_nothing_that_shows_in_narrower_precision(model):
    pictures = list(filmed())
    wanted = cleaned(TorchEngine(model=model), pictures)
    assert psnr_and_worst(wanted, pictures)[0] < 45  # there is something to lose
    for precision, worst_allowed in (("f16", 2), ("bf16", 8)):
        found = cleaned(TorchEngine(model=model, precision=precision), pictures)
        psnr, worst = psnr_and_worst(found, wanted)
        assert psnr >= LEAST_PSNR, precision
        assert worst <= worst_allowed, precision


@pytest.mark.parametrize("layout", ["420", "gbr", "gray"])
@pytest.mark.parametrize("bits", [8, 10])
def test_the_module_is_traced_as_a_whole(network, layout, bits):
    """By which `torch.compile` takes all of it; compilation itself is inductor's business."""
    module = IntegerPlanes(NarrowNetwork(network, torch.float32), layout, bits)
    traced = torch.compile(
        module, backend="eager", fullgraph=True, dynamic=False, isolate_recompiles=True
    )
    picture_format = PictureFormat(layout, bits, 128, 64)
    planes = tuple(torch.from_numpy(plane)[None, None] for plane in picture(picture_format))
    with torch.no_grad():
        for wanted, found in zip(
            module(planes, torch.ones(1)), traced(planes, torch.ones(1)), strict=True
        ):
            assert torch.equal(wanted, found)


class Nothing(torch.nn.Module):
    """A network that subtracts nothing."""

    def forward(self, y, u, v):
        return torch.zeros_like(y), torch.zeros_like(u), torch.zeros_like(v)


def test_more_sizes_are_compiled_than_torch_recompiles():
    """Each session's compilation counts for itself; after eight of one function torch refuses."""
    module = IntegerPlanes(Nothing(), "gray", 8)
    for width in range(64, 64 * 11, 64):
        one = torch.compile(
            module, backend="eager", fullgraph=True, dynamic=False, isolate_recompiles=True
        )
        with torch.no_grad():
            (plane,) = one((torch.zeros(1, 1, 64, width, dtype=torch.uint8),), torch.ones(1))
        assert plane.shape[3] == width


def test_a_compiler_that_is_missing_is_named_with_the_way_out(small_model):
    program = (
        "import sys\n"
        "from engines.backends.torch import TorchEngine\n"
        "from engines.engine import PictureFormat\n"
        "from engines.errors import EngineError\n"
        "engine = TorchEngine(model=sys.argv[1], compile='on')\n"
        "try:\n"
        "    engine.open(PictureFormat('gray', 8, 64, 64))\n"
        "except EngineError as error:\n"
        "    print(error)\n"
    )
    # With no C++ compiler inductor compiles for a CPU as little as without Triton for a GPU.
    done = subprocess.run(
        [sys.executable, "-c", program, str(small_model)],
        env={"CXX": "/missing/g++", "PATH": "/missing", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert "compile (torch.compile) does not work here: " in done.stdout, done.stderr
    assert "use compile=auto or compile=off" in done.stdout


def fails():
    raise RuntimeError("no Triton\nand a page of details")


def test_what_does_not_work_is_left_out_and_said_to_be(caplog):
    assert attempt(fails, lambda: "plain", choice="auto", what="compile (torch.compile)") == "plain"
    assert "compile (torch.compile) does not work here, so it is left out: no Triton" in caplog.text
    assert "details" not in caplog.text


def test_what_was_insisted_on_must_work():
    with pytest.raises(EngineError, match=r"graph .*here: no Triton; use graph=auto or graph=off"):
        attempt(fails, lambda: "plain", choice="on", what="graph (a CUDA graph)")


def test_what_was_declined_is_not_tried():
    assert attempt(fails, lambda: "plain", choice="off", what="compile") == "plain"
    assert attempt(lambda: "fast", fails, choice="auto", what="compile") == "fast"


def test_too_little_memory_is_no_reason_to_go_slowly():
    def too_large():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        attempt(too_large, lambda: "plain", choice="auto", what="compile")


def test_memory_that_ran_out_is_recognised_behind_what_it_broke():
    with pytest.raises(RuntimeError, match="the capture was invalidated") as caught:  # noqa: PT012
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            raise RuntimeError("the capture was invalidated")
    assert out_of_memory(caught.value)
    assert out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert not out_of_memory(RuntimeError("an illegal memory access"))
    assert not out_of_memory(ValueError("out of memory"))


def test_too_little_memory_names_format_batch_and_device(small_model):
    engine = TorchEngine(model=str(small_model))
    vast = PictureFormat("420", 8, 1 << 24, 1 << 24)
    with pytest.raises(DeviceMemoryError, match=r"2 picture\(s\) of .*16777216.* on cpu") as caught:
        engine.open(vast, batch=2)
    # Who catches it tries again: nothing that was allocated may hang on the error.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_cuda_graph_needs_cuda(small_model):
    engine = TorchEngine(model=str(small_model), graph="on")
    with pytest.raises(EngineError, match="graph=on needs a CUDA device, got device cpu"):
        engine.open(PictureFormat("420", 8, 64, 64))


@pytest.mark.parametrize("device", ["cuda:99", 99, "99"])
def test_a_device_that_is_not_there_is_named(small_model, device):
    with pytest.raises(EngineError, match=f"torch: device '?{device}"):
        TorchEngine(model=str(small_model), device=device)


def test_a_session_on_a_cpu_claims_no_clock_of_a_device(small_model):
    session = TorchEngine(model=str(small_model)).open(PictureFormat("420", 8, 64, 64))
    assert not isinstance(session, DeviceTimed)
    assert session.depth == 1


def test_weights_of_mixed_types_have_no_precision(network):
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).double())
    with pytest.raises(EngineError, match="the network's weights are of"):
        precision_of(module)
    assert precision_of(network) == "f32"


def test_torch_weights_are_the_onnx_files_twin(small_model):
    engine = TorchEngine(model=str(small_model))
    again = TorchEngine(model=str(small_model.with_suffix(".safetensors")))
    for one, other in zip(engine._network.parameters(), again._network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.needs_cuda
class TestOnAGpu:
    SIZE = PictureFormat("420", 8, 640, 368)

    @pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "identity"])
    @pytest.mark.parametrize("model", SHIPPED)
    def test_every_back_end_is_as_f32(self, backend, model):
        pictures = list(filmed())
        wanted = cleaned(TorchEngine(model=model), pictures)
        options = {"device": "cuda"} if backend == "torch" else {}
        try:
            engine = create_engine(backend, model=model, options=options)
        except EngineError as error:
            pytest.skip(str(error))
        psnr, worst = psnr_and_worst(cleaned(engine, pictures), wanted)
        engine.close()
        assert psnr >= LEAST_PSNR
        assert worst <= 8

    @pytest.mark.parametrize("picture_format", FORMATS, ids=lambda f: f"{f.layout}-{f.bits}")
    def test_every_layout_and_depth_compiled(self, small_model, network, picture_format):
        engine = TorchEngine(model=str(small_model), device="cuda", compile="on", graph="on")
        assert_parity(engine, network, picture_format, picture(picture_format))
        assert engine.info.version.endswith("compiled, CUDA graph")
        assert engine.info.precision == "f16"

    @pytest.mark.parametrize("graph", ["on", "off"])
    @pytest.mark.parametrize("precision", ["f32", "f16", "bf16"])
    def test_requests_in_flight_do_not_mix(self, small_model, precision, graph):
        engine = TorchEngine(
            model=str(small_model), device="cuda", precision=precision, graph=graph
        )
        pictures = [picture(self.SIZE, seed) for seed in range(12)]
        wanted = [run(engine, planes, self.SIZE) for planes in pictures]
        session = engine.open(self.SIZE)
        assert session.depth == 3
        requests, found = [], []
        for planes in pictures:
            if len(requests) == session.depth:
                found += requests.pop(0).result()
            requests.append(session.submit([planes]))
        for request in requests:
            found += request.result()
        session.close()
        for one, other in zip(found, wanted, strict=True):
            assert_equal(one, other)

    def test_smoothing_stays_within_a_level_of_the_cpus(self, small_model):
        smoothing = Smoothing(luma_s=0.15, chroma_s=0.25)
        clips = []
        for device in ("cpu", "cuda"):
            engine = TorchEngine(model=str(small_model), device=device, precision="f32")
            session = engine.open(self.SIZE, smoothing=smoothing)
            moments = [Moment(n / 30) for n in range(8)]
            planes = picture(self.SIZE)
            clips.append([session.submit([planes], moments=[m]).result()[0] for m in moments])
            session.close()
        for one, other in zip(*clips, strict=True):
            for a, b in zip(one, other, strict=True):
                assert np.mean(np.abs(a.astype(int) - b)) < 0.1

    def test_parts_are_timed_on_the_devices_clock(self, small_model):
        session = TorchEngine(model=str(small_model), device="cuda").open(self.SIZE)
        assert isinstance(session, DeviceTimed)
        times = session.device_times(repeats=5)
        for part in (times.copy_in_ms, times.infer_ms, times.copy_out_ms):
            assert len(part) == 5
            assert min(part) > 0
        planes = picture(self.SIZE)
        assert len(session.submit([planes]).result()) == 1

    def test_too_little_memory_is_told_and_given_back(self, small_model):
        engine = TorchEngine(model=str(small_model), device="cuda")
        vast = replace(self.SIZE, width=1 << 18, height=1 << 18)
        free, _ = torch.cuda.mem_get_info()
        with pytest.raises(DeviceMemoryError, match="on cuda:0"):
            engine.open(vast)
        assert torch.cuda.mem_get_info()[0] > free - (64 << 20)
        run(engine, picture(self.SIZE), self.SIZE)

    def test_the_first_picture_waits_for_no_compiler(self, small_model):
        engine = TorchEngine(model=str(small_model), device="cuda")
        engine.open(self.SIZE).close()
        assert engine.info.version.endswith("eager, CUDA graph")
