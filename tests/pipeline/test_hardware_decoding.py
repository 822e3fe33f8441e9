"""Decoding on a GPU: why it is not, and frames that stay where they are.

There may be no GPU here. The faults are FFmpeg's own; frames on a device come from `HostGpu`, whose
device is the host's memory: all but the decoder and its memory is the real thing.
"""

import gc
import logging
import weakref
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from fakes import make_clip, make_frame
from media_files import Clip, make
from test_clean_stage import AddingEngine, AddingRequest, AddingSession

from engines.backends import create_engine
from engines.device_picture import check_device_pictures
from engines.engine import DevicePicture, PictureFormat, Smoothing
from pipeline.errors import SourceError
from pipeline.pyav import open_input
from pipeline.runner import compose
from pipeline.sinks.file import FileSink
from pipeline.sources import file
from pipeline.sources.cuda_context import CudaFaultError, primary_context
from pipeline.sources.file import FileSource
from pipeline.sources.hardware import GpuDecoder, GpuRefusalError, who_decodes
from pipeline.sources.picture import Unpacker
from pipeline.stages.clean import clean


class HostGpu(GpuDecoder):
    """Pictures as a GPU leaves them, in the host's memory; `leaves_at` ends that."""

    leaves_at = None

    def __init__(self, device):
        super().__init__(device)
        self.taken = 0
        self._packer = Unpacker()

    def open(self, path):
        return open_input(path)

    def check_codec(self, context):
        pass

    def check_picture(self, picture, context):
        pass

    def holds(self, picture):
        self.taken += 1
        return self.leaves_at is None or self.taken <= self.leaves_at

    def frame(self, picture, **fields):
        packed = "nv12" if picture.format.name == "yuv420p" else "p010le"
        there = picture.reformat(format=packed, threads=1)
        return super().frame(there, **fields)


class DeviceSession(AddingSession):
    """Takes pictures from the device as well."""

    def submit_device(self, pictures, *, strength=1.0, moments=()):
        check_device_pictures(pictures, self.format, self.batch)
        self.moments += moments
        planes = [read(picture) for picture in pictures]
        self._engine.from_device.append(len(pictures))
        self.in_flight.append(AddingRequest(self, planes, self.format.dtype(round(10 * strength))))
        assert len(self.in_flight) <= self.depth
        return self.in_flight[-1]


class DeviceEngine(AddingEngine):
    def __init__(self, **options):
        super().__init__(**options)
        self.from_device = []

    def open(self, picture_format, *, smoothing=None, batch=None):
        self.sessions.append(DeviceSession(self, picture_format, smoothing))
        return self.sessions[-1]


def read(picture):
    luma, chroma = np.from_dlpack(picture.luma), np.from_dlpack(picture.chroma)
    shift = 0 if picture.bits == 8 else 16 - picture.bits
    return luma >> shift, chroma[..., 0] >> shift, chroma[..., 1] >> shift


def on_device(frame):
    """The frame as a GPU's decoder leaves it."""
    y, u, v = frame.planes
    shift = 0 if frame.format.bits == 8 else 16 - frame.format.bits
    chroma = np.stack([u, v], axis=-1) << shift
    picture = DevicePicture(y << shift, chroma, frame.format.bits, lambda: frame.planes)
    return replace(frame, planes=(), device=picture)


def packets(path):
    with av.open(str(path)) as container:
        return [(p.stream_index, p.pts, bytes(p)) for p in container.demux() if p.size]


@pytest.fixture
def gpu(monkeypatch):
    """Gives this machine `HostGpu`."""
    monkeypatch.setattr(HostGpu, "leaves_at", None)
    monkeypatch.setattr(file, "GpuDecoder", HostGpu)
    return HostGpu


def frames_of(path, **options):
    source = FileSource(path, **options)
    frames = list(source.frames())
    source.close()
    return frames, source


