"""Writing video files: complete under the final name, or not there at all."""

import logging
import resource
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
import pytest
from media_files import Clip, make, picture

from pipeline.errors import ConfigError, SinkError
from pipeline.frame import ColourTags, Frame
from pipeline.media import SourceInfo, picture_format
from pipeline.sinks import SINKS, codecs, open_sink
from pipeline.sinks.codecs import CODECS, choose_encoding, find_codec
from pipeline.sinks.file import FileSink
from pipeline.sinks.null import NullSink
from pipeline.sinks.tee import TeeSink
from pipeline.sources.file import FileSource
from pipeline.sources.picture import plane_views

TIME_BASE = Fraction(1, 15_360)


def info(**changes):
    fields = {
        "url": "in.mp4",
        "width": 64,
        "height": 48,
        "pixel_format": "yuv420p",
        "time_base": TIME_BASE,
        "frame_rate": Fraction(30),
    }
    return SourceInfo(**(fields | changes))


def frame(index, *, size=(64, 48), name="yuv420p", pts=None, **fields):
    planes, alpha = plane_views(picture(index, size, name))
    return Frame(
        planes=planes,
        alpha=alpha,
        format=picture_format(name, *size),
        pixel_format=name,
        pts=index * 512 if pts is None else pts,
        time_base=TIME_BASE,
        **fields,
    )


def write(sink, count=8, **fields):
    for index in range(count):
        sink.write(frame(index, **fields))
    sink.finish(())
    return sink


def copy(source_path, target, **options):
    """Copy a file through source and sink and return the sink."""
    source = FileSource(source_path)
    sink = FileSink(target, source.info, **options)
    for one in source.frames():
        sink.write(one)
    sink.finish(source.tail())
    source.close()
    return sink


