"""Choosing a back end."""

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from engines.backends import builds, create_engine, nvidia, probe_backends
from engines.backends.identity import IdentityEngine
from engines.engine import BACKENDS, EngineInfo, PictureFormat
from engines.errors import EngineError

ROOT = Path(__file__).parents[2]


NO_DRIVER = "no NVIDIA driver (libcuda.so.1 is not there)"


def no_gpu():
    raise EngineError(NO_DRIVER)


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(nvidia, "gpu_names", no_gpu)


@pytest.fixture
def with_gpu(monkeypatch):
    monkeypatch.setattr(nvidia, "gpu_names", lambda: ("a GPU",))


@pytest.fixture
def placed(monkeypatch):
    """Back ends that open on the devices in `Placed.works`, for every name that `auto` tries."""
    import test_backends  # what BACKENDS names; this very file is another module to pytest

    for name in ("tensorrt", "torch", "openvino"):
        monkeypatch.setitem(BACKENDS, name, f"test_backends:Placed{name.title()}")
    monkeypatch.setattr(test_backends.Placed, "works", set())
    monkeypatch.setattr(test_backends.Placed, "tried", [])
    return test_backends.Placed


class Placed(IdentityEngine):
    works: ClassVar[set[str]] = set()
    tried: ClassVar[list[str]] = []
    name = ""

    def __init__(self, *, model, device=None):
        super().__init__()
        where = self.name if device is None else f"{self.name} on {device}"
        self.tried.append(where)
        if where not in self.works:
            raise EngineError(f"{where} is broken")
        self.info = replace(self.info, backend=self.name, device=where)


class PlacedTensorrt(Placed):
    name = "tensorrt"


class PlacedTorch(Placed):
    name = "torch"


class PlacedOpenvino(Placed):
    name = "openvino"


ORDER = ["tensorrt", "torch on cuda", "openvino", "torch on cpu"]


@pytest.mark.usefixtures("with_gpu")
@pytest.mark.parametrize("works", ORDER)
def test_auto_prefers_a_gpu_then_openvino(placed, works, caplog):
    placed.works |= set(ORDER[ORDER.index(works) :])
    with caplog.at_level(logging.INFO, logger="engines.backends"):
        engine = create_engine()
    assert engine.info.device == works
    assert placed.tried == ORDER[: ORDER.index(works) + 1]
    said = [record.getMessage() for record in caplog.records]
    assert said[:-1] == [
        f"engine {one} does not open: {one} is broken" for one in placed.tried[:-1]
    ]
    assert said[-1].startswith(f"engine {engine.info.backend}: - in - on {works}")


@pytest.mark.usefixtures("without_gpu")
def test_auto_without_a_driver_tries_no_gpu_and_says_why(placed, caplog):
    placed.works |= set(ORDER)
    with caplog.at_level(logging.INFO, logger="engines.backends"):
        assert create_engine().info.device == "openvino"
    assert placed.tried == ["openvino"]
    (record,) = caplog.records
    assert record.getMessage().endswith(f"; no GPU: {NO_DRIVER}")


@pytest.mark.usefixtures("without_gpu")
def test_auto_lists_every_reason(placed):
    with pytest.raises(EngineError) as caught:
        create_engine()
    assert str(caught.value) == (
        f"no back end opens with model 'nano'; tensorrt: {NO_DRIVER}; torch on cuda: {NO_DRIVER};"
        " openvino: openvino is broken; torch on cpu: torch on cpu is broken"
    )


@pytest.mark.usefixtures("with_gpu")
def test_auto_takes_a_device_and_keeps_to_it(placed):
    placed.works |= {"torch on 1", "openvino"}
    assert create_engine(device="1").info.device == "torch on 1"
    assert placed.tried == ["tensorrt on 1", "torch on 1"]
    placed.works -= {"torch on 1"}
    with pytest.raises(EngineError, match="openvino: device 1: openvino on 1 is broken"):
        create_engine(device="1")


def test_auto_takes_openvino_on_a_machine_without_a_gpu(small_model, caplog):
    try:
        nvidia.gpu_names()
    except EngineError:
        pass
    else:
        pytest.skip("this machine has a GPU")
    with caplog.at_level(logging.INFO, logger="engines.backends"):
        engine = create_engine("auto", model=str(small_model))
    assert engine.info.backend == "openvino"
    assert "engine openvino:" in caplog.text
    engine.close()


@pytest.mark.usefixtures("train_extra", "without_gpu")
def test_auto_goes_on_to_the_next_and_says_why(small_model, caplog):
    model = small_model.with_suffix(".safetensors")  # which OpenVINO cannot read
    with caplog.at_level(logging.INFO, logger="engines.backends"):
        engine = create_engine("auto", model=str(model))
    assert engine.info.backend == "torch"
    assert "engine openvino does not open: model" in caplog.text
    engine.close()


