"""A file through source and sink: what comes out is what went in."""

import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import Clip, make

from pipeline.frame import ColourTags
from pipeline.sinks.file import FileSink
from pipeline.sources.file import FileSource

SHAPES = {
    "constant": Clip(),
    "b_frames": Clip(options={"bf": "3"}),
    "variable_rate": Clip(pts=[0, 512, 1100, 1101, 4000, 9000, 9512, 12000]),
    "ntsc": Clip(rate=Fraction(30000, 1001), time_base=Fraction(1, 30000)),
    "gap": Clip(pts=[0, 512, 1024, 90000, 90512]),
    "late_start": Clip(pts=[7680 + 512 * index for index in range(8)]),
    "microseconds": Clip(time_base=Fraction(1, 1_000_000)),
    "one_frame": Clip(pts=[0]),
}


def copy(source_path, target, **options):
    """Copy a file through source and sink; return the source's info, the sink and the frames."""
    source = FileSource(source_path)
    sink = FileSink(target, source.info, **options)
    frames = list(source.frames())
    for frame in frames:
        sink.write(frame)
    sink.finish(source.tail())
    return source, sink, frames


def times(path):
    """Presentation times of a file's frames as its own decoder tells them."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def sound(path):
    """(time, bytes) of every packet of the first audio stream."""
    with av.open(str(path)) as container:
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(audio=0)
            if packet.size
        ]


@pytest.mark.parametrize("codec", ["h264", "hevc", "ffv1"])
@pytest.mark.parametrize("shape", SHAPES)
def test_times_are_kept_exactly(tmp_path, shape, codec):
    path = make(tmp_path / "in.mp4", SHAPES[shape])
    suffix = ".mkv" if codec == "ffv1" else ".mp4"
    _, sink, frames = copy(path, tmp_path / f"out{suffix}", codec=codec)
    found = times(sink.path)
    # Matroska knows milliseconds only.
    tolerance = Fraction(1, 1000) if suffix == ".mkv" else 0
    assert len(found) == len(frames)
    for mine, before in zip(found, times(path), strict=True):
        assert abs(mine - before) <= tolerance
    seen = sink.verify()
    assert seen.frames_found == seen.frames_written == len(frames)
    assert seen.pts_change_s <= float(tolerance)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
@pytest.mark.parametrize("start_s", [0.0, 0.1, 0.437])
def test_sound_keeps_its_offset_to_the_millisecond(tmp_path, suffix, start_s):
    path = make(tmp_path / "in.mp4", audio="aac", audio_start_s=start_s)
    _, sink, _ = copy(path, tmp_path / f"out{suffix}")
    before, after = sound(path), sound(sink.path)
    assert len(before) == len(after)
    if suffix != ".ts":  # MPEG-TS puts a header before each packet of AAC
        assert [data for _, data in before] == [data for _, data in after]
    offset = before[0][0] - times(path)[0]
    assert float(after[0][0] - times(sink.path)[0]) == pytest.approx(float(offset), abs=0.001)
    assert sink.verify().av_drift_s <= 0.001


@pytest.mark.parametrize(
    ("source", "target"),
    [(".ts", ".mp4"), (".ts", ".mkv"), (".mkv", ".ts"), (".mov", ".mp4"), (".avi", ".mp4")],
)
def test_containers_can_be_changed(tmp_path, source, target):
    sounds = {".mov": "pcm_s16le", ".avi": "libmp3lame"}
    clip = Clip(audio=sounds.get(source, "aac"), time_base=Fraction(1, 30), pts=list(range(8)))
    _, sink, frames = copy(make(tmp_path / f"in{source}", clip), tmp_path / f"out{target}")
    seen = sink.verify()
    assert len(frames) == seen.frames_found == 8
    assert seen.av_drift_s <= 0.001


FORMATS = ["yuv420p", "yuv420p10le", "yuv422p", "yuv422p10le", "yuv422p12le", "yuv444p"]
FORMATS += ["yuv444p16le", "gray", "gray10le", "gray16le", "gbrp10le", "gbrp16le"]


@pytest.mark.parametrize("size", [(64, 48), (63, 49)])
@pytest.mark.parametrize("name", FORMATS)
def test_identity_through_a_lossless_codec_is_bit_exact(tmp_path, name, size):
    path = make(tmp_path / "in.mkv", codec="ffv1", pixel_format=name, size=size)
    _, sink, frames = copy(path, tmp_path / "out.mkv", codec="ffv1")
    _same_samples(frames, sink.path)


def test_rgb_of_8_bits_is_bit_exact_too(tmp_path):
    path = make(tmp_path / "in.mkv", codec="ffv1", pixel_format="gbrp10le")
    eight_bits = tmp_path / "eight.mkv"
    with av.open(str(path)) as container, av.open(str(eight_bits), "w") as copied:
        stream = copied.add_stream("ffv1", 30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for frame in container.decode(video=0):
            copied.mux(stream.encode(frame.reformat(format="bgr0")))
        copied.mux(stream.encode(None))
    source, sink, frames = copy(eight_bits, tmp_path / "out.mkv", codec="ffv1")
    assert source.info.pixel_format == "gbrp"
    _same_samples(frames, sink.path)


def test_identity_in_lossless_h264_is_bit_exact(tmp_path):
    path = make(tmp_path / "in.mp4", options={"qp": "0"})
    _, sink, frames = copy(path, tmp_path / "out.mp4", crf=0)
    _same_samples(frames, sink.path)


def _same_samples(frames, path):
    again = list(FileSource(path).frames())
    assert len(again) == len(frames)
    for before, after in zip(frames, again, strict=True):
        assert after.pixel_format == before.pixel_format
        for one, other in zip(before.planes, after.planes, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("h264", ".mp4"),
        ("h264", ".mkv"),
        ("h264", ".mov"),
        ("h264", ".ts"),
        ("hevc", ".mp4"),
        ("av1", ".mp4"),
        ("ffv1", ".mkv"),
        ("prores", ".mov"),
    ],
)
@pytest.mark.parametrize(
    "colour", [(2, 2, 2, 0), (1, 1, 1, 1), (9, 9, 16, 1), (9, 9, 18, 1), (5, 6, 6, 1)]
)
def test_colour_tags_are_kept_and_untagged_stays_untagged(tmp_path, colour, codec, suffix):
    path = make(tmp_path / "in.mkv", pixel_format="yuv420p10le", colour=colour)
    _, sink, frames = copy(path, tmp_path / f"out{suffix}", codec=codec)
    found = FileSource(sink.path).info
    tags = dict(zip(("space", "primaries", "transfer", "range"), colour, strict=True))
    assert frames[0].colour == ColourTags(**tags)
    if tags["range"] == 0 and codec in ("hevc", "av1", "prores"):
        tags["range"] = found.colour.range  # these streams always say one: limited
        assert found.colour.range in (0, 1)
    if codec == "prores":
        tags["range"] = found.colour.range
    assert found.colour == ColourTags(**tags)


def test_full_range_is_kept(tmp_path):
    path = make(tmp_path / "in.mkv", codec="ffv1", colour=(1, 1, 1, 2))
    for codec, name in (("h264", "a.mp4"), ("hevc", "b.mp4"), ("av1", "c.mp4"), ("ffv1", "d.mkv")):
        _, sink, _ = copy(path, tmp_path / name, codec=codec)
        assert FileSource(sink.path).info.colour.range == 2


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_is_kept(tmp_path, degrees, suffix):
    source, sink, _ = copy(make(tmp_path / "in.mp4", rotation=degrees), tmp_path / f"out{suffix}")
    found = FileSource(sink.path).info
    assert found.rotation == source.info.rotation
    assert found.display_matrix == source.info.display_matrix


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_sample_aspect_ratio_is_kept(tmp_path, suffix):
    _, sink, _ = copy(make(tmp_path / "in.mp4", aspect=Fraction(16, 11)), tmp_path / f"out{suffix}")
    assert FileSource(sink.path).info.sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_hdr_mastering_data_is_kept(tmp_path, codec):
    master = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    path = make(
        tmp_path / "in.mkv",
        codec="libx265",
        pixel_format="yuv420p10le",
        colour=(9, 9, 16, 1),
        options={"x265-params": f"log-level=none:master-display={master}:max-cll=1000,400"},
    )
    source, sink, _ = copy(path, tmp_path / "out.mp4", codec=codec)
    found = FileSource(sink.path).info
    assert source.info.content_light == found.content_light == (1000, 400)
    for before, after in zip(source.info.mastering_display, found.mastering_display, strict=True):
        assert float(after) == pytest.approx(float(before), abs=2e-5)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_chapters_tags_and_language_are_kept(tmp_path, suffix):
    path = make(
        tmp_path / "in.mkv",
        metadata={"title": "Talk", "artist": "Ada"},
        language="fra",
        chapters=[(0, 0.1, "one"), (0.1, 0.25, "two")],
    )
    source, sink, _ = copy(path, tmp_path / f"out{suffix}")
    found = FileSource(sink.path).info
    assert {key.lower(): value for key, value in found.metadata.items()}.items() >= {
        "title": "Talk",
        "artist": "Ada",
    }.items()
    assert found.video_metadata["language"] == "fra"
    spans = [
        [
            (
                one["metadata"]["title"],
                one["start"] * one["time_base"],
                one["end"] * one["time_base"],
            )
            for one in chapters
        ]
        for chapters in (source.info.chapters, found.chapters)
    ]
    assert spans[0] == spans[1]
    assert not any(stream.type == "data" for stream in found.streams)


def test_tags_that_only_phones_write_are_kept_in_mp4(tmp_path):
    path = make(tmp_path / "in.mkv", metadata={"com.acme.lens": "wide", "title": "x"})
    _, sink, _ = copy(path, tmp_path / "out.mp4")
    kept = {key.lower(): value for key, value in FileSource(sink.path).info.metadata.items()}
    assert kept["com.acme.lens"] == "wide"
    assert kept["title"] == "x"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_titles_in_another_encoding_are_kept_byte_for_byte(tmp_path, suffix):
    path = make(
        tmp_path / f"in{suffix}", metadata={"title": "At ????"}, chapters=[(0, 0.1, "In ????")]
    )
    path.write_bytes(path.read_bytes().replace(b"????", "café".encode("latin-1")))
    source, sink, _ = copy(path, tmp_path / f"out{suffix}")
    assert sink.verify().frames_found == 8
    found = FileSource(sink.path).info
    for info in (source.info, found):
        assert info.metadata["title"] == "At caf\udce9"
        assert info.chapters[0]["metadata"]["title"] == "In caf\udce9"


def test_subtitles_attachments_and_languages_are_kept_in_mkv(tmp_path):
    path = make(
        tmp_path / "in.mkv",
        audio="libopus",
        subtitles=[(0.05, 0.1, "Hallo"), (0.15, 0.2, "Welt")],
        attachments=[("font.ttf", "font/ttf", b"abc" * 500)],
    )
    _, sink, _ = copy(path, tmp_path / "out.mkv")
    with av.open(str(path)) as before, av.open(str(sink.path)) as after:
        assert [one.type for one in before.streams] == [one.type for one in after.streams]
        assert after.streams.subtitles[0].language == "deu"
        assert after.streams.attachments[0].data == b"abc" * 500
        assert after.streams.attachments[0].mimetype == "font/ttf"
        texts = [
            [(p.pts, p.duration, bytes(p)) for p in one.demux(subtitles=0) if p.size]
            for one in (before, after)
        ]
        assert texts[0] == texts[1]
        assert len(texts[0]) == 2


def test_stream_flags_are_kept(tmp_path):
    path = tmp_path / "in.mkv"
    made = make(tmp_path / "plain.mkv", audio="libopus")
    with av.open(str(made)) as source, av.open(str(path), "w") as flagged:
        streams = [flagged.add_stream_from_template(one, opaque=True) for one in source.streams]
        streams[1].disposition = av.stream.Disposition.forced | av.stream.Disposition.comment
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                flagged.mux(packet)
    source, sink, _ = copy(path, tmp_path / "out.mkv")
    found = FileSource(sink.path).info
    assert found.streams[0].disposition == source.info.streams[0].disposition
    assert found.streams[0].disposition & av.stream.Disposition.forced


def test_cover_pictures_are_copied_and_not_taken_for_the_video(tmp_path):
    path = tmp_path / "in.mp4"
    made = make(tmp_path / "plain.mp4")
    with av.open(str(made)) as source, av.open(str(path), "w") as covered:
        video = covered.add_stream_from_template(source.streams.video[0], opaque=True)
        cover = covered.add_stream("png", 1)
        cover.width, cover.height, cover.pix_fmt = 8, 8, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.full((8, 8, 3), 9, np.uint8), "rgb24")
        picture.pts, picture.time_base = 0, Fraction(1, 1)
        covered.mux(cover.encode(picture) + cover.encode(None))
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                covered.mux(packet)
    _, sink, frames = copy(path, tmp_path / "out.mp4")
    assert len(frames) == 8
    with av.open(str(sink.path)) as container:
        covers = [
            one
            for one in container.streams.video
            if one.disposition & av.stream.Disposition.attached_pic
        ]
        assert len(covers) == 1


def test_the_order_of_streams_is_kept(tmp_path):
    made = make(tmp_path / "plain.mkv", audio="libopus")
    path = tmp_path / "in.mkv"
    with av.open(str(made)) as source, av.open(str(path), "w") as swapped:
        audio = swapped.add_stream_from_template(source.streams.audio[0], opaque=True)
        video = swapped.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux():
            if packet.size:
                packet.stream = audio if packet.stream.type == "audio" else video
                swapped.mux(packet)
    _, sink, _ = copy(path, tmp_path / "out.mp4")
    with av.open(str(sink.path)) as container:
        assert [one.type for one in container.streams] == ["audio", "video"]
    assert sink.verify().frames_found == 8


GAPS = st.lists(st.integers(1, 200_000), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 500_000), gaps=GAPS, unit=st.sampled_from([1000, 15_360, 30_000]))
def test_any_increasing_times_survive_mp4(start, gaps, unit):
    pts = [start]
    for gap in gaps:
        pts.append(pts[-1] + gap)
    clip = Clip(
        pts=pts, time_base=Fraction(1, unit), size=(16, 16), options={"preset": "ultrafast"}
    )
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder) / "in.mp4", clip)
        _, sink, frames = copy(path, Path(folder) / "out.mp4", encoder_preset="ultrafast")
        assert len(frames) == len(pts)
        assert times(sink.path) == times(path)
        assert sink.verify().pts_change_s == 0


@settings(max_examples=15, deadline=None)
@given(start=st.integers(-5000, 0), gaps=GAPS)
def test_times_before_zero_move_all_frames_alike(start, gaps):
    with tempfile.TemporaryDirectory() as folder:
        clip = Clip(
            pts=[0, *np.cumsum(gaps).tolist()], size=(16, 16), options={"preset": "ultrafast"}
        )
        source = FileSource(make(Path(folder) / "in.mp4", clip))
        sink = FileSink(Path(folder) / "out.mp4", source.info, encoder_preset="ultrafast")
        shifted = [_moved(frame, start) for frame in source.frames()]
        for frame in shifted:
            sink.write(frame)
        sink.finish(())
        source.close()
        found = times(sink.path)
        zero = shifted[0].pts * clip.time_base
        assert found == [one.pts * clip.time_base - zero for one in shifted]


def _moved(frame, ticks):
    return replace(frame, pts=frame.pts + ticks)
