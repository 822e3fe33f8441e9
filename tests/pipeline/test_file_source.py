"""Reading video files: every frame once, and one clear error for everything else."""

import gc
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from media_files import Clip, make, picture, pts_of

from pipeline.errors import ConfigError, SourceError
from pipeline.frame import ColourTags
from pipeline.sources import SOURCES, open_source
from pipeline.sources.file import FileSource
from pipeline.sources.picture import plane_views


def read(path, **options):
    """Return the source's frames, tail and the source itself, closed."""
    source = FileSource(path, **options)
    frames = list(source.frames())
    tail = source.tail()
    source.close()
    return frames, tail, source


SHAPES = {
    "b_frames": Clip(options={"bf": "3"}),
    "variable_rate": Clip(pts=[0, 512, 1100, 1101, 4000, 9000, 9512, 12000]),
    "ntsc": Clip(rate=Fraction(30000, 1001), time_base=Fraction(1, 30000)),
    "gap": Clip(pts=[0, 512, 1024, 90000, 90512]),
    "late_start": Clip(pts=[7680 + 512 * index for index in range(8)]),
    "one_frame": Clip(pts=[0]),
    "tall": Clip(size=(16, 240)),
    "no_b_frames": Clip(options={"bf": "0", "tune": "zerolatency"}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_frame_comes_once_with_its_own_time(tmp_path, shape):
    clip = SHAPES[shape]
    frames, _, source = read(make(tmp_path / "in.mp4", clip))
    assert [frame.pts * frame.time_base for frame in frames] == [
        pts * clip.time_base for pts in pts_of(clip)
    ]
    assert source.decode_errors == source.derived_timestamps == 0
    assert source.info.frame_count == len(frames)


FORMATS = {
    "yuv420p": "ffv1",
    "yuv420p10le": "ffv1",
    "yuv422p": "ffv1",
    "yuv422p10le": "ffv1",
    "yuv422p12le": "ffv1",
    "yuv444p": "ffv1",
    "yuv444p16le": "ffv1",
    "gray": "ffv1",
    "gray16le": "ffv1",
    "gbrp10le": "ffv1",
    "gbrp16le": "ffv1",
}


@pytest.mark.parametrize("size", [(64, 48), (63, 49)])
@pytest.mark.parametrize("name", FORMATS)
def test_samples_come_as_they_were_encoded(tmp_path, name, size):
    path = make(tmp_path / "in.mkv", codec="ffv1", pixel_format=name, size=size)
    frames, _, source = read(path)
    assert source.info.pixel_format == frames[0].pixel_format == name
    assert (source.info.width, source.info.height) == size
    for index, frame in enumerate(frames):
        expected, _ = plane_views(picture(index, size, name))
        for mine, theirs in zip(frame.planes, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_planes_are_views_of_the_decoders_memory(tmp_path):
    frames, _, _ = read(make(tmp_path / "in.mp4"))
    assert all(plane.base is not None and not plane.flags.owndata for plane in frames[0].planes)


def test_frames_stay_valid_after_the_source_is_closed(tmp_path):
    path = make(tmp_path / "in.mkv", codec="ffv1")
    frames, _, _ = read(path)
    gc.collect()
    np.testing.assert_array_equal(
        frames[7].planes[0], plane_views(picture(7, (64, 48), "yuv420p"))[0][0]
    )


def test_alpha_is_kept_aside(tmp_path):
    path = make(tmp_path / "in.mkv", codec="ffv1", pixel_format="yuva420p")
    frames, _, source = read(path)
    assert source.info.alpha
    assert source.info.pixel_format == "yuv420p"
    expected, alpha = plane_views(picture(0, (64, 48), "yuva420p"))
    np.testing.assert_array_equal(frames[0].planes[0], expected[0])
    np.testing.assert_array_equal(frames[0].alpha[0], alpha[0])


@pytest.mark.parametrize(
    "colour", [(2, 2, 2, 0), (1, 1, 1, 1), (9, 9, 16, 1), (9, 9, 18, 1), (5, 6, 6, 2)]
)
def test_colour_tags_are_read_and_never_guessed(tmp_path, colour):
    path = make(tmp_path / "in.mkv", pixel_format="yuv420p10le", colour=colour)
    frames, _, source = read(path)
    space, primaries, transfer, code_range = colour
    expected = ColourTags(space=space, primaries=primaries, transfer=transfer, range=code_range)
    assert source.info.colour == frames[0].colour == expected


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_rotation_is_told_and_not_applied(tmp_path, degrees):
    frames, _, source = read(make(tmp_path / "in.mp4", rotation=degrees))
    assert abs(source.info.rotation) == abs(degrees)
    assert frames[0].format.width == 64


def test_sample_aspect_ratio_is_told_where_tagged(tmp_path):
    _, _, tagged = read(make(tmp_path / "a.mp4", aspect=Fraction(4, 3)))
    _, _, untagged = read(make(tmp_path / "b.mp4"))
    assert tagged.info.sample_aspect_ratio == Fraction(4, 3)
    assert untagged.info.sample_aspect_ratio in (None, 1)


def test_info_tells_rate_duration_and_tags(tmp_path):
    path = make(
        tmp_path / "in.mkv",
        rate=Fraction(30000, 1001),
        metadata={"title": "Talk"},
        language="fra",
        chapters=[(0, 0.1, "one"), (0.1, 0.2, "two")],
        attachments=[("font.ttf", "font/ttf", b"abc")],
    )
    info = read(path)[2].info
    assert info.frame_rate == pytest.approx(29.97, rel=1e-3)
    assert info.duration_s == pytest.approx(8 * 1001 / 30000, abs=0.002)
    assert info.frame_count == 8
    assert info.metadata["title"] == "Talk"
    assert info.video_metadata["language"] == "fra"
    assert [chapter["metadata"]["title"] for chapter in info.chapters] == ["one", "two"]
    assert len(info.attachments) == 1


def test_packets_of_other_streams_travel_with_the_frames(tmp_path):
    path = make(tmp_path / "in.mkv", audio="libopus", audio_s=0.6, subtitles=[(0.05, 0.2, "Hallo")])
    with av.open(str(path)) as container:
        expected = sorted(
            (packet.stream_index, packet.pts, bytes(packet))
            for packet in container.demux()
            if packet.size and packet.stream_index
        )
    frames, tail, source = read(path)
    met = [packet for frame in frames for packet in frame.packets]
    assert len(source.info.streams) == 2
    assert sorted((one.stream_index, one.pts, bytes(one)) for one in [*met, *tail]) == expected


def test_gaps_are_discontinuities(tmp_path):
    frames, _, _ = read(make(tmp_path / "in.mp4", SHAPES["gap"]))
    assert [frame.discontinuity for frame in frames] == [True, False, False, True, False]


def test_missing_timestamps_are_derived_and_counted(tmp_path):
    path = tmp_path / "raw.h264"
    with av.open(str(make(tmp_path / "in.mp4", options={"bf": "0"}))) as source:
        stream = source.streams.video[0]
        annexb = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        path.write_bytes(
            b"".join(bytes(out) for one in source.demux(stream) for out in annexb.filter(one))
        )
    frames, _, source = read(path)
    assert len(frames) == 8
    assert all(earlier.pts < later.pts for earlier, later in pairwise(frames))


def test_full_range_by_its_old_name_is_tagged_full_range(tmp_path):
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", 30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        stream.codec_context.color_range = 2
        frame = picture(0, (64, 48), "yuv420p").reformat(
            format="yuvj420p", src_color_range=2, dst_color_range=2
        )
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames, _, source = read(path)
    assert frames[0].pixel_format == source.info.pixel_format == "yuv420p"
    assert frames[0].colour.range == 2


class TestRange:
    CLIP = Clip(pts=[512 * index for index in range(60)], options={"g": "12"}, audio="aac")

    @pytest.fixture(params=[".mp4", ".mkv", ".ts"])
    def path(self, request, tmp_path):
        return make(tmp_path / f"in{request.param}", self.CLIP)

    def test_frames_lie_in_the_half_open_range(self, path):
        whole, _, _ = read(path)
        zero = whole[0].time_s
        frames, _, _ = read(path, start_s=0.9, end_s=1.3)
        with av.open(str(path)) as container:
            origin = container.start_time / 1e6
        wanted = [one for one in whole if 0.9 - 1e-9 <= one.time_s - origin < 1.3 - 1e-9]
        assert len(frames) == len(wanted)
        assert zero >= origin
        np.testing.assert_array_equal(frames[0].planes[0], wanted[0].planes[0])

    def test_output_begins_at_zero_and_sound_keeps_its_offset(self, path):
        whole, whole_tail, _ = read(path)
        frames, tail, _ = read(path, start_s=0.9, end_s=1.3)
        sound = [one for frame in frames for one in frame.packets] + list(tail)
        all_sound = [one for frame in whole for one in frame.packets] + list(whole_tail)
        same = next(one for one in all_sound if bytes(one) == bytes(sound[0]))
        moved = next(
            one for one in whole if np.array_equal(one.planes[0], frames[0].planes[0])
        ).time_s
        assert frames[0].pts == 0
        before = float(same.pts * same.time_base) - moved
        assert float(sound[0].pts * sound[0].time_base) == pytest.approx(before, abs=0.001)
        assert all(0 <= one.pts * one.time_base < Fraction("0.42") for one in sound)

    def test_end_alone_moves_nothing(self, path):
        whole, _, _ = read(path)
        frames, _, _ = read(path, end_s=0.5)
        assert frames[0].pts == whole[0].pts
        assert 0 < len(frames) < len(whole)

    def test_start_behind_the_end_of_the_file_is_refused(self, path):
        with pytest.raises(SourceError, match="no frame between --start and --end"):
            FileSource(path, start_s=50)


def test_chapters_and_counts_are_cut_with_the_range(tmp_path):
    clip = Clip(
        pts=[512 * index for index in range(60)],
        chapters=[(0, 0.5, "one"), (0.5, 1.5, "two"), (1.5, 2, "three")],
    )
    info = read(make(tmp_path / "in.mp4", clip), start_s=1.0, end_s=1.4)[2].info
    assert [chapter["metadata"]["title"] for chapter in info.chapters] == ["two"]
    assert info.chapters[0]["start"] == 0
    assert info.duration_s == pytest.approx(0.4)
    assert info.frame_count == 12


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [(-1, None, "--start: must be at or after 0"), (2, 1, "--end: must be after --start")],
)
def test_an_impossible_range_is_refused(tmp_path, start, end, words):
    with pytest.raises(ConfigError, match=words):
        FileSource(make(tmp_path / "in.mp4"), start_s=start, end_s=end)


class TestInterlaced:
    @pytest.fixture
    def path(self, tmp_path):
        return make(
            tmp_path / "in.mkv", interlaced=True, size=(64, 64), options={"x264-params": "tff=1"}
        )

    def test_it_is_refused_with_a_way_out(self, path):
        with pytest.raises(SourceError, match=r"is interlaced.*--deinterlace yadif"):
            FileSource(path)

    @pytest.mark.parametrize("name", ["yadif", "bwdif"])
    def test_a_filter_gives_one_whole_frame_per_frame(self, path, name):
        with av.open(str(path)) as container:
            expected = [frame.pts for frame in container.decode(video=0)]
        frames, _, source = read(path, deinterlace=name)
        assert [frame.pts for frame in frames] == expected
        assert not source.info.interlaced

    def test_progressive_video_passes_the_filter_by(self, tmp_path):
        path = make(tmp_path / "p.mkv", codec="ffv1")
        frames, _, _ = read(path, deinterlace="yadif")
        np.testing.assert_array_equal(
            frames[3].planes[0], plane_views(picture(3, (64, 48), "yuv420p"))[0][0]
        )


class TestDamage:
    CLIP = Clip(pts=[512 * index for index in range(40)], options={"g": "10"})

    @pytest.fixture
    def broken(self, tmp_path):
        """A clip with some of its frames overwritten."""
        path = make(tmp_path / "in.mkv", self.CLIP)
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
            places = [packets[index].pos for index in (5, 6, 25)]
            sizes = [packets[index].size for index in (5, 6, 25)]
        data = bytearray(path.read_bytes())
        for place, size in zip(places, sizes, strict=True):
            data[place + 12 : place + size] = b"\xff" * (size - 12)
        path.write_bytes(data)
        return path

    def test_errors_are_counted_and_the_run_goes_on(self, broken, caplog):
        frames, _, source = read(broken)
        assert source.decode_errors > 0
        assert len(frames) + source.decode_errors >= 40
        assert len(frames) >= 30
        assert "decode" in caplog.text or "damaged" in caplog.text

    def test_strict_stops_at_the_first_error(self, broken):
        with pytest.raises(SourceError, match=r"failed to decode.*--strict"):
            read(broken, strict=True)

    def test_a_truncated_file_gives_what_it_has_and_says_so(self, tmp_path, caplog):
        path = _faststart(make(tmp_path / "in.mp4", self.CLIP), tmp_path / "cut.mp4")
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        frames, _, source = read(path)
        assert 5 < len(frames) < 40
        assert source.decode_errors >= 1
        assert "truncated" in caplog.text

    def test_a_truncated_file_is_an_error_when_strict(self, tmp_path):
        path = _faststart(make(tmp_path / "in.mp4", self.CLIP), tmp_path / "cut.mp4")
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(SourceError, match="leave out --strict"):
            read(path, strict=True)

    def test_a_file_without_its_index_is_refused(self, tmp_path):
        path = make(tmp_path / "in.mp4", self.CLIP)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(SourceError, match=r"in\.mp4: is not a video.*truncated"):
            FileSource(path)

    def test_a_file_whose_frames_are_all_garbage_is_refused(self, tmp_path):
        path = make(tmp_path / "in.mkv", pts=[0, 512])
        with av.open(str(path)) as container:
            spans = [(one.pos, one.size) for one in container.demux(video=0) if one.size]
        data = bytearray(path.read_bytes())
        for place, size in spans:
            data[place : place + size + 8] = bytes(size + 8)
        path.write_bytes(data)
        with pytest.raises(SourceError, match=r"no frame of its video|is not a video|no video"):
            FileSource(path)


def _faststart(path, target):
    """Return a copy of an mp4 with its index in front."""
    with (
        av.open(str(path)) as source,
        av.open(str(target), "w", options={"movflags": "+faststart"}) as copy,
    ):
        stream = copy.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    return target


class TestNotVideo:
    def test_missing(self, tmp_path):
        with pytest.raises(SourceError, match=r"no\.mp4: No such file.*check the name"):
            FileSource(tmp_path / "no.mp4")

    def test_folder(self, tmp_path):
        with pytest.raises(SourceError, match="is a folder"):
            FileSource(tmp_path)

    def test_empty(self, tmp_path):
        (tmp_path / "in.mp4").touch()
        with pytest.raises(SourceError, match=r"is empty \(0 bytes\)"):
            FileSource(tmp_path / "in.mp4")

    def test_text(self, tmp_path):
        (tmp_path / "in.mp4").write_text("This is not a film. " * 50)
        with pytest.raises(SourceError, match="is not a video that FFmpeg can read"):
            FileSource(tmp_path / "in.mp4")

    def test_a_lying_header(self, tmp_path):
        data = make(tmp_path / "in.mp4").read_bytes()
        (tmp_path / "lie.mp4").write_bytes(data[:40] + bytes(4000))
        with pytest.raises(SourceError, match=r"no video stream|is not a video"):
            FileSource(tmp_path / "lie.mp4")

    def test_sound_alone(self, tmp_path):
        with av.open(str(tmp_path / "in.mp4"), "w") as container:
            stream = container.add_stream("aac", 48_000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), "s16", "stereo")
            frame.sample_rate = 48_000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with pytest.raises(SourceError, match=r"no video stream among 1 stream\(s\): audio"):
            FileSource(tmp_path / "in.mp4")

    def test_names_that_look_like_addresses_are_still_files(self, tmp_path, monkeypatch):
        make(tmp_path / "in.mp4").rename(tmp_path / "http:talk.mp4")
        monkeypatch.chdir(tmp_path)
        assert len(read("http:talk.mp4")[0]) == 8


def test_a_source_is_opened_by_its_extension(tmp_path):
    source = open_source(make(tmp_path / "in.mp4"), threads=1)
    assert isinstance(source, FileSource)
    source.close()


def test_an_unknown_kind_of_source_is_refused():
    with pytest.raises(SourceError, match=f"'tape'; there are {', '.join(SOURCES)}"):
        open_source("x", kind="tape")


def test_an_option_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(TypeError, match="threds"):
        open_source(make(tmp_path / "in.mp4"), threds=2)
