"""Convolutions of bytes in OpenVINO: when, which, and what that costs."""

import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from engines.backends.openvino import OpenVinoEngine
from engines.backends.openvino_int8 import (
    Arithmetic,
    choose,
    count_products,
    multiply_bytes,
    products,
    read_ranges,
)
from engines.backends.openvino_quiet import core, ops, ov
from engines.engine import CHROMA_SHIFT, PictureFormat
from engines.errors import EngineError
from engines.models import SHIPPED, model_path
from engines.view import MULTIPLE_KEY, RANGES_KEY

needs_exact_bytes = pytest.mark.skipif(
    not products().exact_bytes, reason="this CPU has no exact products of bytes"
)
CPUINFO = Path("/proc/cpuinfo")
needs_avx512_vnni = pytest.mark.skipif(
    not CPUINFO.is_file() or "avx512_vnni" not in CPUINFO.read_text(encoding="utf-8"),
    reason="only a CPU with AVX-512 VNNI can be told to be an older one",
)


@dataclass(frozen=True)
class Cpu:
    """`Products` of a CPU that is not there."""

    floats: str
    in_tiles: bool
    exact_bytes: bool


TILES = Cpu("bf16", in_tiles=True, exact_bytes=True)
BF16 = Cpu("bf16", in_tiles=False, exact_bytes=True)
VNNI = Cpu("f32", in_tiles=False, exact_bytes=True)
OLD = Cpu("f32", in_tiles=False, exact_bytes=False)
ARM = Cpu("f16", in_tiles=False, exact_bytes=True)

IN_F32 = Arithmetic("f32", int8_stem=False, int8_layers=False)
IN_BF16 = Arithmetic("bf16", int8_stem=True, int8_layers=False)
INT8_AND_F32 = Arithmetic("f32", int8_stem=True, int8_layers=True)
INT8_AND_BF16 = Arithmetic("bf16", int8_stem=True, int8_layers=True)


@pytest.mark.parametrize(
    ("precision", "cpu", "has_ranges", "wanted"),
    [
        ("auto", TILES, True, IN_BF16),
        ("auto", BF16, True, IN_BF16),
        ("auto", VNNI, True, INT8_AND_F32),
        ("auto", VNNI, False, IN_F32),
        ("auto", OLD, True, IN_F32),
        ("auto", ARM, True, Arithmetic("f16", int8_stem=False, int8_layers=False)),
        ("int8", TILES, True, INT8_AND_BF16),
        ("int8", BF16, True, INT8_AND_F32),
        ("int8", VNNI, True, INT8_AND_F32),
        ("bf16", TILES, True, IN_BF16),
        ("bf16", BF16, True, IN_BF16),
        ("bf16", VNNI, True, Arithmetic("bf16", int8_stem=False, int8_layers=False)),
        ("f32", TILES, True, IN_F32),
        ("f32", VNNI, True, IN_F32),
    ],
)
def test_the_fastest_that_is_right_is_taken(precision, cpu, has_ranges, wanted):
    assert choose(precision, cpu, has_ranges=has_ranges) == wanted


@pytest.fixture
def older_model():
    """What an older `demoire export` wrote: the shipped file, but for one entry."""
    model = core().read_model(model_path("nano"))
    multiple = model.get_rt_info(["framework", MULTIPLE_KEY]).astype(str)
    model.set_rt_info({MULTIPLE_KEY: multiple}, ["framework"])
    return model


def test_int8_is_refused_where_products_are_not_exact():
    with pytest.raises(EngineError, match=r"no exact products of bytes .*; use precision=auto"):
        choose("int8", OLD, has_ranges=True)


def test_int8_is_refused_for_a_model_without_ranges(older_model):
    with pytest.raises(EngineError, match=r"no demoire.ranges; write it again with `demoire exp"):
        choose("int8", VNNI, has_ranges=bool(read_ranges(older_model)))


@pytest.mark.parametrize("model", SHIPPED)
def test_what_ships_says_how_far_its_values_reach(model):
    assert len(read_ranges(core().read_model(model_path(model)))) > 15


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", '{"w": 3}', '{"w": [0, "x"]}', '{"w": [1, 2]}', '{"w": [0, 0]}']
)
def test_ranges_that_are_none_are_refused(text):
    model = one_convolution(np.ones((4, 4, 3, 3), np.float32))
    model.set_rt_info(text, ["framework", RANGES_KEY])
    with pytest.raises(EngineError, match=r"demoire.ranges are not ranges; write it again"):
        read_ranges(model)


def one_convolution(weights, side=8):
    given = ops.parameter([1, weights.shape[1], side, side], ov.Type.f32)
    constant = ops.constant(weights)
    constant.set_friendly_name("w")
    sums = ops.convolution(given, constant, [1, 1], [1, 1], [1, 1], [1, 1])
    return ov.Model([ops.result(sums)], [given], "one")


