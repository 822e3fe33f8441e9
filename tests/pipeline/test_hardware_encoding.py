"""Encoding files in hardware: chosen where it works, never silently, and never at a loss.

This machine may have no hardware encoder: what follows the choice runs with `StandIn`, libx264 in
the place of one, with the pixel formats that such encoders take.
"""

import logging
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from media_files import Clip, make, picture

from pipeline.errors import ConfigError, SinkError
from pipeline.frame import ColourTags, Frame
from pipeline.media import SourceInfo, picture_format
from pipeline.sinks import hardware
from pipeline.sinks.file import FileSink
from pipeline.sinks.hardware import HARDWARE, HardwareKind, choose_encoder, first_that_works
from pipeline.sinks.picture import Packer
from pipeline.sources.file import FileSource
from pipeline.sources.picture import Unpacker, plane_views

DISPLAY = tuple(Fraction(value) for value in (0.7, 0.3, 0.2, 0.7, 0.1, 0.1, 0.3, 0.3, 0.01, 1000))


class StandIn(HardwareKind):
    """A hardware encoder that every machine has: `x264` among software ones."""

    def encoder(self, codec):
        return {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}[codec]


def stand_in(**changes):
    fields = {
        "suffix": "standin",
        "formats": {8: "nv12", 10: "yuv420p10le"},
        "at_once": {},
        "at_best": {"preset": "ultrafast", "g": "250"},
        "quality": {"crf": "{}"},
    }
    return StandIn(**(fields | changes))


@pytest.fixture
def only(monkeypatch):
    """Makes these the hardware of this machine."""
    return lambda *kinds: monkeypatch.setattr(hardware, "HARDWARE", kinds)


def info(**changes):
    fields = {
        "url": "in.mp4",
        "width": 320,
        "height": 240,
        "pixel_format": "yuv420p",
        "time_base": Fraction(1, 15_360),
        "frame_rate": Fraction(30),
    }
    return SourceInfo(**(fields | changes))


def choose(name="h264", source=None, *, how="auto", crf=None, preset=None):
    return choose_encoder(name, source or info(), hardware=how, crf=crf, preset=preset)


def cleaned(path, target, **options):
    source = FileSource(path)
    sink = FileSink(target, source.info, **options)
    frames = list(source.frames())
    for frame in frames:
        sink.write(frame)
    sink.finish(source.tail())
    source.close()
    return sink, frames


def test_hardware_that_is_not_there_is_passed_over_with_the_reason(caplog):
    caplog.set_level(logging.INFO)
    choice = choose(how="auto")
    (line,) = [record.getMessage() for record in caplog.records]
    if choice.codec.encoder == "libx264":  # a machine without any
        assert line.startswith("libx264 encodes, no hardware does: h264_nvenc: ")
        assert "Cannot load libcuda.so.1" in line
        for kind in HARDWARE:
            assert f"h264_{kind.suffix}: " in line
    else:
        assert line.startswith(f"{choice.codec.encoder} encodes: ")


def test_without_asking_nothing_is_tried(caplog):
    caplog.set_level(logging.DEBUG)
    choice = choose(how="off")
    assert (choice.codec.encoder, choice.options) == ("libx264", {"crf": "18", "preset": "medium"})
    assert not caplog.records


def test_hardware_asked_for_by_name_is_never_replaced(tmp_path):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"what was there")
    with pytest.raises(SinkError, match=r"h264_v4l2m2m does not work here: .*choose auto or off"):
        FileSink(target, info(), hardware="v4l2m2m", overwrite=True)
    assert target.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("codec", "how", "message"),
    [
        ("h264", "vaapi", "must be auto, off or one of nvenc, qsv, amf, v4l2m2m, got 'vaapi'"),
        ("h264", "hevc_nvenc", "got 'hevc_nvenc'"),
        ("ffv1", "nvenc", "--hardware nvenc: encodes h264, hevc, av1, not ffv1; leave it out"),
    ],
)
def test_a_wrong_wish_is_refused(codec, how, message):
    with pytest.raises(ConfigError, match=message):
        choose(codec, how=how)


@pytest.mark.parametrize("codec", ["prores", "ffv1"])
def test_codecs_without_hardware_stay_in_software(codec):
    assert choose(codec, how="auto").codec.encoder == {"prores": "prores_ks"}.get(codec, codec)


def test_the_first_that_works_is_taken_by_name_too():
    tried = []

    def refusal(name, kind):
        tried.append(name)
        return "" if kind.suffix == "amf" else "is broken"

    kind, refused = first_that_works("hevc", "auto", refusal)
    assert (kind.suffix, refused) == (
        "amf",
        {"hevc_nvenc": "is broken", "hevc_qsv": "is broken"},
    )
    for name in ("amf", "hevc_amf"):
        tried.clear()
        assert first_that_works("hevc", name, refusal)[0].suffix == "amf"
        assert tried == ["hevc_amf"]


@pytest.mark.parametrize(
    ("codec", "kind"),
    [(codec, kind) for kind in HARDWARE for codec in kind.codecs],
    ids=lambda one: one if isinstance(one, str) else one.suffix,
)
def test_what_hardware_is_told_are_options_and_formats_that_it_has(codec, kind):
    context = av.CodecContext.create(kind.encoder(codec), "w")
    options = context.supported_options
    known = {option.name for option in (*options.generic, *options.private)}
    assert {*kind.at_best, *kind.quality} <= known
    choices = {o.name: {choice.name for choice in o.choices} for o in options.private}
    for name, value in {**kind.at_best, **kind.quality}.items():
        if choices.get(name) and "{" not in value:
            assert value in choices[name], name
    offered = {one.name for one in context.codec.video_formats or []}
    if offered and codec != "h264":  # whose ten bits most chips lack, which is tried
        assert set(kind.formats.values()) <= offered


