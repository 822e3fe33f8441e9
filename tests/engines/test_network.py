"""The network: its shapes, its start as a cosine transform, its size, and its file."""

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import torch
from safetensors.torch import save_file

from engines.engine import EngineError
from engines.models import MODELS, load_network, model_path
from engines.models.checkpoint import load_checkpoint, save_checkpoint
from engines.models.network import Network, NetworkConfig, cosine_basis, count_macs

SMALL = NetworkConfig(analysis=10, widths=(4, 6), depths=(0, 1))
BANDED = NetworkConfig(analysis=10, widths=(4, 6, 8), depths=(0, 1, 1), bands=True)
TIERS = {name: NetworkConfig(**values) for name, values in MODELS.items()}


def picture(height=64, width=128, *, count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(height, width), (height // 2, width // 2), (height // 2, width // 2)]
    return [torch.rand(count, 1, *shape, generator=generator) for shape in shapes]


def fresh(config, seed=0):
    torch.manual_seed(seed)
    return Network(config).eval()


@pytest.mark.parametrize(
    "config", [SMALL, BANDED, *TIERS.values()], ids=["small", "banded", *TIERS]
)
def test_residuals_have_the_shapes_of_the_planes(config):
    planes = picture(config.multiple, 2 * config.multiple)
    with torch.inference_mode():
        residuals = fresh(config)(*planes)
    assert [r.shape for r in residuals] == [p.shape for p in planes]
    assert all(r.dtype == torch.float32 for r in residuals)


@pytest.mark.parametrize("config", TIERS.values(), ids=TIERS)
def test_fresh_network_subtracts_next_to_nothing(config):
    with torch.inference_mode():
        for residual in fresh(config)(*picture()):
            assert 0 < residual.square().mean().sqrt() < 0.03


def test_synthesis_starts_as_the_inverse_of_the_stem():
    # 80 coefficients are all 16 of each chroma block and the lowest 48 of luma.
    network = fresh(NetworkConfig(analysis=80, widths=(4,), depths=(0,)))
    y, u, v = picture()
    y = y[..., ::8, ::8].repeat_interleave(8, 2).repeat_interleave(8, 3)  # nothing but low ones
    with torch.no_grad():
        network.gate.weight.zero_()
        network.bias.weight.zero_()
        network.gate.bias.fill_(1.0)  # "all of it is fringe"
        network.gate.bias[[0, 48, 64]] = torch.tensor([16.0, 8.0, 8.0])  # means come in smaller
        residuals = network(y, u, v)
    for plane, residual in zip((y, u, v), residuals, strict=True):
        torch.testing.assert_close(residual, plane - 0.5, atol=1e-5, rtol=0)


def test_closed_bands_change_nothing():
    plain = fresh(NetworkConfig(analysis=10, widths=(4, 6, 8), depths=(0, 1, 1)))
    banded = fresh(BANDED, seed=1)
    missing, unexpected = banded.load_state_dict(plain.state_dict(), strict=False)
    assert all(name.startswith("bands.") for name in missing)
    assert not unexpected
    planes = picture()
    with torch.inference_mode():
        for a, b in zip(plain(*planes), banded(*planes), strict=True):
            torch.testing.assert_close(a, b)


def waves(period, *, side=384):
    """Grey with a sine of `period` luma samples along rows, alike in all three planes."""
    phase = 2 * torch.pi * torch.arange(side) / period
    wave = 0.5 + 0.1 * torch.sin(phase).expand(1, 1, side, side)
    return wave, wave[..., ::2, ::2], wave[..., ::2, ::2]


@pytest.mark.parametrize("period", [24, 40, 64])
def test_open_bands_take_long_waves_and_leave_the_mean(period):
    network = fresh(NetworkConfig(analysis=64, widths=(4,) * 4, depths=(0,) * 4, bands=True))
    with torch.no_grad():
        for layer in (network.gate, network.bias):
            layer.weight.zero_()
        for gate in network.bands.gate:
            gate.bias.fill_(1.0)
        planes = waves(period)
        residuals = network(*planes)
    for plane, residual in zip(planes, residuals, strict=True):
        inner = slice(64 * plane.shape[-1] // 384, -64 * plane.shape[-1] // 384)
        left = (plane - residual)[..., inner]
        assert left.std() < 0.6 * plane.std()
        assert left.mean() == pytest.approx(0.5, abs=0.01)


def test_bands_of_flat_pictures_are_empty():
    network = fresh(BANDED)
    blocks = torch.rand(1, 10, 1, 1).expand(1, 10, 8, 12)
    for band in network.bands.analyse(blocks):
        assert band.abs().max() < 1e-5


def test_bands_need_a_coarser_scale():
    with pytest.raises(ValueError, match=r"two scales or more, got self\.widths=\(4,\)"):
        NetworkConfig(widths=(4,), depths=(0,), bands=True)


def test_blocks_are_looked_at_in_context():
    torch.manual_seed(0)
    network = Network(SMALL)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        planes = picture(64, 64, count=1)
        base = network(*planes)[0]
        planes[0][..., :8, :8] += 0.3
        changed = (network(*planes)[0] - base).abs() > 1e-6
    assert changed[..., :8, :8].all()
    assert changed[..., 8:16, 8:16].any()


@pytest.mark.parametrize(("size", "count"), [(8, 64), (4, 16), (8, 40), (4, 1)])
def test_cosine_basis_is_orthonormal(size, count):
    basis = cosine_basis(size, count).flatten(1)
    assert basis.shape == (count, size * size)
    torch.testing.assert_close(basis @ basis.T, torch.eye(count), atol=1e-6, rtol=0)


def test_cosine_basis_starts_with_the_mean_and_rises_in_frequency():
    basis = cosine_basis(8, 64)
    torch.testing.assert_close(basis[0], torch.full((8, 8), 1 / 8))
    changes = basis.diff(dim=1).abs().sum((1, 2)) + basis.diff(dim=2).abs().sum((1, 2))
    assert changes[1:4].max() < changes[-4:].min()


def test_cosine_basis_has_no_more_functions_than_samples():
    with pytest.raises(ValueError, match=r"4x4 block has 16 frequencies, got count=17"):
        cosine_basis(4, 17)


@pytest.mark.parametrize(("levels", "multiple"), [(1, 8), (2, 16), (3, 32), (4, 64)])
def test_sides_are_multiples_of_the_coarsest_stride(levels, multiple):
    config = NetworkConfig(widths=(4,) * levels, depths=(0,) * levels)
    assert config.multiple == multiple


def test_nano_stays_within_its_budget():
    macs = count_macs(TIERS["nano"], height=1088, width=1920)
    assert 2.0e9 < macs < 3.0e9


def test_macs_grow_with_the_picture():
    once, four_times = (count_macs(SMALL, height=h, width=w) for h, w in ((64, 64), (128, 128)))
    assert four_times == 4 * once


def test_macs_of_one_convolution_are_counted_by_hand():
    config = NetworkConfig(analysis=5, widths=(2,), depths=(0,))
    stem = 5 * 64 + 2 * 5 * 16  # one block: three strided convolutions,
    middle = 2 * 5 * 2 + 2 * 2 * 5  # enter twice, gate and bias,
    synthesis = 5 * (64 + 16 + 16)
    assert count_macs(config, height=8, width=8) == stem + middle + synthesis


def test_checkpoint_gives_back_config_and_half_precision_weights(tmp_path):
    network, path = fresh(SMALL), tmp_path / "small.safetensors"
    save_checkpoint(network, path)
    loaded = load_checkpoint(path)
    assert loaded.config == SMALL
    assert not loaded.training
    for name, weights in network.state_dict().items():
        found = loaded.state_dict()[name]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, weights.half().float(), atol=0, rtol=0)
    assert [file.name for file in tmp_path.iterdir()] == ["small.safetensors"]


def test_loaded_checkpoint_is_saved_as_the_same_bytes(tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    save_checkpoint(fresh(SMALL), first)
    save_checkpoint(load_checkpoint(first), second)
    assert first.read_bytes() == second.read_bytes()


def test_checkpoint_loads_by_its_path(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_checkpoint(fresh(SMALL), path)
    assert load_network(path).config == load_network(str(path)).config == SMALL


def test_file_that_is_no_safetensors_is_refused(tmp_path):
    path = tmp_path / "picture.safetensors"
    path.write_bytes(b"not weights at all")
    with pytest.raises(EngineError, match=r"picture\.safetensors: not a safetensors file"):
        load_checkpoint(path)


def test_weights_of_another_program_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(EngineError, match=r"other\.safetensors: no network config"):
        load_checkpoint(path)


@pytest.mark.parametrize("load", [load_network, model_path])
def test_tier_without_weights_says_how_to_make_them(load, monkeypatch):
    monkeypatch.setitem(MODELS, "giant", MODELS["nano"])
    with pytest.raises(EngineError, match=r"no weights of giant ship yet: .* `demoire train`"):
        load("giant")


def test_unknown_models_are_named():
    with pytest.raises(EngineError, match=r"model 'gone': gone does not exist"):
        load_network("gone")
    with pytest.raises(EngineError, match=r"'huge': not one of nano.* not an \.onnx file"):
        model_path("huge")
