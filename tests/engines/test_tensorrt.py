"""The TensorRT back end: what it keeps, what it holds in flight, and what goes wrong."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from opening import need_tensorrt
from test_conformance import assert_equal, picture, run
from test_smoothing import SMOOTHING, coded, moments, noisy, scene

from engines.backends import create_engine
from engines.engine import DeviceTimed, PictureFormat
from engines.errors import DeviceMemoryError, EngineError

FORM = PictureFormat("420", 8, 100, 70)


@pytest.fixture
def slow(small_model, tmp_path):
    """Makes engines on `SlowDevice`, all with one cache."""
    need_tensorrt()
    from slow_engine import SlowTensorRtEngine

    def make(model=small_model, **options):
        return SlowTensorRtEngine(model=str(model), cache_dir=tmp_path / "cache", **options)

    return make


def built(engine):
    """What has been built, not loaded."""
    return engine._store.library.built


def test_an_engine_is_built_once_and_then_loaded(slow, tmp_path):
    first = slow()
    wanted = run(first, picture(FORM), FORM)
    assert built(first) == ["small, f16, 420 8 bits"]
    assert len(list((tmp_path / "cache").glob("*.engine"))) == 1
    second = slow()
    assert_equal(run(second, picture(FORM), FORM), wanted)
    assert built(second) == []


def test_another_size_needs_no_other_engine(slow):
    engine = slow()
    for width, height in ((64, 64), (100, 70), (700, 300), (300, 700)):
        run(
            engine,
            picture(PictureFormat("420", 8, width, height)),
            PictureFormat("420", 8, width, height),
        )
    assert len(built(engine)) == 1
    assert engine._device.loads == 1


def test_a_damaged_entry_is_built_again(slow, tmp_path, caplog):
    run(slow(), picture(FORM), FORM)
    (entry,) = (tmp_path / "cache").glob("*.engine")
    entry.write_bytes(entry.read_bytes()[:-1])
    engine = slow()
    run(engine, picture(FORM), FORM)
    assert len(built(engine)) == 1
    assert "is damaged; it is built again" in caplog.text


def test_an_entry_that_the_device_refuses_is_built_again(slow, caplog):
    run(slow(), picture(FORM), FORM)
    engine = slow()
    load, refused = engine._device.load, []

    def refuse_once(plan):
        if not refused:
            refused.append(plan)
            raise EngineError("made by another driver")
        return load(plan)

    engine._device.load = refuse_once
    run(engine, picture(FORM), FORM)
    assert len(built(engine)) == 1
    assert "is refused: made by another driver; it is built again" in caplog.text


def test_an_engine_that_is_refused_when_new_is_an_error(slow):
    engine = slow()
    engine._device.refuses = True
    with pytest.raises(EngineError, match="slow refuses the engine on cuda:0: slow"):
        engine.open(FORM)


def test_an_entry_with_other_ends_is_built_again(slow, tmp_path, caplog):
    run(slow(), picture(FORM), FORM)
    from engines.backends.tensorrt.engine import engine_origin, network_profiles

    engine = slow()
    store = engine._store
    onnx = engine._network.between(FORM, "f16")
    other = engine._network.between(PictureFormat("gray", 8, 64, 64), "f16")
    profiles = network_profiles(FORM, engine.multiple, batch=1)
    origin = engine_origin(onnx, profiles, library=store.library, device=store.device)
    store.cache.store(origin, other, what="grey in disguise")
    run(engine, picture(FORM), FORM)
    assert len(built(engine)) == 1
    assert "the engine's ends are" in caplog.text


def test_other_weights_precisions_batches_versions_and_devices_are_other_engines(slow, small_model):
    run(slow(), picture(FORM), FORM)
    for options in ({"model": "nano"}, {"precision": "f32"}, {"batch": 2}):
        engine = slow(**options)
        run(engine, picture(FORM), FORM)
        assert len(built(engine)) == 1, options
    newer = slow()
    newer._store.library.name = "tensorrt_rtx 99.0"
    elsewhere = slow()
    elsewhere._device.kind = "quick, compute capability 9.9"
    for engine in (newer, elsewhere):
        run(engine, picture(FORM), FORM)
        assert len(built(engine)) == 1


def test_building_is_told(slow):
    said = []
    engine = slow(on_build=lambda what, share: said.append((what, share)))
    engine.open(FORM).close()
    assert said == [("small, f16, 420 8 bits", 0.0), ("small, f16, 420 8 bits", 1.0)]


def test_a_graph_that_would_compute_in_another_precision_is_refused(slow):
    engine = slow()
    engine._store.library.precision = lambda onnx, what: "f32"
    with pytest.raises(EngineError, match="would compute in f32, not in f16"):
        engine.open(FORM)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("smoothing", [None, SMOOTHING], ids=["plain", "smoothed"])
def test_whatever_the_device_does_first_pictures_are_the_same(slow, seed, smoothing):
    """`SlowDevice` does work as late as it may, and at random in between."""
    form = PictureFormat("420", 8, 192, 128)
    rng, still = np.random.default_rng(3), scene(form)
    clip = [coded(noisy(still, rng), form) for _ in range(7)]
    found = []
    for engine in (slow(device=seed), create_engine("torch", model=str(slow().info.model))):
        session = engine.open(form, smoothing=smoothing)
        requests, results = [], []
        for planes, moment in zip(clip, moments(7), strict=True):
            if len(requests) == session.depth:
                results += requests.pop(0).result()
            fresh = tuple(plane.copy() for plane in planes)
            requests.append(session.submit([fresh], moments=[moment] if smoothing else []))
            for plane in fresh:
                plane[...] = 0
        for request in requests:
            results += request.result()
        session.close()
        found.append(results)
    for one, other in zip(*found, strict=True):
        for a, b in zip(one, other, strict=True):
            assert np.abs(a.astype(int) - b).max() <= 1


def test_pinned_memory_comes_back_when_the_pictures_are_gone(slow):
    engine = slow()
    session = engine.open(FORM)
    for seed in range(3):
        session.submit([picture(FORM, seed)]).result()
    gc.collect()
    pinned = engine._device.pinned
    for seed in range(10):
        session.submit([picture(FORM, seed)]).result()
    assert engine._device.pinned == pinned
    kept = [session.submit([picture(FORM, seed)]).result() for seed in range(10)]
    assert engine._device.pinned > pinned
    session.close()
    wanted = [run(engine, picture(FORM, seed), FORM) for seed in range(10)]
    for (planes,), other in zip(kept, wanted, strict=True):
        assert_equal(planes, other)


def test_smoothing_leaves_whole_planes_on_the_device(slow):
    """Beside thumbnails and blocks, only the results are copied out."""
    engine = slow()
    form = PictureFormat("420", 8, 640, 384)
    session = engine.open(form, smoothing=SMOOTHING)
    streams = engine._device._streams
    copied = []
    original = type(streams[0]).copy

    def noted(stream, source, target):
        if not target.on_device:
            copied.append(source.size)
        original(stream, source, target)

    whole = sum(rows * columns for rows, columns in form.plane_shapes)
    picture_planes = coded(scene(form), form)
    for moment in moments(4):
        copied.clear()
        for stream in streams:
            stream.copy = noted.__get__(stream)
        session.submit([picture_planes], moments=[moment]).result()
        assert sum(copied) < 1.6 * whole
    session.close()


def test_a_device_without_room_says_so_when_it_is_opened(slow):
    engine = slow()
    engine._device.left = 100_000
    with pytest.raises(DeviceMemoryError, match=r"cuda:0: slow: \d+ bytes cannot be had"):
        engine.open(PictureFormat("420", 8, 640, 480))


def test_a_picture_that_the_engine_is_not_made_for_says_so(slow):
    engine = slow()
    engine._device.largest = 512
    with pytest.raises(DeviceMemoryError, match="is not made for sizes like"):
        engine.open(PictureFormat("420", 8, 640, 480))


def test_fewer_pictures_can_be_asked_for(slow):
    engine = slow(batch=3)
    session = engine.open(FORM, batch=2)
    assert session.batch == 2
    found = session.submit([picture(FORM, seed) for seed in range(2)]).result()
    for seed, planes in enumerate(found):
        assert_equal(planes, run(slow(), picture(FORM, seed), FORM))


def test_a_session_times_its_parts(slow):
    session = slow().open(FORM)
    assert isinstance(session, DeviceTimed)
    times = session.device_times(repeats=4)
    assert [len(part) for part in (times.copy_in_ms, times.infer_ms, times.copy_out_ms)] == [4] * 3
    assert min(times.infer_ms) > 0
    wanted = run(slow(), picture(FORM), FORM)
    assert_equal(session.submit([picture(FORM)]).result()[0], wanted)


def test_a_closed_session_says_so(slow):
    session = slow().open(FORM)
    session.close()
    session.close()
    with pytest.raises(EngineError, match="the session is closed"):
        session.submit([picture(FORM)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, r"device must be a GPU's number or cuda:N, got 'gpu'"),
        ({"precision": "int8"}, r"engine.options of tensorrt: precision: .*got 'int8'"),
        ({"colour": 1}, r"engine.options of tensorrt: colour: .*\(options: .*requests"),
    ],
)
def test_wrong_options_are_refused(slow, options, message):
    with pytest.raises(EngineError, match=message):
        slow(**options)


def test_without_a_driver_the_reason_is_one_sentence(small_model):
    need_tensorrt()
    if os.environ.get("DEMOIRE_REQUIRE_CUDA") == "1":
        pytest.skip("there is a driver")
    with pytest.raises(EngineError, match=r"tensorrt: cuda:0 cannot be used: [^\n]+$"):
        create_engine("tensorrt", model=str(small_model))


@pytest.mark.parametrize("missing", ["tensorrt_rtx_bindings", "cuda", "onnx"])
def test_without_the_extra_the_way_to_it_is_named(small_model, tmp_path, missing):
    need_tensorrt()
    code = (
        "import sys\n"
        f"for name in ({missing!r}, 'tensorrt', 'tensorrt_rtx'): sys.modules[name] = None\n"
        "from engines.backends import create_engine\n"
        "from engines.errors import EngineError\n"
        "try: create_engine('tensorrt', model=sys.argv[1])\n"
        "except EngineError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(small_model)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "pip install 'demoire[trt-rtx]'" in done.stdout
    assert missing in done.stdout
