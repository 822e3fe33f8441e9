"""The comparison with peers: that they run our network, and that a failed one cannot pass."""

import importlib
import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
BENCH = "import sys; sys.stderr.write('bench: utime=1s stime=1s rtime=2.5s')"


@pytest.fixture
def peers(monkeypatch):
    """Import a module of the benchmark by its name, as the scripts do."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.syspath_prepend(BENCHMARKS / "peers")
    return importlib.import_module


@pytest.fixture
def networks(peers):
    for extra in ("torch", "onnx", "onnxscript"):
        pytest.importorskip(extra, reason="needs the extra `train`")
    return peers("networks")


@pytest.fixture
def network():
    """A network of the shipped kind whose residual is not small."""
    import torch

    from engines.models.network import Network, NetworkConfig

    torch.manual_seed(5)
    made = Network(NetworkConfig(analysis=20, widths=(8, 8), depths=(1, 1), bands=True))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


def limited_rgb(y, u, v):
    """Return RGB in 0..1 of BT.709 limited-range codes over 255, every plane (1, 1, H, W)."""
    luma, blue, red = (y * 255 - 16) / 219, (u * 255 - 128) / 224, (v * 255 - 128) / 224
    r, b = luma + 1.5748 * red, luma + 1.8556 * blue
    return (r, (luma - 0.2126 * r - 0.0722 * b) / 0.7152, b)


def picture(height=32, width=48):
    """Return planes of codes over 255, chroma half as large, that vary."""
    import torch

    generator = torch.Generator().manual_seed(3)
    y = 0.3 + 0.4 * torch.rand(1, 1, height, width, generator=generator)
    u, v = (0.4 + 0.2 * torch.rand(2, 1, 1, height // 2, width // 2, generator=generator)).unbind()
    return y, u, v


def test_planes_form_is_the_network(networks, network):
    import torch

    y, u, v = picture()
    with torch.inference_mode():
        sheet = networks.PlanesForm(network)(torch.cat([y, torch.cat([u, v], 3)], 2))
        residuals = network(y, u, v)
    assert max(float(residual.abs().max()) for residual in residuals) > 0.05
    torch.testing.assert_close(sheet[:, :, :32], y - residuals[0])
    torch.testing.assert_close(sheet[:, :, 32:, :24], u - residuals[1])
    torch.testing.assert_close(sheet[:, :, 32:, 24:], v - residuals[2])


@pytest.mark.parametrize("form", ["rgb", "rgb-folded"])
def test_rgb_forms_are_the_network_between_conversions(networks, network, form):
    import torch

    y, *chroma = picture()
    u, v = (plane.repeat_interleave(2, 2).repeat_interleave(2, 3) for plane in chroma)
    rgb = torch.cat(limited_rgb(y, u, v), 1)
    with torch.inference_mode():
        found = networks.FORMS[form](network).eval()(rgb)
        ry, *rest = network(y, *chroma)
    ru, rv = (plane.repeat_interleave(2, 2).repeat_interleave(2, 3) for plane in rest)
    wanted = torch.cat(limited_rgb(y - ry, u - ru, v - rv), 1)
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("form", ["rgb", "rgb-folded", "planes"])
def test_export_computes_what_the_form_does(networks, network, form, tmp_path):
    import torch

    from engines.backends.openvino_quiet import core

    path = tmp_path / "network.onnx"
    networks.export(network, path, form=form, height=32, width=48)
    given = torch.rand(networks.shape_of(form, height=32, width=48))
    compiled = core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.inference_mode():
        wanted = networks.FORMS[form](network).eval()(given).numpy()
    np.testing.assert_allclose(compiled([given.numpy()])[0], wanted, rtol=0, atol=1e-4)


def test_macs_of_the_export_are_those_of_the_network(networks, tmp_path):
    from engines.models import load_network
    from engines.models.network import count_macs

    nano = load_network("nano")
    size = {"height": 128, "width": 192}
    own = count_macs(nano.config, **size)
    found = {
        form: networks.export(nano, tmp_path / form, form=form, **size) for form in networks.FORMS
    }
    assert found["planes"] == own
    assert own < found["rgb"] < 1.02 * own
    assert own < found["rgb-folded"] < 1.15 * own


def clip_of(path, *, codes):
    """Write a lossless clip of flat frames, one for each code."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for code in codes:
            flat = np.full((72, 64), code, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(flat, format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def test_peer_that_does_nothing_is_found_out(peers, tmp_path):
    picture = peers("picture")
    source = clip_of(tmp_path / "source.mkv", codes=(100, 120))
    ours = clip_of(tmp_path / "ours.mkv", codes=(104, 124))
    found = picture.compare(source, ours, source)
    assert (found["taken_rms"], found["taken_by_peer_rms"]) == (4, 0)
    with pytest.raises(SystemExit, match=r"differs by 4\.00 levels where demoire took 4\.00"):
        picture.require_clean("rgb", found)


def test_peer_that_cleans_passes(peers, tmp_path):
    picture = peers("picture")
    source = clip_of(tmp_path / "source.mkv", codes=(100, 120))
    ours = clip_of(tmp_path / "ours.mkv", codes=(110, 130))
    found = picture.compare(source, ours, clip_of(tmp_path / "peer.mkv", codes=(109, 129)))
    picture.require_clean("rgb", found)
    assert found["differs_of_taken"] == pytest.approx(0.1)


def test_peer_that_loses_a_frame_is_refused(peers, tmp_path, capfd):
    source = clip_of(tmp_path / "source.mkv", codes=(100, 120))
    ours = clip_of(tmp_path / "ours.mkv", codes=(104, 124))
    peer = clip_of(tmp_path / "peer.mkv", codes=(104,))
    with pytest.raises(SystemExit, match="cannot be compared"):
        peers("picture").compare(source, ours, peer)
    assert "different frames" in capfd.readouterr().err


def test_pipe_adds_up_what_both_processes_cost(peers):
    write = [sys.executable, "-c", "print('x' * 1000)"]
    read = [sys.executable, "-c", f"{BENCH}; assert len(sys.stdin.read()) == 1001"]
    run = peers("contenders").run_pipe(write, read, variables=os.environ)
    assert run.pipeline_s == 2.5
    assert run.wall_s > 0
    assert run.cpu_s > 0
    assert run.peak_rss_mb > 2 * 4  # two interpreters


@pytest.mark.parametrize("failing", ["producer", "encoder"])
def test_pipe_names_the_process_that_failed(peers, failing):
    good, bad = (
        [sys.executable, "-c", BENCH],
        [sys.executable, "-c", "raise SystemExit('out of film')"],
    )
    commands = (bad, good) if failing == "producer" else (good, bad)
    with pytest.raises(SystemExit, match="failed with 1:\nout of film"):
        peers("contenders").run_pipe(*commands, variables=os.environ)


def test_encoder_without_its_time_is_refused(peers):
    quiet = [sys.executable, "-c", ""]
    with pytest.raises(SystemExit, match="is it version 5"):
        peers("contenders").run_pipe(quiet, quiet, variables=os.environ)