class TestWithAStandIn:
    def test_it_is_chosen_and_told_what_to_do(self, only, caplog):
        caplog.set_level(logging.INFO)
        only(stand_in())
        choice = choose(crf=30, preset="slower")
        assert choice.codec.encoder == "libx264"
        assert choice.encoding.pixel_format == "nv12"
        assert choice.options == {"preset": "ultrafast", "g": "250", "crf": "30"}
        assert caplog.messages == [
            "libx264 encodes: preset=ultrafast g=250 crf=30; preset slower is of libx264"
        ]

    @pytest.mark.parametrize(("codec", "usual"), [("h264", "18"), ("hevc", "20")])
    def test_quality_is_the_codecs_usual_one(self, only, codec, usual):
        only(stand_in())
        assert choose(codec).options["crf"] == usual

    def test_one_that_does_not_open_is_passed_over(self, only, caplog):
        caplog.set_level(logging.INFO)
        only(stand_in(suffix="broken", at_best={"preset": "warp"}), stand_in())
        assert choose().encoding.pixel_format == "nv12"
        only(stand_in(suffix="broken", at_best={"preset": "warp"}))
        assert choose().encoding.pixel_format == "yuv420p"
        assert "no hardware does: libx264: " in caplog.text

    def test_one_that_knows_rates_only_is_passed_over(self, only):
        only(stand_in(quality={}))
        with pytest.raises(SinkError, match="it knows no constant quality of h264's"):
            choose(how="standin")

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (info(pixel_format="yuv422p"), "cannot hold yuv422p pictures without loss"),
            (info(pixel_format="yuv420p12le"), "cannot hold yuv420p12le pictures without loss"),
            (info(pixel_format="gbrp"), "cannot hold gbrp pictures without loss"),
            (info(width=321), "takes nv12 in even sizes only"),
            (info(mastering_display=DISPLAY), "cannot be told the HDR mastering data"),
            (info(content_light=(1000, 400)), "cannot be told the HDR mastering data"),
        ],
    )
    def test_what_would_be_lost_is_a_reason_for_software(self, only, source, message):
        only(stand_in())
        with pytest.raises(SinkError, match=message):
            choose(source=source, how="standin")
        if source.width % 2 == 0:
            # libx264 itself holds up to ten bits, 4:2:2 and 4:4:4.
            name = "hevc" if "12" in source.pixel_format else "h264"
            assert choose(name, source).options["preset"] == "medium"

    @pytest.mark.parametrize(
        ("name", "formats"), [("yuv420p", {8: "nv12"}), ("yuv420p10le", {8: "nv12", 10: "p010le"})]
    )
    def test_the_nearest_format_without_loss_is_chosen_unsaid(self, only, name, formats):
        only(stand_in(formats=formats))
        codec = hardware._hardware_choice("h264", info(pixel_format=name), *hardware.HARDWARE, None)
        assert codec.encoding.pixel_format == {"yuv420p": "nv12"}.get(name, "p010le")
        assert codec.encoding.note == ""

    @pytest.mark.parametrize("colour", [(1, 1, 1, 1), (9, 9, 16, 1), (5, 5, 5, 2)])
    def test_a_file_has_the_pictures_times_and_colours_of_the_source(self, only, tmp_path, colour):
        only(stand_in(quality={"qp": "0"}))  # lossless: nothing but nv12 lies between
        pts = [0, 512, 1100, 1101, 4000, 9000]
        path = make(tmp_path / "in.mp4", Clip(colour=colour, pts=pts, options={"bf": "2"}))
        sink, frames = cleaned(path, tmp_path / "out.mp4", hardware="auto")
        assert sink.encoding.pixel_format == "nv12"
        again = FileSource(tmp_path / "out.mp4")
        assert again.info.colour == frames[0].colour
        for one, other in zip(again.frames(), frames, strict=True):
            assert one.pts * one.time_base == other.pts * other.time_base
            for mine, theirs in zip(one.planes, other.planes, strict=True):
                np.testing.assert_array_equal(mine, theirs)
        again.close()


@pytest.mark.parametrize(("name", "packed"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
@pytest.mark.parametrize("code_range", [1, 2])
@pytest.mark.parametrize("size", [(66, 50), (68, 64), (640, 360)])
def test_semi_planar_pictures_hold_the_very_samples(name, packed, code_range, size):
    """Widths that are no multiple of eight too, whose rows swscale writes beyond."""
    frame = Unpacker().frame(picture(3, size, name), pts=0, time_base=Fraction(1, 30))
    frame = replace(frame, colour=ColourTags(range=code_range))
    there = Packer(packed, frame.colour, alpha=False).picture(frame)
    assert there.format.name == packed
    back, _ = plane_views(Unpacker().planar(there))
    for mine, theirs in zip(back, frame.planes, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_rgb_becomes_semi_planar_in_the_colours_it_had():
    level = {"g": 30, "b": 20, "r": 220}
    frame = Frame(
        planes=tuple(np.full((48, 64), code, np.uint8) for code in level.values()),
        format=picture_format("gbrp", 64, 48),
        pixel_format="gbrp",
        pts=0,
        time_base=Fraction(1, 30),
    )
    tags = ColourTags(space=1, range=1)
    planar, semi = (
        plane_views(Unpacker().planar(Packer(name, tags, alpha=False).picture(frame)))[0]
        for name in ("yuv420p", "nv12")
    )
    for mine, theirs in zip(semi, planar, strict=True):
        np.testing.assert_array_equal(mine, theirs)