def test_auto_never_takes_identity(tmp_path):
    missing = str(tmp_path / "missing.onnx")
    with pytest.raises(
        EngineError, match=r"no back end opens with model .*openvino: .*; torch on cpu"
    ):
        create_engine("auto", model=missing)


def test_auto_takes_no_options():
    with pytest.raises(EngineError, match=r"engine.options \(threads\) belong to one back end"):
        create_engine("auto", options={"threads": 2})


def test_an_unknown_name_lists_the_known(small_model):
    with pytest.raises(EngineError, match=r"engine 'cuda': not one of auto, .*openvino"):
        create_engine("cuda", model=str(small_model))


@pytest.mark.usefixtures("train_extra", "without_gpu")
def test_probing_tells_of_every_back_end(small_model):
    found = dict(probe_backends(model=str(small_model)))
    assert {name.partition(" ")[0] for name in found} >= set(BACKENDS)
    assert found["torch on cuda"] == NO_DRIVER
    for name in ("openvino", "torch on cpu", "identity"):
        info = found[name]
        assert isinstance(info, EngineInfo)
        assert info.backend == name.partition(" ")[0]


def test_probing_gives_the_reason(tmp_path):
    found = dict(probe_backends(model=str(tmp_path / "missing.onnx")))
    assert "missing.onnx" in str(found["openvino"])
    assert isinstance(found["identity"], EngineInfo)


def test_missing_torch_names_the_extra(small_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "engines.backends.torch", raising=False)
    with pytest.raises(EngineError, match=r"pip install 'demoire\[torch\]'"):
        create_engine("torch", model=str(small_model))


@pytest.mark.usefixtures("small_model")
def test_auto_on_a_cpu_imports_no_torch():
    script = (
        "import sys\n"
        "from engines.backends import create_engine, nvidia\n"
        "from engines.errors import EngineError\n"
        "def no_gpu(): raise EngineError('no GPU')\n"
        "nvidia.gpu_names = no_gpu\n"
        "print(create_engine('auto').info.backend, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "openvino False"


def test_openvino_needs_no_torch(small_model):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from engines.backends import create_engine\n"
        "print(create_engine('openvino', model=sys.argv[1]).info.backend)"
    )
    command = [sys.executable, "-c", script, str(small_model)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "openvino"


class Building(IdentityEngine):
    builds: ClassVar[bool] = True

    def __init__(self, *, model, on_build=None):
        super().__init__()
        if on_build is not None:
            on_build(f"an engine for {model}", 0.0)
            on_build(f"an engine for {model}", 1.0)


def test_who_builds_engines_is_told_whom_to_tell(monkeypatch):
    monkeypatch.setitem(BACKENDS, "building", "test_backends:Building")
    told = []
    create_engine("building", on_build=lambda what, share: told.append((what, share)))
    assert told == [("an engine for nano", 0.0), ("an engine for nano", 1.0)]
    create_engine("identity", on_build=lambda what, share: told.append((what, share)))
    assert len(told) == 2
    assert builds("building")
    assert not builds("identity")
    with pytest.raises(EngineError, match="engine 'cuda': not one of"):
        builds("cuda")


@pytest.mark.parametrize(
    ("options", "depth"), [({}, 1), ({"requests": 2}, 2)], ids=["as wished", "as an option says"]
)
def test_requests_in_flight_are_as_wished_unless_an_option_says(small_model, options, depth):
    engine = create_engine("openvino", model=str(small_model), options=options, requests=1)
    assert engine.open(PictureFormat("420", 8, 64, 64)).depth == depth
    engine.close()


def test_who_has_one_request_in_flight_is_not_told_how_many():
    assert create_engine("identity", requests=3).info.backend == "identity"


class Stumbles(IdentityEngine):
    closed: ClassVar[int] = 0

    def open(self, picture_format, *, smoothing=None, batch=None):
        raise EngineError("no kernel for this GPU")

    def close(self):
        type(self).closed += 1


def test_an_engine_that_cleans_no_picture_is_closed(monkeypatch):
    import test_backends

    monkeypatch.setitem(BACKENDS, "stumbles", "test_backends:Stumbles")
    monkeypatch.setattr(test_backends.Stumbles, "closed", 0)
    with pytest.raises(EngineError, match="no kernel for this GPU"):
        create_engine("stumbles")
    assert test_backends.Stumbles.closed == 1


@pytest.mark.parametrize("device", ["cuda", "teapot"])
def test_a_device_that_torch_has_not_is_named(small_model, device):
    torch = pytest.importorskip("torch", reason="needs the extra `torch`")
    if torch.cuda.is_available() and device == "cuda":
        pytest.skip("this machine has CUDA")
    with pytest.raises(EngineError, match=f"torch: device '{device}'"):
        create_engine("torch", model=str(small_model), options={"device": device})


def test_opening_openvino_sends_no_usage_statistics():
    program = (
        "import sys, threading\n"
        "from engines.backends import create_engine\n"
        "create_engine('openvino').close()\n"
        "print(sys.modules['openvino_telemetry'], threading.active_count())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["None", "1"], done.stderr