class TestWithoutGpu:
    """With the real FFmpeg, whatever this machine has; GPU 99 it has not."""

    def test_auto_says_why_the_cpu_decodes_and_loses_nothing(self, tmp_path, caplog):
        caplog.set_level(logging.INFO)
        path = make(tmp_path / "in.mp4", audio="aac")
        frames, source = frames_of(path, decode="auto", cuda_device=99)
        (line,) = caplog.messages
        assert line.startswith(f"{path}: decoded by the CPU, not on cuda:99: ")
        wanted, _ = frames_of(path)
        assert source.decoder == "cpu"
        assert [f.pts for f in frames] == [f.pts for f in wanted]
        assert [len(f.packets) for f in frames] == [len(f.packets) for f in wanted]
        for one, other in zip(frames, wanted, strict=True):
            for mine, theirs in zip(one.planes, other.planes, strict=True):
                np.testing.assert_array_equal(mine, theirs)

    def test_cuda_is_an_error_with_the_way_out(self, tmp_path):
        path = make(tmp_path / "in.mp4")
        words = r"in.mp4: cannot be decoded on cuda:99: .+; --decode auto has the CPU do what"
        with pytest.raises(SourceError, match=words):
            FileSource(path, decode="cuda", cuda_device=99)

    def test_the_reason_is_ffmpegs_own(self, tmp_path):
        with pytest.raises(GpuRefusalError, match=r"(?i)cuda"):
            GpuDecoder(99).open(make(tmp_path / "in.mp4"))
        assert av.logging.get_level() is None

    def test_a_codec_that_no_gpu_decodes_is_named(self, tmp_path):
        path = make(tmp_path / "in.mkv", codec="ffv1")
        with pytest.raises(SourceError, match=r"cuda:99: (no GPU decodes ffv1|.*cuda)"):
            FileSource(path, decode="cuda", cuda_device=99)

    @pytest.mark.parametrize("decode", ["auto", "cuda"])
    def test_what_is_wrong_with_the_file_is_said_as_ever(self, tmp_path, decode):
        broken = tmp_path / "broken.mp4"
        broken.write_bytes(b"junk" * 999)
        with pytest.raises(SourceError, match="is not a video that FFmpeg can read"):
            FileSource(broken, decode=decode)
        with pytest.raises(SourceError, match="check the name and the rights"):
            FileSource(tmp_path / "missing.mp4", decode=decode)

    @pytest.mark.parametrize("decode", ["auto", "cuda"])
    def test_interlaced_video_is_refused_as_ever(self, tmp_path, gpu, decode):
        path = make(tmp_path / "in.mp4", interlaced=True)
        with pytest.raises(SourceError, match="ask for --deinterlace yadif"):
            FileSource(path, decode=decode)

    def test_a_driver_that_is_not_there_is_left_to_ffmpeg_to_tell(self):
        with primary_context(0, driver="libnothing.so.1"):
            pass

    def test_a_driver_that_refuses_is_named(self, tmp_path):
        """A driver in C with three functions, since ctypes calls no others."""
        library = tmp_path / "libdriver.so"
        compiled(
            library,
            "int cuInit(unsigned f) { return 100; }\n"
            "int cuGetErrorString(int e, const char **s)"
            '{ *s = "no CUDA-capable device"; return 0; }',
        )
        with (
            pytest.raises(CudaFaultError, match="cuInit: no CUDA-capable device"),
            primary_context(0, driver=str(library)),
        ):
            pass

    def test_the_context_is_current_within_and_only_there(self, tmp_path):
        library = tmp_path / "libdriver.so"
        compiled(
            library,
            "#include <stddef.h>\n"
            "static void *now = NULL; static int flags = -1;\n"
            "int cuInit(unsigned f) { return 0; }\n"
            "int cuDeviceGet(int *d, int n) { *d = 40 + n; return 0; }\n"
            "int cuDevicePrimaryCtxSetFlags_v2(int d, unsigned f) { flags = f; return 0; }\n"
            "int cuDevicePrimaryCtxRetain(void **c, int d) { *c = (void *)(size_t)d; return 0; }\n"
            "int cuCtxPushCurrent_v2(void *c) { now = c; return 0; }\n"
            "int cuCtxPopCurrent_v2(void **c) { *c = now; now = NULL; return 0; }\n"
            "size_t current(void) { return (size_t)now; }\n"
            "int chosen(void) { return flags; }\n",
        )
        import ctypes

        seen = ctypes.CDLL(str(library))
        with primary_context(2, driver=str(library)):
            assert seen.current() == 42
            assert seen.chosen() == 4
        assert seen.current() == 0


def compiled(library, code):
    import shutil
    import subprocess

    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source = library.with_suffix(".c")
    source.write_text(code, encoding="utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)


class FakePicture:
    """What is looked at of a picture on a GPU."""

    def __init__(self, *, name="cuda", stored="nv12", size=(64, 48)):
        self.format = av.VideoFormat("yuv420p") if name != "cuda" else av.VideoFormat("cuda")
        self.sw_format = av.VideoFormat(stored) if name == "cuda" else None
        self.width, self.height = size


class FakeContext:
    name, profile, is_hwaccel = "h264", "High 4:2:2", False
    width, height = 64, 48
    thread_count = 8


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (FakePicture(name="yuv420p"), r"does not decode yuv420p of h264 \(High 4:2:2\)"),
        (FakePicture(stored="yuv444p"), "its pictures are yuv444p, not nv12 or p010le"),
        (FakePicture(stored="p016le"), "its pictures are p016le"),
        (FakePicture(size=(66, 48)), "cannot leave out what is cut off at the left"),
    ],
)
def test_a_first_picture_that_would_not_be_the_cpus_is_refused(picture, message):
    with pytest.raises(GpuRefusalError, match=message):
        GpuDecoder(0).check_picture(picture, FakeContext())