def in_f32(graph):
    return core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@needs_exact_bytes
@pytest.mark.parametrize(("low", "high"), [(0, 255), (-127, 127)])
def test_whole_numbers_in_the_range_are_multiplied_exactly(low, high):
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (16, 16, 3, 3)).astype(np.float32)
    weights[:, 0, 0, 0] = 127  # the largest of each output, so that a step is one
    values = rng.integers(low, high + 1, (1, 16, 8, 8)).astype(np.float32)
    exact = in_f32(one_convolution(weights))([values])[0]
    graph = one_convolution(weights)
    multiply_bytes(graph, {"w": (float(low), float(high))})
    compiled = in_f32(graph)
    assert count_products(compiled) == {"int8": 16 * 8 * 8 * 16 * 3 * 3}
    np.testing.assert_array_equal(compiled([values])[0], exact)


@needs_exact_bytes
def test_values_beyond_the_range_count_as_its_end():
    graph = one_convolution(np.ones((16, 16, 1, 1), np.float32))
    multiply_bytes(graph, {"w": (-127.0, 127.0)})
    compiled = in_f32(graph)
    for value, counted in ((400.0, 127.0), (-400.0, -128.0), (0.0, 0.0)):
        sums = compiled([np.full((1, 16, 8, 8), value, np.float32)])[0]
        np.testing.assert_allclose(sums[..., 1:-1, 1:-1], 16 * counted, rtol=1e-6)


def test_a_range_of_no_convolution_is_named():
    with pytest.raises(EngineError, match=r"no convolution of elsewhere; write it again"):
        multiply_bytes(
            one_convolution(np.ones((4, 4, 3, 3), np.float32)), {"elsewhere": (0.0, 1.0)}
        )


def under_fringes(picture_format):
    """A grey picture under fringes of 24 samples, a different phase in each plane."""
    middle = (picture_format.peak + 1) // 2
    planes = []
    for index, (height, width) in enumerate(picture_format.plane_shapes):
        period = 24 * width / picture_format.width
        phase = 2 * np.pi * (np.arange(width) / period + index / 3)
        row = np.rint(middle * (1 + 0.1 * np.sin(phase))).astype(picture_format.dtype)
        planes.append(np.ascontiguousarray(np.broadcast_to(row, (height, width))))
    return tuple(planes)


def cleaned(picture_format, planes, **options):
    engine = OpenVinoEngine(**options)
    session = engine.open(picture_format)
    (found,) = session.submit([planes]).result()
    session.close()
    return engine.info.precision, found


@needs_exact_bytes
@pytest.mark.parametrize("model", SHIPPED)
def test_int8_differs_from_f32_by_rounding_alone(model):
    # Large enough for the kernels that run on real pictures.
    picture_format = PictureFormat("420", 8, 384, 256)
    planes = under_fringes(picture_format)
    precision, found = cleaned(picture_format, planes, model=model, precision="int8")
    alone, wanted = cleaned(picture_format, planes, model=model, precision="f32")
    assert precision.startswith("int8+")
    assert alone == "f32"
    for plane, given, exact in zip(found, planes, wanted, strict=True):
        error = np.abs(plane.astype(int) - exact.astype(int))
        assert error.mean() < 0.5
        assert error.max() <= 4
        assert np.abs(given.astype(int) - exact.astype(int)).mean() > 4 * error.mean()


@needs_exact_bytes
@pytest.mark.parametrize(("layout", "bits"), list(product(CHROMA_SHIFT, (8, 10, 16))))
def test_every_format_is_cleaned_in_int8(layout, bits):
    picture_format = PictureFormat(layout, bits, 192, 128)
    planes = under_fringes(picture_format)
    precision, found = cleaned(picture_format, planes, precision="int8")
    _, wanted = cleaned(picture_format, planes, precision="f32")
    assert precision.startswith("int8+")
    level = (picture_format.peak + 1) / 256
    for plane, exact in zip(found, wanted, strict=True):
        assert np.abs(plane.astype(int) - exact.astype(int)).mean() < 0.5 * level


WHAT_RUNS = """
from engines.backends.openvino import OpenVinoEngine
from engines.errors import EngineError

try:
    print(OpenVinoEngine(precision="int8").info.precision)
except EngineError as error:
    print(error)
"""


def int8_on(most):
    """Return what int8 is, or why there is none, on a CPU without what came after `most`.

    Only oneDNN is told so: OpenVINO still prefers the floating point of the real CPU.
    """
    found = subprocess.run(
        [sys.executable, "-c", WHAT_RUNS],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": most},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


@needs_avx512_vnni
def test_int8_runs_on_a_cpu_that_only_has_products_of_bytes():
    assert int8_on("AVX512_CORE_VNNI") == "int8+f32"


@needs_avx512_vnni
def test_products_of_bytes_that_do_not_fit_are_found_out():
    assert "this CPU has no exact products of bytes" in int8_on("AVX512_CORE")