@contextmanager
def files_end_at(size):
    """Files of this process end at `size` bytes, as on a full disk.

    Only around what is tested: pytest's own output may be a file, and would end there too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestName:
    def test_the_final_name_appears_only_when_complete(self, tmp_path):
        sink = FileSink(tmp_path / "out.mp4", info())
        sink.write(frame(0))
        assert [one.name for one in tmp_path.iterdir()] == ["out.mp4.part"]
        sink.finish(())
        assert [one.name for one in tmp_path.iterdir()] == ["out.mp4"]

    def test_an_aborted_file_keeps_its_temporary_name(self, tmp_path):
        sink = FileSink(tmp_path / "out.mp4", info())
        sink.write(frame(0))
        sink.abort()
        assert [one.name for one in tmp_path.iterdir()] == ["out.mp4.part"]

    def test_abort_after_finish_changes_nothing(self, tmp_path):
        sink = write(FileSink(tmp_path / "out.mp4", info()))
        before = sink.path.read_bytes()
        sink.abort()
        assert sink.path.read_bytes() == before

    def test_an_existing_file_is_not_replaced_unasked(self, tmp_path):
        (tmp_path / "out.mp4").write_text("precious")
        with pytest.raises(SinkError, match=r"out\.mp4: already exists; add --overwrite"):
            FileSink(tmp_path / "out.mp4", info())

    def test_an_existing_file_survives_a_failure(self, tmp_path):
        (tmp_path / "out.mp4").write_text("precious")
        sink = FileSink(tmp_path / "out.mp4", info(), overwrite=True)
        sink.write(frame(0))
        sink.abort()
        assert (tmp_path / "out.mp4").read_text() == "precious"

    def test_an_existing_file_is_replaced_when_asked(self, tmp_path):
        (tmp_path / "out.mp4").write_text("old")
        write(FileSink(tmp_path / "out.mp4", info(), overwrite=True))
        assert len(list(FileSource(tmp_path / "out.mp4").frames())) == 8

    def test_a_file_that_appeared_meanwhile_is_not_replaced(self, tmp_path):
        sink = FileSink(tmp_path / "out.mp4", info())
        sink.write(frame(0))
        (tmp_path / "out.mp4").write_text("precious")
        with pytest.raises(SinkError, match="already exists"):
            sink.finish(())
        assert (tmp_path / "out.mp4").read_text() == "precious"

    @pytest.mark.parametrize("name", ["out.xyz", "out"])
    def test_an_unknown_extension_is_refused(self, tmp_path, name):
        with pytest.raises(SinkError, match=r"cannot tell the container.*\.mp4"):
            FileSink(tmp_path / name, info())

    def test_avi_is_refused_as_it_stores_no_timestamps(self, tmp_path):
        with pytest.raises(SinkError, match=r"AVI stores no timestamps.*\.mp4 or \.mkv"):
            FileSink(tmp_path / "out.avi", info())

    def test_a_missing_folder_is_refused(self, tmp_path):
        with pytest.raises(SinkError, match="its folder does not exist; create it"):
            FileSink(tmp_path / "no" / "out.mp4", info())

    def test_a_folder_as_the_name_is_refused(self, tmp_path):
        with pytest.raises(SinkError, match="is a folder; add a file name"):
            FileSink(tmp_path, info())

    def test_a_file_that_cannot_be_created_is_one_error(self, tmp_path):
        (tmp_path / "out.mp4.part").mkdir()
        with pytest.raises(SinkError, match=r"out\.mp4: cannot be created.*directory"):
            FileSink(tmp_path / "out.mp4", info())


class TestDisk:
    def test_a_full_disk_is_one_error_and_no_output(self, tmp_path):
        sink = FileSink(tmp_path / "out.mp4", info(), crf=0)
        with files_end_at(16_384):
            with pytest.raises(SinkError, match=r"out\.mp4: cannot be written.*free some space"):
                write(sink, count=120)
            sink.abort()
        assert not sink.path.exists()

    def test_a_disk_that_is_full_at_the_very_end_is_one_error(self, tmp_path, monkeypatch):
        sink = FileSink(tmp_path / "out.mp4", info())
        for index in range(8):
            sink.write(frame(index))
        with files_end_at(64):
            with pytest.raises(SinkError, match=r"cannot be written.*stays in out\.mp4\.part"):
                sink.finish(())
            sink.abort()
        assert not sink.path.exists()


class TestFrames:
    def test_no_frame_is_an_error(self, tmp_path):
        with pytest.raises(SinkError, match="no frame came"):
            FileSink(tmp_path / "out.mp4", info()).finish(())

    def test_a_change_of_size_is_refused(self, tmp_path):
        sink = FileSink(tmp_path / "out.mp4", info())
        sink.write(frame(0))
        with pytest.raises(SinkError, match=r"changes from 64x48 420 8 bit to 32x32.*0\.033 s"):
            sink.write(frame(1, size=(32, 32)))

    def test_a_frame_out_of_order_is_refused(self, tmp_path):
        sink = FileSink(tmp_path / "out.mp4", info())
        sink.write(frame(2))
        with pytest.raises(SinkError, match="order of their times"):
            sink.write(frame(1))

    def test_stopping_early_gives_a_valid_shorter_file(self, tmp_path):
        source = FileSource(make(tmp_path / "in.mp4", audio="aac"))
        sink = FileSink(tmp_path / "out.mp4", source.info)
        frames = source.frames()
        for _ in range(3):
            sink.write(next(frames))
        frames.close()
        sink.finish(source.tail())
        source.close()
        assert len(list(FileSource(tmp_path / "out.mp4").frames())) == 3

    def test_a_video_that_begins_before_zero_loses_no_frame(self, tmp_path):
        sink = FileSink(tmp_path / "out.mp4", info())
        for index in range(8):
            sink.write(frame(index, pts=-3000 + 512 * index))
        sink.finish(())
        found = list(FileSource(tmp_path / "out.mp4").frames())
        assert [one.pts for one in found] == [512 * index for index in range(8)]
        assert sink.verify().pts_change_s == 0


class TestCodec:
    @pytest.mark.parametrize(
        ("codec", "suffix"),
        [
            ("h264", ".mp4"),
            ("hevc", ".mp4"),
            ("av1", ".mp4"),
            ("av1", ".webm"),
            ("prores", ".mov"),
            ("ffv1", ".mkv"),
            ("h264", ".ts"),
            ("h264", ".mkv"),
        ],
    )
    def test_every_codec_writes_a_playable_file(self, tmp_path, codec, suffix):
        sink = write(FileSink(tmp_path / f"out{suffix}", info(), codec=codec))
        source = FileSource(sink.path)
        found = list(source.frames())
        assert len(found) == 8
        original = frame(3).planes[0].astype(int)
        shift = found[3].format.bits - 8
        assert np.abs((found[3].planes[0].astype(int) >> shift) - original).mean() < 4

    @pytest.mark.parametrize("codec", CODECS)
    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_very_short_videos_are_complete(self, tmp_path, codec, count):
        name = "out.mov" if codec == "prores" else "out.mkv"
        sink = write(FileSink(tmp_path / name, info(), codec=codec), count)
        assert sink.verify().frames_found == count

    def test_two_frames_of_hevc_are_complete_in_mp4(self, tmp_path):
        for number in range(5):
            sink = write(FileSink(tmp_path / f"{number}.mp4", info(), codec="hevc"), 2)
            assert sink.verify().frames_found == 2

    def test_h264_in_webm_is_refused(self, tmp_path):
        with pytest.raises(SinkError, match=r"cannot be created with --codec h264.*webm"):
            FileSink(tmp_path / "out.webm", info())
        assert not list(tmp_path.iterdir())

    def test_an_unknown_codec_is_refused(self, tmp_path):
        with pytest.raises(ConfigError, match="--codec: must be one of h264, hevc, av1"):
            FileSink(tmp_path / "out.mp4", info(), codec="mpeg1")

    def test_a_missing_encoder_is_named(self, monkeypatch):
        gone = codecs.VideoCodec(encoder="libnone")
        monkeypatch.setitem(codecs.CODECS, "h264", gone)
        with pytest.raises(SinkError, match="encoder libnone for --codec h264 is missing"):
            find_codec("h264")

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"codec": "ffv1", "crf": 20}, "--crf: ffv1 has no such setting"),
            ({"codec": "prores", "encoder_preset": "fast"}, "--encoder-preset: prores_ks has no"),
        ],
    )
    def test_a_setting_that_a_codec_lacks_is_refused(self, tmp_path, options, words):
        with pytest.raises(ConfigError, match=words):
            FileSink(tmp_path / "out.mkv", info(), **options)

    def test_a_wrong_encoder_preset_is_one_error(self, tmp_path):
        with pytest.raises(SinkError, match="cannot be created with --codec h264"):
            FileSink(tmp_path / "out.mp4", info(), encoder_preset="warp")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("codec", "source", "chosen"),
        [
            ("h264", "yuv420p", "yuv420p"),
            ("h264", "yuv422p10le", "yuv422p10le"),
            ("h264", "yuv420p9le", "yuv420p10le"),
            ("h264", "gray", "gray"),
            ("h264", "gbrp", "yuv444p"),
            ("hevc", "gbrp12le", "gbrp12le"),
            ("av1", "gray", "yuv420p"),
            ("prores", "yuv420p", "yuv422p10le"),
            ("prores", "yuv444p", "yuv444p10le"),
            ("ffv1", "gbrp", "bgr0"),
            ("ffv1", "yuv444p16le", "yuv444p16le"),
        ],
    )
    def test_the_nearest_format_without_loss_is_chosen(self, codec, source, chosen):
        encoding = choose_encoding(codec, CODECS[codec], info(pixel_format=source))
        assert encoding.pixel_format == chosen
        assert bool(encoding.note) == (chosen != source)

    @pytest.mark.parametrize(
        ("codec", "source", "way_out"),
        [
            ("h264", "yuv422p12le", "hevc or ffv1"),
            ("av1", "yuv444p", "h264 or hevc or prores or ffv1"),
            ("prores", "yuv422p12le", "hevc or ffv1"),
            ("hevc", "yuv420p16le", "ffv1"),
        ],
    )
    def test_loss_of_depth_or_chroma_is_refused(self, codec, source, way_out):
        with pytest.raises(SinkError, match=f"cannot hold {source}.*use --codec {way_out}"):
            choose_encoding(codec, CODECS[codec], info(pixel_format=source))

    @pytest.mark.parametrize("codec", ["h264", "hevc"])
    def test_odd_sizes_that_a_codec_cannot_take_are_refused(self, codec):
        with pytest.raises(SinkError, match=r"in even sizes only.*63x49; use --codec av1 or ffv1"):
            choose_encoding(codec, CODECS[codec], info(width=63, height=49))

    def test_a_change_of_format_is_said(self, tmp_path, caplog):
        caplog.set_level(logging.INFO)
        FileSink(tmp_path / "out.mov", info(), codec="prores").abort()
        assert "prores: yuv420p is written as yuv422p10le" in caplog.text

    def test_prores_turns_full_range_into_limited(self, tmp_path):
        tagged = info(colour=ColourTags(range=2))
        sink = FileSink(tmp_path / "out.mov", tagged, codec="prores")
        white = np.full((48, 64), 255, np.uint8)
        grey = np.full((24, 32), 128, np.uint8)
        for index in range(2):
            sink.write(
                Frame(
                    planes=(white, grey, grey),
                    format=tagged.picture_format,
                    pixel_format="yuv420p",
                    pts=index * 512,
                    time_base=TIME_BASE,
                    colour=tagged.colour,
                )
            )
        sink.finish(())
        found = next(FileSource(sink.path).frames())
        assert abs(int(found.planes[0].mean()) - 940) <= 4

    @pytest.mark.parametrize("codec", ["prores", "ffv1"])
    def test_alpha_is_written_where_the_codec_has_it(self, tmp_path, codec):
        source = info(pixel_format="yuv444p10le", alpha=True)
        name = "out.mov" if codec == "prores" else "out.mkv"
        sink = FileSink(tmp_path / name, source, codec=codec)
        one = frame(0, name="yuva444p10le")
        planes = one.planes
        sink.write(
            Frame(
                planes=planes,
                alpha=one.alpha,
                format=source.picture_format,
                pixel_format="yuv444p10le",
                pts=0,
                time_base=TIME_BASE,
            )
        )
        sink.finish(())
        found = next(FileSource(sink.path).frames())
        assert found.alpha[0].shape == (48, 64)

    def test_alpha_that_is_lost_is_said(self):
        encoding = choose_encoding("h264", CODECS["h264"], info(alpha=True))
        assert "without the alpha channel" in encoding.note

    def test_the_encoder_threads_over_frames_not_slices(self, tmp_path):
        sink = FileSink(tmp_path / "out.mp4", info(), threads=2)
        with av.open(str(write(sink).path)) as container:
            packet = next(one for one in container.demux(video=0) if one.size)
        coded_slices = _nal_types(bytes(packet)).count(5)
        assert coded_slices == 1


def _nal_types(data):
    """Types of the NAL units in an mp4 packet."""
    types, place = [], 0
    while place + 4 < len(data):
        types.append(data[place + 4] & 31)
        place += 4 + int.from_bytes(data[place : place + 4], "big")
    return types


class TestStreams:
    def test_subtitles_that_mp4_cannot_hold_are_refused_with_a_way_out(self, tmp_path):
        path = make(tmp_path / "in.mkv", subtitles=[(0, 0.1, "Hallo")])
        words = r"subtitle stream #1 \(srt\) cannot be kept in mp4.*\.mkv.*--drop-streams"
        with pytest.raises(SinkError, match=words):
            copy(path, tmp_path / "out.mp4")
        assert not (tmp_path / "out.mp4.part").exists()

    def test_such_streams_are_left_out_with_a_warning_when_asked(self, tmp_path, caplog):
        path = make(tmp_path / "in.mkv", subtitles=[(0, 0.1, "Hallo")], audio="aac")
        copy(path, tmp_path / "out.mp4", drop_streams=True)
        assert "subtitle stream #2 (srt) is left out" in caplog.text
        with av.open(str(tmp_path / "out.mp4")) as container:
            assert [one.type for one in container.streams] == ["video", "audio"]

    def test_attachments_that_mp4_cannot_hold_are_refused(self, tmp_path):
        path = make(tmp_path / "in.mkv", attachments=[("a.ttf", "font/ttf", b"abc")])
        with pytest.raises(SinkError, match=r"attachment stream #1 .* cannot be kept in mp4"):
            copy(path, tmp_path / "out.mp4")

    def test_sound_that_webm_cannot_hold_is_refused(self, tmp_path):
        path = make(tmp_path / "in.mkv", audio="aac")
        with pytest.raises(SinkError, match=r"audio stream #1 \(aac\) cannot be kept in webm"):
            copy(path, tmp_path / "out.webm", codec="av1")

    def test_packets_are_left_untouched_for_the_next_sink(self, tmp_path):
        source = FileSource(make(tmp_path / "in.mkv", audio="libopus"))
        sink = FileSink(tmp_path / "out.mp4", source.info)
        before, after = [], []
        for one in source.frames():
            before += [(p.stream_index, p.pts, p.dts, p.time_base) for p in one.packets]
            sink.write(one)
            after += [(p.stream_index, p.pts, p.dts, p.time_base) for p in one.packets]
        sink.abort()
        source.close()
        assert before == after
        assert before


class TestOthers:
    def test_null_sink_counts(self):
        sink = NullSink()
        for index in range(3):
            sink.write(frame(index))
        sink.finish(())
        assert (sink.frames, sink.packets, sink.finished) == (3, 0, True)

    def test_a_tee_feeds_all_its_sinks_alike(self, tmp_path):
        source = FileSource(make(tmp_path / "in.mkv", audio="libopus"))
        sinks = [FileSink(tmp_path / name, source.info) for name in ("a.mp4", "b.mkv")]
        tee = TeeSink([*sinks, NullSink()])
        for one in source.frames():
            tee.write(one)
        tee.finish(source.tail())
        source.close()
        for sink in sinks:
            seen = sink.verify()
            assert seen.frames_found == 8
            assert seen.av_drift_s <= 0.001

    def test_an_empty_tee_makes_no_sense(self):
        with pytest.raises(ValueError, match="at least one sink"):
            TeeSink([])

    def test_an_aborted_tee_aborts_all(self, tmp_path):
        tee = TeeSink([FileSink(tmp_path / name, info()) for name in ("a.mp4", "b.mp4")])
        tee.write(frame(0))
        tee.abort()
        assert sorted(one.name for one in tmp_path.iterdir()) == ["a.mp4.part", "b.mp4.part"]

    def test_a_sink_is_opened_by_its_extension(self, tmp_path):
        sink = open_sink(tmp_path / "out.mkv", info(), codec="ffv1")
        assert isinstance(sink, FileSink)
        sink.abort()

    def test_an_unknown_kind_of_sink_is_refused(self):
        with pytest.raises(SinkError, match=f"'tape'; there are {', '.join(SINKS)}"):
            open_sink("x", info(), kind="tape")


def test_clip_defaults_are_what_the_tests_expect():
    assert Clip().size == (64, 48)
