"""Choosing a back end."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from engines.backends import create_engine, probe_backends
from engines.engine import BACKENDS, EngineInfo
from engines.errors import EngineError

ROOT = Path(__file__).parents[2]


def test_auto_takes_the_first_that_works_and_says_so(small_model, caplog):
    with caplog.at_level(logging.INFO, logger="engines.backends"):
        engine = create_engine("auto", model=str(small_model))
    assert engine.info.backend == next(iter(BACKENDS))
    assert f"engine {engine.info.backend}:" in caplog.text
    engine.close()


@pytest.mark.usefixtures("train_extra")
def test_auto_goes_on_to_the_next_and_says_why(small_model, caplog, monkeypatch):
    monkeypatch.setitem(BACKENDS, "openvino", "engines.backends.torch:TorchEngine")
    monkeypatch.setitem(BACKENDS, "torch", "engines.backends.openvino:OpenVinoEngine")
    model = small_model.with_suffix(".safetensors")
    with caplog.at_level(logging.INFO, logger="engines.backends"):
        engine = create_engine("auto", model=str(model))
    assert engine.info.backend == "torch"
    engine.close()


def test_auto_never_takes_identity(tmp_path):
    missing = str(tmp_path / "missing.onnx")
    with pytest.raises(EngineError, match=r"no back end opens with model .*openvino: .*; torch: "):
        create_engine("auto", model=missing)


def test_auto_takes_no_options():
    with pytest.raises(EngineError, match=r"engine.options \(threads\) belong to one back end"):
        create_engine("auto", options={"threads": 2})


def test_an_unknown_name_lists_the_known(small_model):
    with pytest.raises(EngineError, match="engine 'cuda': not one of auto, openvino, torch"):
        create_engine("cuda", model=str(small_model))


@pytest.mark.usefixtures("train_extra")
def test_probing_tells_of_every_back_end(small_model):
    found = dict(probe_backends(model=str(small_model)))
    assert list(found) == list(BACKENDS)
    for name, info in found.items():
        assert isinstance(info, EngineInfo)
        assert info.backend == name


def test_probing_gives_the_reason(tmp_path):
    found = dict(probe_backends(model=str(tmp_path / "missing.onnx")))
    assert "missing.onnx" in str(found["openvino"])
    assert isinstance(found["identity"], EngineInfo)


def test_missing_torch_names_the_extra(small_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "engines.backends.torch", raising=False)
    with pytest.raises(EngineError, match=r"pip install 'demoire\[torch\]'"):
        create_engine("torch", model=str(small_model))


def test_openvino_needs_no_torch(small_model):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from engines.backends import create_engine\n"
        "print(create_engine('auto', model=sys.argv[1]).info.backend)"
    )
    command = [sys.executable, "-c", script, str(small_model)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "openvino"


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
