"""One encode for all outlets: no delay, right colours, key pictures when they are wanted."""

import logging
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
from live_units import HEIGHT, RATE, STEP, WIDTH, flat_frame, info_of, noisy_frame

from pipeline.errors import ConfigError, SinkError
from pipeline.frame import ColourTags
from pipeline.live.encoder import LiveEncoder, starts_a_stream

FULL = ColourTags(space=1, primaries=1, transfer=1, range=2)
LIMITED_601 = ColourTags(space=6, primaries=6, transfer=6, range=1)
CODECS = ["h264", "hevc"]


def open_encoder(info=None, **changes):
    size = {"width": WIDTH, "height": HEIGHT}
    fields = {
        **size, "frame_rate": Fraction(RATE), "hardware": "off", "preset": "ultrafast", **changes
    }  # fmt: skip
    return LiveEncoder(info or info_of(), **fields)


def encoded(encoder, frames):
    return [
        unit for index, frame in enumerate(frames) for unit in encoder.encode(frame, index * STEP)
    ]


def decoded(units, codec):
    """Pictures, each of which must come out as soon as its unit went in."""
    decoder = av.CodecContext.create(codec, "r")
    decoder.thread_type, decoder.flags = "NONE", decoder.flags | av.codec.context.Flags.low_delay
    pictures = []
    for unit in units:
        packet = av.Packet(unit.data)
        packet.pts, packet.time_base = unit.pts, Fraction(1, 90_000)
        pictures += decoder.decode(packet)
    return pictures + decoder.decode(None)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("threads", [0, 1, 3])
def test_each_call_returns_the_unit_of_its_own_picture(codec, threads):
    encoder = open_encoder(codec=codec, threads=threads)
    for index in range(25):
        units = encoder.encode(noisy_frame(index), 1_000_000 + index * STEP)
        assert [unit.pts for unit in units] == [1_000_000 + index * STEP]
        assert units[0].medium == "video"
    encoder.close()


@pytest.mark.parametrize("codec", CODECS)
def test_key_pictures_come_at_the_interval_only_and_can_be_started_with(codec):
    encoder = open_encoder(codec=codec, key_interval_s=0.2)
    units = encoded(encoder, [noisy_frame(index) for index in range(20)])
    assert [index for index, unit in enumerate(units) if unit.is_key] == [0, 6, 12, 18]
    assert all(starts_a_stream(unit.data, codec) == unit.is_key for unit in units)
    assert len(decoded(units[12:], codec)) == 8


@pytest.mark.parametrize("codec", CODECS)
def test_a_key_picture_comes_when_another_thread_asks_for_it(codec):
    encoder = open_encoder(codec=codec, key_interval_s=10)
    units = encoded(encoder, [noisy_frame(index) for index in range(4)])
    asking = threading.Thread(target=encoder.request_key)
    asking.start()
    asking.join()
    units += encoded(encoder, [noisy_frame(index) for index in range(4, 8)])
    assert [unit.is_key for unit in units] == [True] + 3 * [False] + [True] + 3 * [False]
    assert len(decoded(units[4:], codec)) == 4


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("colour", [FULL, LIMITED_601])
def test_samples_and_colour_tags_stay_what_they_were(codec, colour):
    encoder = open_encoder(info_of(colour=colour), codec=codec, crf=5)
    frames = [flat_frame((250, 90, 200), colour=colour) for _ in range(3)]
    picture = decoded(encoded(encoder, frames), codec)[-1]
    assert (picture.colorspace, picture.color_primaries, picture.color_trc) == (
        colour.space, colour.primaries, colour.transfer,
    )  # fmt: skip
    assert int(picture.color_range) == colour.range
    levels = [np.frombuffer(plane, np.uint8)[0] for plane in picture.planes]
    assert np.allclose(levels, (250, 90, 200), atol=1)


