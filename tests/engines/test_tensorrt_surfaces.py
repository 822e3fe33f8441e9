"""Pictures that a decoder left on the device: what comes out is what planes of the host give."""

import gc
from fractions import Fraction

import av
import numpy as np
import pytest
from opening import need_tensorrt
from slow_decoder import SlowDecoder
from test_conformance import assert_equal, picture, run
from test_smoothing import SMOOTHING, coded, moments, noisy, scene

from engines.backends.padding import empty_planes, pad_into, padded_shapes
from engines.engine import OnCuda, PictureFormat, TakesDevicePictures, cuda_device
from engines.errors import EngineError
from pipeline.frame import Frame
from pipeline.stages.clean import clean

SIZES = [(64, 64), (100, 70), (33, 31), (1, 1), (2, 3), (130, 65)]


def form_of(bits=8, size=(100, 70)):
    return PictureFormat("420", bits, *size)


@pytest.fixture
def slow(small_model, tmp_path):
    need_tensorrt()
    from slow_engine import SlowTensorRtEngine

    def make(**options):
        return SlowTensorRtEngine(model=str(small_model), cache_dir=tmp_path / "cache", **options)

    return make


@pytest.fixture
def graph_of():
    need_tensorrt()
    from engines.backends.tensorrt.surfaces import SurfaceGraph

    return lambda form: SurfaceGraph(form, padded_shapes(form, 64))


def decoder_of(engine):
    return SlowDecoder(engine._device.default)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("bits", [8, 10])
def test_a_picture_from_the_device_gives_the_bytes_that_planes_of_the_host_give(slow, bits, size):
    engine, form = slow(), form_of(bits, size)
    planes = picture(form, seed=2)
    wanted = run(engine, planes, form)
    session = engine.open(form)
    assert isinstance(session, TakesDevicePictures)
    (found,) = session.submit_device([decoder_of(engine).picture(planes, bits)]).result()
    session.close()
    assert_equal(found, wanted)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_strength_zero_gives_the_very_samples(slow, bits, size):
    """Padding and the way back from bytes lose nothing."""
    engine, form = slow(), form_of(bits, size)
    planes = picture(form, seed=5)
    session = engine.open(form)
    pictures = [decoder_of(engine).picture(planes, bits)]
    (found,) = session.submit_device(pictures, strength=0.0).result()
    session.close()
    assert_equal(found, planes)


