"""`IntegerPlanes` around networks whose residual is known."""

from itertools import product

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import torch
from torch import nn

from engines.engine import CHROMA_SHIFT, PictureFormat
from engines.models.planes import IntegerPlanes

LAYOUTS = list(CHROMA_SHIFT)
DEPTHS = (8, 9, 10, 12, 14, 16)


class Constant(nn.Module):
    """Answers every picture with the same residual for each of Y, U and V."""

    def __init__(self, *residual: float) -> None:
        super().__init__()
        self.residual = residual
        self.seen: tuple[torch.Tensor, ...] = ()

    def forward(self, *view: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.seen = view
        return tuple(torch.full_like(x, r) for x, r in zip(view, self.residual, strict=True))


class Slope(nn.Module):
    """A chroma residual that rises by one code of 255 for each sample to the right."""

    def forward(self, y, u, v):
        rising = torch.arange(u.shape[3]).expand_as(u) / 255
        return torch.zeros_like(y), rising, torch.zeros_like(v)


def noise(layout: str, bits: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    picture_format = PictureFormat(layout, bits, 64, 32)
    generator = torch.Generator().manual_seed(seed)
    planes = [
        torch.randint(0, picture_format.peak + 1, (2, 1, *shape), generator=generator)
        for shape in picture_format.plane_shapes
    ]
    return tuple(plane.to(torch.uint8 if bits == 8 else torch.uint16) for plane in planes)


def flat(layout: str, *codes: int) -> tuple[torch.Tensor, ...]:
    shapes = PictureFormat(layout, 8, 64, 32).plane_shapes
    return tuple(
        torch.full((1, 1, *shape), code, dtype=torch.uint8)
        for shape, code in zip(shapes, codes, strict=True)
    )


def apply(network, layout, bits, planes, strength=1.0):
    return IntegerPlanes(network, layout, bits)(planes, torch.tensor([strength]))


@pytest.mark.parametrize(("layout", "bits"), list(product(LAYOUTS, DEPTHS)))
def test_no_residual_is_bit_exact(layout, bits):
    planes = noise(layout, bits)
    for before, after in zip(planes, apply(Constant(0, 0, 0), layout, bits, planes), strict=True):
        assert after.dtype == before.dtype
        assert torch.equal(after, before)


@pytest.mark.parametrize(("layout", "bits"), list(product(LAYOUTS, DEPTHS)))
def test_no_strength_is_bit_exact(layout, bits):
    planes = noise(layout, bits)
    cleaned = apply(Constant(0.3, -0.2, 0.1), layout, bits, planes, strength=0.0)
    for before, after in zip(planes, cleaned, strict=True):
        assert torch.equal(after, before)


@pytest.mark.parametrize("layout", ["420", "422", "444"])
def test_each_plane_loses_its_own_residual(layout):
    cleaned = apply(Constant(10 / 255, -20 / 255, 30 / 255), layout, 8, flat(layout, 100, 90, 80))
    for plane, code in zip(cleaned, (90, 110, 50), strict=True):
        assert torch.equal(plane, torch.full_like(plane, code))


def test_strength_takes_its_share():
    (plane,) = apply(Constant(40 / 255, 0, 0), "gray", 8, flat("gray", 100), strength=0.25)
    assert torch.equal(plane, torch.full_like(plane, 90))


@pytest.mark.parametrize(("residual", "code"), [(-1.0, 255), (1.0, 0)])
def test_codes_stop_at_black_and_at_the_peak(residual, code):
    (plane,) = apply(Constant(residual, 0, 0), "gray", 8, flat("gray", 100))
    assert torch.equal(plane, torch.full_like(plane, code))


@pytest.mark.parametrize("layout", ["420", "422", "444"])
def test_the_network_sees_chroma_averaged(layout):
    network = Constant(0, 0, 0)
    planes = noise(layout, 10)
    apply(network, layout, 10, planes)
    for seen, plane in zip(network.seen[1:], planes[1:], strict=True):
        assert seen.shape == (2, 1, 16, 32)
        assert float(seen.mean()) == pytest.approx(float(plane.float().mean()) / 1023, abs=1e-6)


def test_the_network_sees_gray_without_colour():
    network = Constant(0, 0, 0)
    apply(network, "gray", 8, noise("gray", 8))
    for chroma in network.seen[1:]:
        assert torch.equal(chroma, torch.full((2, 1, 16, 32), 0.5))


@pytest.mark.parametrize(
    ("green", "blue", "red", "yuv"),
    [
        (255, 255, 255, (1.0, 0.5, 0.5)),
        (0, 0, 0, (0.0, 0.5, 0.5)),
        (0, 0, 255, (0.2126, 0.5 - 0.2126 / 1.8556, 1.0)),
        (0, 255, 0, (0.0722, 1.0, 0.5 - 0.0722 / 1.5748)),
    ],
    ids=["white", "black", "red", "blue"],
)
def test_the_network_sees_rgb_as_bt709(green, blue, red, yuv):
    network = Constant(0, 0, 0)
    apply(network, "gbr", 8, flat("gbr", green, blue, red))
    for seen, value in zip(network.seen, yuv, strict=True):
        assert float(seen[0, 0, 3, 3]) == pytest.approx(value, abs=1e-6)


def test_rgb_loses_exactly_what_was_seen_too_much():
    residual = (0.04, -0.03, 0.05)
    # The middle half of the codes, so that nothing is clamped.
    planes = tuple((p.float() / 2 + 16384).to(torch.uint16) for p in noise("gbr", 16))
    before, after = Constant(*residual), Constant(0, 0, 0)
    apply(after, "gbr", 16, apply(before, "gbr", 16, planes))
    for seen, now, removed in zip(before.seen, after.seen, residual, strict=True):
        torch.testing.assert_close(seen - now, torch.full_like(seen, removed), atol=2e-5, rtol=0)


def test_the_chroma_residual_is_smooth_at_full_size():
    _, u, _ = apply(Slope(), "444", 16, noise_free(32768))
    steps = u.to(torch.int32)[0, 0, :, 1:-1].diff(dim=1)
    half_a_code = 65535 / 255 / 2
    assert torch.all((steps + half_a_code).abs() <= 1)


def noise_free(code: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.full((1, 1, 32, 64), code, dtype=torch.uint16) for _ in range(3))