def test_odd_sizes_are_refused_as_pyav_rounds_their_chroma_down():
    context = FakeContext()
    context.width = 63
    with pytest.raises(GpuRefusalError, match=r"chroma of odd sizes \(63x48\)"):
        GpuDecoder(0).check_picture(FakePicture(size=(63, 48)), context)


def test_a_picture_that_is_as_it_should_be_is_taken():
    GpuDecoder(0).check_picture(FakePicture(), FakeContext())
    assert GpuDecoder(0).holds(FakePicture())
    assert not GpuDecoder(0).holds(FakePicture(stored="p016le"))
    assert not GpuDecoder(0).holds(FakePicture(name="yuv420p"))


def test_a_decoder_on_a_gpu_has_one_thread():
    context = FakeContext()
    with pytest.raises(GpuRefusalError, match="no GPU decodes h264"):
        GpuDecoder(0).check_codec(context)
    context.is_hwaccel = True
    GpuDecoder(0).check_codec(context)
    assert context.thread_count == 1


class TestFrames:
    @pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le"])
    @pytest.mark.parametrize("decode", ["auto", "cuda"])
    def test_they_are_the_cpus_but_for_where_they_are(self, tmp_path, gpu, caplog, name, decode):
        caplog.set_level(logging.INFO)
        clip = Clip(pixel_format=name, size=(66, 50), colour=(1, 1, 1, 1), audio="aac")
        path = make(tmp_path / "in.mp4", clip)
        frames, source = frames_of(path, decode=decode, cuda_device=2)
        wanted, plain = frames_of(path)
        assert (source.decoder, source.info.pixel_format) == ("cuda:2", name)
        assert caplog.messages == [f"{path}: decoded on cuda:2"]
        assert replace(source.info, streams=(), attachments=()) == replace(
            plain.info, streams=(), attachments=()
        )
        for one, other in zip(frames, wanted, strict=True):
            assert one.planes == ()
            for mine, theirs in zip(one.on_host().planes, other.planes, strict=True):
                np.testing.assert_array_equal(mine, theirs)
            for mine, theirs in zip(read(one.device), other.planes, strict=True):
                np.testing.assert_array_equal(mine, theirs)
            same = replace(one, planes=other.planes, device=None, packets=other.packets)
            assert same == other
            assert len(one.packets) == len(other.packets)

    def test_only_the_seconds_asked_for(self, tmp_path, gpu):
        path = make(tmp_path / "in.mp4")
        times = [
            [frame.time_s for frame in frames_of(path, decode=d, start_s=0.1, end_s=0.2)[0]]
            for d in ("cuda", "cpu")
        ]
        assert times[0] == times[1]
        assert len(times[0]) == 3

    def test_the_cpu_goes_on_where_the_gpu_gives_up(self, tmp_path, gpu, monkeypatch, caplog):
        monkeypatch.setattr(HostGpu, "leaves_at", 3)
        frames, _ = frames_of(make(tmp_path / "in.mp4"), decode="cuda")
        assert [frame.device is not None for frame in frames] == [True] * 3 + [False] * 5
        assert caplog.messages[-1].endswith(
            "in.mp4: from 0.100 s on pictures come from the CPU, not from cuda:0"
        )

    def test_deinterlacing_is_the_cpus(self, tmp_path, gpu, caplog):
        caplog.set_level(logging.INFO)
        path = make(tmp_path / "in.mp4", interlaced=True)
        frames, source = frames_of(path, decode="auto", deinterlace="yadif")
        assert source.decoder == "cpu"
        assert all(frame.planes for frame in frames)
        assert "it is interlaced, and the CPU deinterlaces" in caplog.text
        with pytest.raises(SourceError, match="it is interlaced, and the CPU deinterlaces"):
            FileSource(path, decode="cuda", deinterlace="yadif")

    def test_a_frame_keeps_the_decoders_memory_and_no_longer(self, tmp_path, gpu):
        frames, _ = frames_of(make(tmp_path / "in.mp4"), decode="cuda")
        held = weakref.ref(frames[0].device)
        del frames
        gc.collect()
        assert held() is None