@pytest.mark.parametrize("size", [(64, 64), (100, 70), (3, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("bits", [8, 10])
def test_the_graph_pads_as_the_host_does(graph_of, size, bits):
    from slow_device import SlowDevice, SlowMemory

    form = form_of(bits, size)
    graph = graph_of(form)
    planes = picture(form, seed=1)
    wanted = empty_planes(form, graph.shapes)
    for plane, target in zip(planes, wanted, strict=True):
        pad_into(plane, target)
    decoded = SlowDecoder(None).picture(planes, bits)
    given = [np.from_dlpack(part) for part in (decoded.luma, decoded.chroma)]
    tensors = {
        name: np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        for name, array in zip(("luma", "chroma"), given, strict=True)
    }
    assert tuple(array.size for array in tensors.values()) == graph.sizes
    tensors |= {
        name: np.zeros(plane.nbytes, np.uint8) for name, plane in zip("yuv", wanted, strict=True)
    }
    program = SlowDevice(seed=0).load(graph.write()).prepare({})
    places = {name: SlowMemory(array, on_device=True) for name, array in tensors.items()}
    program.bind(places)()
    for name, plane in zip("yuv", wanted, strict=True):
        np.testing.assert_array_equal(tensors[name], plane.view(np.uint8).reshape(-1))


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (53, 37)], ids=str)
@pytest.mark.parametrize("bits", [8, 10])
def test_tensorrt_really_builds_the_graph(graph_of, bits, size):
    from engines.backends.tensorrt.library import Library

    library, onnx = Library(), graph_of(form_of(bits, size)).write()
    ends = library.inputs_and_outputs(onnx, "surface")
    assert set(ends) == {"luma", "chroma", "y", "u", "v"}
    assert {kind for kind, _ in ends.values()} == {"uint8"}
    assert library.precision(onnx, "surface") == ""
    assert library.build(onnx, what="surface")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("smoothing", [None, SMOOTHING], ids=["plain", "smoothed"])
@pytest.mark.parametrize("batch", [1, 2])
def test_whatever_device_and_decoder_do_first_pictures_are_the_same(slow, seed, smoothing, batch):
    """From the device and from the host in turns; the decoder writes late and takes back early."""
    form = PictureFormat("420", 8, 192, 128)
    rng, still = np.random.default_rng(3), scene(form)
    clip = [coded(noisy(still, rng), form) for _ in range(8)]
    times = moments(8) if smoothing else []

    def cleaned(engine, from_device):
        session, decoder = engine.open(form, smoothing=smoothing, batch=batch), decoder_of(engine)
        requests, results = [], []
        for first in range(0, 8, batch):
            if len(requests) == session.depth:
                results += requests.pop(0).result()
            planes, told = clip[first : first + batch], times[first : first + batch]
            if from_device(first // batch):
                pictures = [decoder.picture(one) for one in planes]
                requests.append(session.submit_device(pictures, moments=told))
                del pictures
            else:
                requests.append(session.submit(planes, moments=told))
        for request in requests:
            results += request.result()
        session.close()
        gc.collect()
        assert decoder.left == 0
        return results

    engine = slow(device=seed, batch=2)
    wanted = cleaned(engine, lambda number: False)
    for way in (lambda number: True, lambda number: number % 2 == 1, lambda number: number != 1):
        for found, other in zip(cleaned(engine, way), wanted, strict=True):
            assert_equal(found, other)


@pytest.mark.parametrize("bits", [8, 10])
def test_mixed_frames_through_the_cleaning_stage_are_those_of_the_host(slow, bits):
    """Batches of two; the third frame and the last ones are on the host."""
    form = form_of(bits)
    engine = slow(device=1, batch=2)
    decoder = decoder_of(engine)
    clip = [picture(form, seed) for seed in range(9)]

    def frames(from_device):
        for pts, planes in enumerate(clip):
            device = decoder.picture(planes, bits) if pts in from_device else None
            yield Frame(
                planes=() if device else planes,
                device=device,
                format=form,
                pixel_format="yuv420p" if bits == 8 else "yuv420p10le",
                pts=pts,
                time_base=Fraction(1, 30),
            )

    stage = clean(engine, strength=1.0)
    found = list(stage(frames({0, 1, 3, 4, 5, 6})))
    wanted = list(stage(frames(set())))
    assert [frame.pts for frame in found] == list(range(9))
    for one, other in zip(found, wanted, strict=True):
        assert one.device is None
        assert_equal(one.planes, other.planes)
    gc.collect()
    assert decoder.left == 0


def test_a_picture_is_kept_until_its_request_is_done_and_no_longer(slow):
    engine, form = slow(), form_of()
    decoder, session = decoder_of(engine), engine.open(form)
    requests = [session.submit_device([decoder.picture(picture(form, n))]) for n in range(2)]
    gc.collect()
    assert decoder.left == 2
    requests[0].result()
    gc.collect()
    assert decoder.left == 1
    session.close()
    gc.collect()
    assert decoder.left == 0
    assert_equal(requests[1].result()[0], run(engine, picture(form, 1), form))


def test_the_engine_for_decoded_pictures_is_built_with_the_first_of_them_and_kept(slow):
    form, said = form_of(), []
    engine = slow(on_build=lambda what, share: said.append((what, share)))
    session = engine.open(form)
    session.submit([picture(form)]).result()
    before = len(said)
    for _ in range(2):
        session.submit_device([decoder_of(engine).picture(picture(form))]).result()
    session.close()
    assert said[before:] == [("decoded pictures, 8 bits 100x70", n) for n in (0.0, 1.0)]
    again = slow()
    session = again.open(form)
    session.submit_device([decoder_of(again).picture(picture(form))]).result()
    session.close()
    assert again._store.library.built == []


def test_the_engine_names_the_gpu_that_it_takes_pictures_from(slow):
    assert isinstance(slow(), OnCuda)
    assert cuda_device(slow(device="cuda:3")) == 3
    assert cuda_device(object()) is None


class TestRefusals:
    def test_of_another_depth(self, slow):
        engine, form = slow(), form_of()
        session, wrong = engine.open(form), picture(form_of(10))
        with pytest.raises(EngineError, match="a picture of 10 bits came"):
            session.submit_device([decoder_of(engine).picture(wrong, 10)])
        session.close()

    def test_of_another_size(self, slow):
        engine = slow()
        session, wrong = engine.open(form_of()), picture(form_of(size=(100, 72)))
        with pytest.raises(EngineError, match=r"must be \(70, 100\) and .* got \(72, 100\) and"):
            session.submit_device([decoder_of(engine).picture(wrong)])
        (found,) = session.submit([picture(form_of())]).result()
        session.close()
        assert_equal(found, run(engine, picture(form_of()), form_of()))

    def test_too_many_and_none(self, slow):
        engine, form = slow(), form_of()
        session, decoder = engine.open(form), decoder_of(engine)
        for pictures in ([], [decoder.picture(picture(form))] * 2):
            with pytest.raises(EngineError, match="a request takes 1 to 1 pictures"):
                session.submit_device(pictures)
        session.close()

    def test_of_a_layout_that_decoders_do_not_leave_there(self, slow):
        engine = slow()
        session = engine.open(PictureFormat("422", 8, 100, 70))
        wrong = decoder_of(engine).picture(picture(form_of()))
        with pytest.raises(EngineError, match=r"on a device are 4:2:0, the session's are .*422"):
            session.submit_device([wrong])
        session.close()

    def test_without_the_moments_that_smoothing_needs(self, slow):
        engine, form = slow(), form_of()
        session = engine.open(form, smoothing=SMOOTHING)
        with pytest.raises(EngineError, match="smoothing needs the moment of each picture"):
            session.submit_device([decoder_of(engine).picture(picture(form))])
        session.close()

    def test_after_the_end(self, slow):
        engine, form = slow(), form_of()
        session = engine.open(form)
        session.close()
        with pytest.raises(EngineError, match="the session is closed"):
            session.submit_device([decoder_of(engine).picture(picture(form))])


class OnGpu:
    """A plane of FFmpeg's that says it were on a GPU, and as PyAV there refuses any stream."""

    def __init__(self, plane, number=0):
        self._plane = plane
        self._number = number

    def __dlpack_device__(self):
        return 2, self._number

    def __dlpack__(self, *, stream=None):
        if stream is not None:
            raise NotImplementedError("CUDA stream synchronization is not supported")
        return self._plane.__dlpack__()


class TestCudaSurface:
    """What there is of it without a GPU: FFmpeg's own planes, in host memory."""

    @pytest.fixture(autouse=True)
    def installed(self):
        need_tensorrt()

    @pytest.mark.parametrize(("name", "sample"), [("nv12", 1), ("p010le", 2)])
    def test_rows_of_ffmpegs_planes_are_found(self, name, sample):
        from engines.backends.tensorrt.cuda_surface import surface_of

        frame = av.VideoFrame(322, 242, name)
        luma, chroma = (surface_of(OnGpu(plane), 0) for plane in frame.planes)
        assert (luma.shape, chroma.shape) == ((242, 322), (121, 161, 2))
        assert luma.row_size == chroma.row_size == 322 * sample
        assert [luma.pitch, chroma.pitch] == [plane.line_size for plane in frame.planes]
        assert luma.pitch > luma.row_size
        assert luma.size == 242 * 322 * sample
        assert chroma.size * 2 == luma.size
        assert luma.address == np.from_dlpack(frame.planes[0]).ctypes.data

    def test_a_plane_elsewhere_is_refused(self):
        from engines.backends.tensorrt.cuda_surface import surface_of

        (plane, _) = av.VideoFrame(64, 64, "nv12").planes
        with pytest.raises(EngineError, match="came from the host's memory, the engine is on cuda"):
            surface_of(plane, 0)
        with pytest.raises(EngineError, match="came from cuda:1, the engine is on cuda:0"):
            surface_of(OnGpu(plane, number=1), 0)

    def test_a_plane_with_holes_is_refused(self):
        from engines.backends.tensorrt.cuda_surface import surface_of

        with pytest.raises(EngineError, match=r"a decoder's plane of \(8, 8\) has holes"):
            surface_of(OnGpu(np.zeros((8, 16), np.uint8)[:, ::2]), 0)

    def test_what_cannot_be_exported_is_refused(self):
        from engines.backends.tensorrt.cuda_surface import surface_of

        class Refusing(OnGpu):
            def __dlpack__(self, *, stream=None):
                raise NotImplementedError("unsupported sw_format for DLPack export")

        with pytest.raises(EngineError, match="cannot be read: unsupported sw_format"):
            surface_of(Refusing(None), 0)