def test_rgb_is_sent_in_the_colours_it_had():
    encoder = open_encoder(info_of("gbrp"), crf=5)
    red = flat_frame((30, 20, 220), layout="gbr", pixel_format="gbrp")
    picture = decoded(encoded(encoder, [red]), "h264")[0]
    assert (int(picture.colorspace), int(picture.color_range)) == (1, 1)
    rgb = picture.to_ndarray(format="rgb24", src_colorspace="ITU709")
    assert np.allclose(rgb[10, 10], (220, 30, 20), atol=4)


def test_hevc_keeps_ten_bits_and_h264_says_that_it_does_not(caplog):
    caplog.set_level(logging.INFO, "pipeline.live.encoder")
    info = info_of("yuv420p10le")
    frame = flat_frame((701, 512, 512), bits=10, pixel_format="yuv420p10le")
    formats = {}
    for codec in CODECS:
        encoder = open_encoder(info, codec=codec, crf=5)
        formats[codec] = decoded(encoded(encoder, [frame]), codec)[0].format.name
    assert formats == {"h264": "yuv420p", "hevc": "yuv420p10le"}
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "libx264 encodes 160x96 at 30 Hz; yuv420p10le is sent as 4:2:0 with 8 bits",
        "libx265 encodes 160x96 at 30 Hz",
    ]


@pytest.mark.parametrize("codec", CODECS)
def test_the_rate_is_kept(codec):
    encoder = open_encoder(codec=codec, bitrate_kbps=300, preset="superfast")
    units = encoded(encoder, [noisy_frame(index) for index in range(90)])
    kbps = sum(len(unit.data) for unit in units[30:]) * 8 / 2 / 1000
    assert 150 < kbps < 450


def test_quality_has_the_rate_as_its_ceiling():
    frames = [noisy_frame(index) for index in range(60)]
    free = encoded(open_encoder(crf=20), frames)
    capped = encoded(open_encoder(crf=20, bitrate_kbps=500), frames)
    assert sum(len(unit.data) for unit in capped) < sum(len(unit.data) for unit in free) / 2


def test_hardware_that_is_not_there_is_passed_over(caplog):
    caplog.set_level(logging.DEBUG, "pipeline")
    encoder = open_encoder(hardware="auto")
    tried = [record for record in caplog.records if record.levelno == logging.DEBUG]
    chosen = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert len(chosen) == 1
    assert chosen[0].startswith(encoder.name)
    if encoder.name == "libx264":  # a machine without any
        assert [record.args[0] for record in tried] == [
            "h264_nvenc", "h264_qsv", "h264_amf", "h264_v4l2m2m"
        ]  # fmt: skip
    assert len(encoder.encode(noisy_frame(0), 0)) == 1


def test_hardware_asked_for_by_name_is_never_replaced():
    # A device for it exists on phones and single-board computers alone.
    with pytest.raises(SinkError, match=r"h264_v4l2m2m does not work here: .*choose auto or off"):
        open_encoder(hardware="h264_v4l2m2m", width=64, height=64)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"hardware": "vaapi"}, ConfigError, "one of nvenc, qsv, amf, v4l2m2m, got 'vaapi'"),
        ({"width": 161}, ConfigError, "even sizes only, got 161x96; scale to 160x96"),
        ({"preset": "warp"}, SinkError, "encoder libx264 does not open for 160x96 yuv420p"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused_in_words(changes, error, message):
    with pytest.raises(error, match=message):
        open_encoder(**changes)


def test_a_picture_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"pictures must be \(160, 96\), got .*fit them first"):
        open_encoder().encode(noisy_frame(0, size=(320, 192)), 0)


def test_what_comes_after_the_end_is_an_error_that_names_the_encoder():
    encoder = open_encoder()
    encoder.close()
    encoder.close()
    with pytest.raises(SinkError, match="encoder libx264 is closed"):
        encoder.encode(noisy_frame(0), 0)


def test_the_track_says_what_is_sent():
    track = open_encoder(codec="hevc").track
    assert (track.codec, track.width, track.height, track.frame_rate) == ("hevc", 160, 96, 30)