class TestStage:
    @pytest.mark.parametrize("bits", [8, 10])
    @pytest.mark.parametrize(("batch", "depth"), [(1, 1), (2, 2), (3, 3)])
    @pytest.mark.parametrize("size", [(6, 4), (7, 5)])
    def test_mixed_frames_come_out_in_order_and_alike(self, batch, depth, bits, size):
        form = PictureFormat("420", bits, *size)
        clip = [make_frame(n, picture_format=form) for n in range(12)]
        mixed = [on_device(f) if f.pts in {1, 2, 3, 6, 8, 9} else f for f in clip]
        engine = DeviceEngine(batch=batch, depth=depth)
        found = list(clean(engine, strength=1.0)(iter(mixed)))
        wanted = list(clean(AddingEngine(), strength=1.0)(iter(clip)))
        assert [frame.pts for frame in found] == list(range(12))
        assert sum(engine.from_device) == 6
        assert all(frame.device is None for frame in found)
        for one, other in zip(found, wanted, strict=True):
            for mine, theirs in zip(one.planes, other.planes, strict=True):
                np.testing.assert_array_equal(mine, theirs)

    def test_full_batches_where_nothing_changes(self):
        engine = DeviceEngine(batch=2)
        list(clean(engine, strength=1.0)(on_device(frame) for frame in make_clip(5)))
        assert (engine.from_device, engine.sizes) == ([2, 2, 1], [])

    def test_what_a_session_does_not_take_is_copied_and_said_once(self, caplog):
        caplog.set_level(logging.INFO)
        engine = AddingEngine()
        found = list(clean(engine, strength=1.0)(on_device(frame) for frame in make_clip(4)))
        assert [int(frame.planes[0][0, 0]) for frame in found] == [10, 11, 12, 13]
        assert caplog.messages == [
            "decoded pictures are copied from the GPU to the host: the engine takes none there"
        ]

    def test_what_is_shown_beside_is_copied(self, caplog):
        caplog.set_level(logging.INFO)
        engine = DeviceEngine()
        stage = clean(engine, strength=1.0, keep_before=True)
        found = list(stage(on_device(frame) for frame in make_clip(3)))
        assert [int(frame.before[0][0, 0]) for frame in found] == [0, 1, 2]
        assert engine.from_device == []
        assert len(caplog.messages) == 1

    @pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le"])
    def test_a_file_is_the_same_whoever_decodes_it(self, tmp_path, gpu, name):
        path = make(tmp_path / "in.mp4", Clip(pixel_format=name, audio="aac"))
        files = []
        for decode in ("cpu", "cuda"):
            source = FileSource(path, decode=decode)
            files.append(tmp_path / f"{decode}.mkv")
            sink = FileSink(files[-1], source.info, codec="ffv1")
            stage = clean(DeviceEngine(batch=2, depth=2), strength=1.0)
            for frame in compose([("clean", stage)])(source.frames()):
                sink.write(frame)
            sink.finish(source.tail())
            source.close()
        one, other = map(packets, files)
        assert len(one) > 8
        assert one == other


def test_a_frame_without_planes_must_be_on_a_device():
    (frame,) = make_clip(1)
    with pytest.raises(ValueError, match="planes of"):
        replace(frame, planes=())
    assert on_device(frame).on_host().planes is frame.planes
    assert frame.on_host() is frame
    assert frame.time_base == Fraction(1, 30)


class OnGpu:
    """An engine that takes pictures from a GPU."""

    cuda_device = 1


@pytest.mark.parametrize(
    ("wish", "engine", "on_host", "found"),
    [
        ("auto", OnGpu(), False, ("auto", 1)),
        ("auto", OnGpu(), True, ("cpu", 0)),
        ("auto", AddingEngine(), False, ("cpu", 0)),
        ("auto", None, False, ("cpu", 0)),
        ("cuda", OnGpu(), True, ("cuda", 1)),
        ("cuda", AddingEngine(), False, ("cuda", 0)),
        ("cpu", OnGpu(), False, ("cpu", 1)),
    ],
)
def test_a_gpu_decodes_for_an_engine_on_it_or_where_insisted_on(wish, engine, on_host, found):
    assert who_decodes(wish, engine, on_host=on_host) == found


@pytest.mark.needs_cuda
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("smoothing", [None, Smoothing(0.15, 0.25)])
def test_what_a_gpu_decodes_is_cleaned_as_what_the_cpu_decodes(tmp_path, codec, smoothing):
    clip = make(tmp_path / "x.mp4", Clip(codec=codec, size=(320, 240)))
    engine = create_engine("torch", options={"device": "cuda"})
    found = {}
    for decode in ("cpu", "cuda"):
        source = FileSource(clip, decode=decode)
        assert source.decoder == ("cpu" if decode == "cpu" else "cuda:0")
        stage = clean(engine, strength=1.0, smoothing=smoothing)
        found[decode] = [tuple(map(np.array, f.planes)) for f in stage(source.frames())]
        source.close()
    engine.close()
    assert len(found["cpu"]) == len(found["cuda"]) == 8
    for one, other in zip(found["cpu"], found["cuda"], strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
