"""What every back end must do; a new line in `BACKENDS` is covered unasked.

Parity is held against `IntegerPlanes` over planes that NumPy padded, where torch is installed; the
rest of the promises need no torch. Tolerances, in codes:

- `f32`: at most 1, and only where the exact value lies within rounding error of a half: on less
  than one sample in a thousand up to 10 bits, one in twenty at 16.
- anything narrower: the residual carries 8 significant bits, so the error follows its size: at
  most 4 % of the largest change, and on average 1.2 % of the mean change, beside the rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from opening import ENGINES, gpu_fault, opened

from engines.backends import create_engine
from engines.engine import BACKENDS, CHROMA_SHIFT, Engine, PictureFormat, Planes
from engines.errors import EngineError

if TYPE_CHECKING:
    import torch

    from engines.models.network import Network

SIZES = [(1, 1), (1, 2), (3, 1), (7, 5), (31, 33), (64, 64), (65, 130), (270, 481)]
FORMATS = [
    PictureFormat(layout, bits, 53, 38) for layout, bits in product(CHROMA_SHIFT, (8, 10, 16))
]


@pytest.fixture(params=ENGINES, scope="module")
def engine(
    request: pytest.FixtureRequest, small_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    engine = opened(request.param, small_model, tmp_path_factory.mktemp("engines"))
    yield engine
    engine.close()


@pytest.fixture(params=ENGINES, scope="module")
def engine_of_threes(
    request: pytest.FixtureRequest, small_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    engine = opened(request.param, small_model, tmp_path_factory.mktemp("engines"), batch=3)
    yield engine
    engine.close()


def picture(
    picture_format: PictureFormat, seed: int = 0, *, low: float = 0.0, high: float = 1.0
) -> Planes:
    """Waves and noise between `low` and `high` of the peak, both reached."""
    rng = np.random.default_rng(seed)
    planes = []
    for height, width in picture_format.plane_shapes:
        rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
        wave = 0.5 + 0.45 * np.sin(rows / 5 + seed) * np.cos(columns / (7 + seed))
        wave = np.clip(wave + rng.normal(0, 0.05, wave.shape), 0, 1)
        wave.flat[0], wave.flat[-1] = 1, 0
        codes = np.rint((low + (high - low) * wave) * picture_format.peak)
        planes.append(codes.astype(picture_format.dtype))
    return tuple(planes)


def padded(
    planes: Planes, layout: str, multiple: int, *, least: int = 0
) -> tuple[torch.Tensor, ...]:
    """(1, 1, H, W) tensors of the network's multiple, mirrored with the edge repeated."""
    import torch

    height, width = (-(-max(size, least) // multiple) * multiple for size in planes[0].shape)
    tensors = []
    for index, plane in enumerate(planes):
        shift_x, shift_y = CHROMA_SHIFT[layout] if index else (0, 0)
        missing = ((height >> shift_y) - plane.shape[0], (width >> shift_x) - plane.shape[1])
        mirrored = np.pad(plane, [(0, count) for count in missing], mode="symmetric")
        tensors.append(torch.from_numpy(mirrored[None, None]))
    return tuple(tensors)


def least_side(engine: Engine) -> int:
    """What an engine pads height and width to at least."""
    return 2 * engine.multiple if engine.info.backend == "torch-tensorrt" else 0


def reference(
    network: Network,
    picture_format: PictureFormat,
    planes: Planes,
    strength: float = 1.0,
    *,
    least: int = 0,
) -> Planes:
    """What `IntegerPlanes` makes of a picture, cropped."""
    import torch

    from engines.models.planes import IntegerPlanes

    module = IntegerPlanes(network, picture_format.layout, picture_format.bits)
    inputs = padded(planes, picture_format.layout, network.config.multiple, least=least)
    with torch.inference_mode():
        cleaned = module(inputs, torch.tensor([strength]))
    shapes = picture_format.plane_shapes
    return tuple(c.numpy()[0, 0, :h, :w] for c, (h, w) in zip(cleaned, shapes, strict=True))


def run(engine: Engine, planes: Planes, picture_format: PictureFormat, strength=1.0) -> Planes:
    session = engine.open(picture_format)
    try:
        (cleaned,) = session.submit([planes], strength=strength).result()
    finally:
        session.close()
    return cleaned


def assert_equal(found: Planes, wanted: Planes) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_parity(
    engine: Engine,
    network: Network,
    picture_format: PictureFormat,
    planes: Planes,
    strength: float = 1.0,
) -> None:
    found = run(engine, planes, picture_format, strength)
    least = least_side(engine)
    wanted = reference(network, picture_format, planes, strength, least=least)
    assert_close(engine, planes, found, wanted)


def assert_close(engine: Engine, planes: Planes, found: Planes, wanted: Planes) -> None:
    """`found` is `wanted`, within the tolerance of what `engine` computes in."""
    assert [(p.shape, p.dtype) for p in found] == [(p.shape, p.dtype) for p in planes]
    if engine.info.backend == "identity":
        assert_equal(found, planes)
        return
    for before, one, other in zip(planes, found, wanted, strict=True):
        difference = np.abs(one.astype(np.int64) - other)
        change = np.abs(other.astype(np.int64) - before)
        if engine.info.precision == "f32":
            assert difference.max() <= 1
            share = 0.001 if other.max() < 1024 else 0.05
            assert np.count_nonzero(difference) <= 1 + share * difference.size
        else:
            assert difference.max() <= 1 + 0.04 * change.max()
            if difference.size > 100:  # Fewer have no average to speak of.
                assert difference.mean() <= 0.25 + 0.012 * change.mean()


def test_back_ends_for_gpus_are_held_to_all_this_where_there_is_one():
    if fault := gpu_fault():
        pytest.skip(f"{', '.join(set(BACKENDS) - set(ENGINES))}: {fault}")
    assert set(BACKENDS) < set(ENGINES)


def test_the_network_under_test_changes_every_plane(network):
    picture_format = PictureFormat("420", 8, 64, 64)
    planes = picture(picture_format)
    for before, after in zip(planes, reference(network, picture_format, planes), strict=True):
        assert 4 < np.abs(after.astype(int) - before).mean() < 40


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_any_size_is_as_in_torch(engine, network, height, width):
    picture_format = PictureFormat("420", 8, width, height)
    assert_parity(engine, network, picture_format, picture(picture_format))


def test_4k_is_as_in_torch(engine, network):
    picture_format = PictureFormat("420", 8, 3840, 2160)
    assert_parity(engine, network, picture_format, picture(picture_format))


@pytest.mark.parametrize("picture_format", FORMATS, ids=lambda f: f"{f.layout}-{f.bits}")
def test_every_layout_and_depth_is_as_in_torch(engine, network, picture_format):
    assert_parity(engine, network, picture_format, picture(picture_format))


@pytest.mark.parametrize("layout", ["422", "444", "gbr"])
def test_one_pixel_of_every_layout_is_as_in_torch(engine, network, layout):
    picture_format = PictureFormat(layout, 10, 1, 1)
    assert_parity(engine, network, picture_format, picture(picture_format))


@pytest.mark.parametrize("bits", [8, 10])
def test_limited_range_takes_the_same_path(engine, network, bits):
    picture_format = PictureFormat("420", bits, 70, 50)
    planes = picture(picture_format, low=16 / 255, high=235 / 255)
    assert_parity(engine, network, picture_format, planes)


@pytest.mark.parametrize("strength", [0.25, 0.5])
def test_strength_scales_the_residual(engine, network, strength):
    picture_format = PictureFormat("420", 10, 70, 50)
    assert_parity(engine, network, picture_format, picture(picture_format), strength)


@pytest.mark.parametrize("picture_format", FORMATS, ids=lambda f: f"{f.layout}-{f.bits}")
def test_no_strength_is_bit_exact(engine, picture_format):
    rng = np.random.default_rng(3)
    planes = tuple(
        rng.integers(0, picture_format.peak + 1, shape, dtype=picture_format.dtype)
        for shape in picture_format.plane_shapes
    )
    assert_equal(run(engine, planes, picture_format, 0.0), planes)


def test_the_same_picture_gives_the_same_result(engine):
    picture_format = PictureFormat("420", 8, 200, 120)
    planes = picture(picture_format)
    assert_equal(run(engine, planes, picture_format), run(engine, planes, picture_format))


@pytest.mark.parametrize("bits", [8, 10])
def test_strided_planes_are_read_where_they_lie(engine, bits):
    picture_format = PictureFormat("420", bits, 51, 38)
    planes = picture(picture_format)
    wide = [np.zeros((p.shape[0], 3 * p.shape[1]), p.dtype) for p in planes]
    rows = tuple(w[:, : p.shape[1]] for w, p in zip(wide, planes, strict=True))
    columns = tuple(
        w[:, p.shape[1] :: 2][:, : p.shape[1]] for w, p in zip(wide, planes, strict=True)
    )
    wanted = run(engine, planes, picture_format)
    for views in (rows, columns):
        for view, plane in zip(views, planes, strict=True):
            view[...] = plane
            view.flags.writeable = False
        assert_equal(run(engine, views, picture_format), wanted)


def test_inputs_may_be_overwritten_once_submitted(engine):
    if engine.info.backend == "identity":
        pytest.skip("returns its input itself")
    picture_format = PictureFormat("420", 8, 200, 120)
    planes = picture(picture_format)
    wanted = run(engine, planes, picture_format)
    session = engine.open(picture_format)
    request = session.submit([planes])
    for plane in planes:
        plane[...] = 0
    assert_equal(request.result()[0], wanted)
    session.close()


def test_results_survive_later_requests_and_the_session(engine):
    picture_format = PictureFormat("420", 8, 200, 120)
    session = engine.open(picture_format)
    (first,) = session.submit([picture(picture_format)]).result()
    kept = tuple(plane.copy() for plane in first)
    for seed in range(1, 2 * session.depth + 2):
        session.submit([picture(picture_format, seed)]).result()
    session.close()
    assert_equal(first, kept)


def test_requests_in_flight_keep_their_order(engine):
    picture_format = PictureFormat("420", 8, 200, 120)
    pictures = [picture(picture_format, seed) for seed in range(7)]
    wanted = [run(engine, planes, picture_format) for planes in pictures]
    session = engine.open(picture_format)
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


def test_a_request_nobody_waits_for_disturbs_no_other(engine):
    picture_format = PictureFormat("420", 8, 200, 120)
    planes = picture(picture_format, 9)
    wanted = run(engine, planes, picture_format)
    session = engine.open(picture_format)
    for seed in range(2 * session.depth):
        session.submit([picture(picture_format, seed)])
    assert_equal(session.submit([planes]).result()[0], wanted)
    session.submit([planes])
    session.close()


def test_sizes_may_change_and_come_back(engine, network):
    for width, height in [(64, 64), (100, 40), (64, 64), (63, 64)]:
        picture_format = PictureFormat("420", 8, width, height)
        assert_parity(engine, network, picture_format, picture(picture_format))


def test_sessions_of_two_formats_work_side_by_side(engine):
    formats = [PictureFormat("420", 8, 90, 60), PictureFormat("gbr", 10, 40, 70)]
    wanted = [run(engine, picture(f), f) for f in formats]
    sessions = [engine.open(f) for f in formats]
    requests = [s.submit([picture(f)]) for s, f in zip(sessions, formats, strict=True)]
    for request, expected in zip(requests, wanted, strict=True):
        assert_equal(request.result()[0], expected)
    for session in sessions:
        session.close()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_short_batch_returns_as_many_pictures(engine_of_threes, network, count):
    picture_format = PictureFormat("420", 8, 75, 40)
    session = engine_of_threes.open(picture_format)
    assert session.batch == 3
    pictures = [picture(picture_format, seed) for seed in range(count)]
    found = session.submit(pictures).result()
    session.close()
    assert len(found) == count
    for planes, cleaned in zip(pictures, found, strict=True):
        least = least_side(engine_of_threes)
        wanted = reference(network, picture_format, planes, least=least)
        assert_close(engine_of_threes, planes, cleaned, wanted)


@pytest.mark.parametrize("count", [0, 2])
def test_a_wrong_number_of_pictures_is_refused(engine, count):
    picture_format = PictureFormat("420", 8, 64, 64)
    session = engine.open(picture_format)
    with pytest.raises(EngineError, match=f"takes 1 to 1 pictures, got {count}"):
        session.submit([picture(picture_format)] * count)
    session.close()


@pytest.mark.parametrize(
    "other",
    [
        PictureFormat("420", 8, 64, 62),
        PictureFormat("444", 8, 64, 64),
        PictureFormat("gray", 8, 64, 64),
        PictureFormat("420", 10, 64, 64),
    ],
    ids=str,
)
def test_planes_of_another_format_are_refused(engine, other):
    session = engine.open(PictureFormat("420", 8, 64, 64))
    with pytest.raises(EngineError, match=r"planes of PictureFormat.*must be.*got"):
        session.submit([picture(other)])
    session.close()


def test_an_unknown_option_is_refused(engine):
    with pytest.raises(EngineError, match=r"engine.options of .*: color: .*\(options: .*batch"):
        create_engine(engine.info.backend, options={"color": 1})


def test_info_says_what_runs(engine):
    info = engine.info
    assert BACKENDS[info.backend]
    assert all((info.device, info.precision, info.version, info.model))
