"""`demoire clean --decode` and `--hardware`: what is chosen, and what is said about it."""

import logging
from threading import Event

import av
import pytest
from media_files import make
from test_cli_clean import clean, codec_of, kinds_in
from test_hardware_decoding import DeviceEngine, HostGpu, packets

from pipeline.cli import job
from pipeline.cli.inputs import Job
from pipeline.cli.job import Cleaner
from pipeline.cli.progress import QuietDisplay
from pipeline.config import load_config
from pipeline.sources import file


class OnGpu(DeviceEngine):
    cuda_device = 1
    multiple = 64

    def close(self):
        pass


@pytest.fixture
def clip(tmp_path):
    return make(tmp_path / "talk.mp4", audio="aac")


@pytest.fixture
def gpu(monkeypatch):
    """A machine with `HostGpu`, on which the engine computes as well; gives that engine."""
    engine = OnGpu(batch=2, depth=2)
    monkeypatch.setattr(file, "GpuDecoder", HostGpu)
    monkeypatch.setattr(job, "create_engine", lambda *_, **__: engine)
    return engine


def run(source, target, *, times=1, **options):
    """Clean a file so many times with one engine, as a batch does; returns the reports."""
    config = load_config(options={"engine.name": "identity", "encoder.codec": "ffv1", **options})
    cleaner = Cleaner(config, overwrite=True, display=QuietDisplay())
    reports = [cleaner.clean(Job(source=source, target=target), Event()) for _ in range(times)]
    cleaner.close()
    return reports


class TestWithoutGpu:
    def test_a_gpu_that_is_insisted_on_is_an_error_and_the_output_stays(self, tmp_path):
        # In a codec that no GPU decodes, so that one here makes no difference.
        source, target = make(tmp_path / "in.mkv", codec="ffv1"), tmp_path / "in.clean.mkv"
        target.write_bytes(b"mine")
        done = clean(source, "--overwrite", "--decode", "cuda", "-o", target)
        assert done.exit_code == 1
        assert "in.mkv: cannot be decoded on cuda:0: " in done.stderr
        assert "--decode auto has the CPU do what the GPU cannot" in done.stderr
        assert target.read_bytes() == b"mine"
        assert sorted(tmp_path.iterdir()) == [target, source]

    def test_the_cpu_decodes_for_a_network_on_the_cpu_unsaid(self, clip, caplog):
        caplog.set_level(logging.INFO)
        done = clean(clip, "--dry-run")
        assert done.exit_code == 0, done.output
        (line,) = [line for line in done.stdout.splitlines() if line.strip().startswith("decoder")]
        assert line.split() == ["decoder", "cpu"]
        assert "decoded" not in caplog.text

    def test_hardware_by_name_is_an_error_and_the_output_stays(self, clip, tmp_path):
        target = tmp_path / "talk.clean.mp4"
        target.write_bytes(b"mine")
        done = clean(clip, "--overwrite", "--hardware", "v4l2m2m")
        assert done.exit_code == 1
        assert "encoder h264_v4l2m2m does not work here: " in done.stderr
        assert target.read_bytes() == b"mine"

    def test_a_hardware_encoder_that_there_is_not_is_refused(self, clip):
        done = clean(clip, "--hardware", "gpu")
        assert done.exit_code == 2
        assert "one of nvenc, qsv, amf, v4l2m2m, got 'gpu'" in done.stderr

    def test_automatic_hardware_writes_a_file_whatever_there_is(self, clip, tmp_path):
        done = clean(clip, "--hardware", "auto")
        assert done.exit_code == 0, done.output
        assert kinds_in(tmp_path / "talk.clean.mp4") == ["video", "audio"]
        assert codec_of(tmp_path / "talk.clean.mp4") == "h264"


class TestOnTheDeviceOfTheNetwork:
    def test_pictures_stay_there_and_the_file_is_the_same(self, clip, tmp_path, gpu, caplog):
        caplog.set_level(logging.INFO)
        one, other = tmp_path / "gpu.mkv", tmp_path / "cpu.mkv"
        run(clip, one, times=2)
        assert caplog.messages.count(f"{clip}: decoded on cuda:1") == 2
        assert sum(gpu.from_device) == 16
        gpu.from_device.clear()
        run(clip, other, **{"source.decode": "cpu"})
        assert gpu.from_device == []
        assert packets(one) == packets(other)

    def test_auto_has_the_cpu_decode_what_is_shown_beside(self, clip, tmp_path, gpu, caplog):
        caplog.set_level(logging.INFO)
        run(clip, tmp_path / "out.mkv", **{"compare.layout": "split", "compare.only": True})
        assert gpu.from_device == []
        assert "decoded" not in caplog.text

    def test_cuda_copies_what_is_shown_beside(self, clip, tmp_path, gpu, caplog):
        caplog.set_level(logging.INFO)
        options = {"compare.layout": "split", "compare.only": True, "source.decode": "cuda"}
        run(clip, tmp_path / "out.mkv", **options)
        assert gpu.from_device == []
        copied = "decoded pictures are copied from the GPU to the host: they are shown, too"
        assert caplog.messages.count(copied) == 1

    def test_a_dry_run_says_where_it_would_be(self, clip, tmp_path, gpu):
        config = load_config(options={"engine.name": "identity"})
        cleaner = Cleaner(config, overwrite=True, display=QuietDisplay())
        assert ("decoder", "cuda:1") in cleaner.describe(
            Job(source=clip, target=tmp_path / "out.mp4")
        )
        cleaner.close()

    def test_a_photo_is_read_as_ever(self, tmp_path, gpu):
        photo = make_photo(tmp_path / "still.png")
        run(photo, tmp_path / "out.png")
        assert (tmp_path / "out.png").exists()


def make_photo(path):
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        frame = av.VideoFrame(64, 48, "rgb24")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
