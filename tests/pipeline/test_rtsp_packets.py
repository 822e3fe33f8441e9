"""RTP out of access units."""

import struct

import pytest
from rtsp_players import SOUNDS, clip, is_rtcp, sequence_of, sound, timestamp_of, video_track

from pipeline.errors import SinkError
from pipeline.live.access import AccessUnit, AudioTrack
from pipeline.live.rtsp.audio import PAYLOAD_BYTES, audio_format
from pipeline.live.rtsp.packets import RtpTrack, SharedClock
from pipeline.live.rtsp.sdp import describe
from pipeline.live.rtsp.video import VideoFormat

PACKET_BYTES = PAYLOAD_BYTES + 12


def audio_track(codec, *, sample_rate=48_000, channels=2, extradata=b""):
    return AudioTrack(codec=codec, sample_rate=sample_rate, channels=channels, extradata=extradata)


def payloads(track, data):
    return list(audio_format(track).split(data))


@pytest.fixture(params=["h264", "hevc"])
def picture(request):
    form = VideoFormat(video_track(request.param))
    yield form, clip(request.param)
    form.close()


def test_packets_fit_and_are_numbered_without_gap(picture):
    form, units = picture
    track = RtpTrack(0, form, SharedClock())
    first = track.next_sequence
    packets = [packet for unit in units for packet in track.packets(unit).rtp]
    assert max(map(len, packets)) <= PACKET_BYTES
    assert [sequence_of(one) for one in packets] == [
        (first + index) & 0xFFFF for index in range(len(packets))
    ]
    assert not any(is_rtcp(one) for one in packets)


def test_last_packet_of_a_picture_alone_is_marked(picture):
    form, units = picture
    track = RtpTrack(0, form, SharedClock())
    for unit in units:
        marks = [packet[1] >> 7 for packet in track.packets(unit).rtp]
        assert marks == [0] * (len(marks) - 1) + [1]


@pytest.mark.parametrize("pts", [0, -90_000, 1 << 33, 95_443_717_688])
def test_timestamps_follow_the_pts_wherever_it_stands(picture, pts):
    form, _ = picture
    track = RtpTrack(0, form, SharedClock())
    unit = AccessUnit(data=clip()[0].data, pts=pts, is_key=True)
    stamps = {timestamp_of(packet) for packet in track.packets(unit).rtp}
    assert stamps == {track.timestamp(pts)}
    assert (track.timestamp(pts + 3000) - track.timestamp(pts)) & 0xFFFF_FFFF == 3000


def test_description_is_known_from_the_first_key_picture(picture):
    form, units = picture
    assert not form.is_known
    form.learn(units[1].data)
    assert not form.is_known
    form.learn(units[0].data)
    assert form.is_known
    text = describe([RtpTrack(0, form, SharedClock())], video_track(), host="::1", number=5)
    assert b"c=IN IP6 ::\r\n" in text
    assert text.count(b"sprop-") == (1 if form.rtpmap.startswith("H264") else 3)


def test_reports_of_both_tracks_name_the_same_moment():
    clock = SharedClock()
    track, units = sound("aac")
    audio = RtpTrack(1, audio_format(track), clock)
    opus = RtpTrack(0, audio_format(audio_track("opus", sample_rate=16_000)), clock)

    def parts(report):
        assert len(report) % 4 == 0
        _, kind, _, _, ntp, stamp = struct.unpack_from("!BBHIQI", report)
        assert kind == 200
        return ntp, stamp

    begin = [parts(one.report(90_000)) for one in (audio, opus)]
    assert begin[0][0] == begin[1][0]
    for one, (ntp, stamp) in zip((audio, opus), begin, strict=True):
        later, later_stamp = parts(one.report(180_000))
        assert later - ntp == 1 << 32
        assert (later_stamp - stamp) & 0xFFFF_FFFF == one.form.clock_rate == 48_000
    assert audio.packets(units[0]).rtp


def test_report_is_due_every_five_seconds():
    track = RtpTrack(0, audio_format(audio_track("opus")), SharedClock())
    due = [
        second
        for second in range(12)
        if track.packets(AccessUnit(data=b"x", pts=second * 90_000)).rtcp is not None
    ]
    assert due == [0, 5, 10]


def test_aac_too_big_for_a_packet_is_sent_in_pieces():
    data = bytes(range(256)) * 8
    pieces = payloads(audio_track("aac", extradata=b"\x11\x90"), data)
    assert [piece.marker for piece in pieces] == [False, True]
    assert {piece.data[:4] for piece in pieces} == {b"\x00\x10" + (2048 << 3).to_bytes(2, "big")}
    assert b"".join(piece.data[4:] for piece in pieces) == data


def test_aac_with_adts_heads_is_sent_without_and_described_by_them():
    # AAC-LC, 24 kHz, two channels, 7 + 3 bytes: HE-AAC calls itself 48 kHz.
    packet = bytes.fromhex("fff158800 15ffc".replace(" ", "")) + b"abc"
    form = audio_format(audio_track("aac"))
    assert "config=1190" in form.parameters()
    form.learn(packet)
    assert "config=1310" in form.parameters()
    assert [one.data for one in form.split(packet)] == [b"\x00\x10\x00\x18abc"]


@pytest.mark.parametrize(
    ("codec", "channels", "samples"),
    [("pcm_alaw", 1, 1388), ("pcm_s16be", 2, 347), ("pcm_mulaw", 3, 462)],
)
def test_samples_are_cut_between_samples_and_stamped(codec, channels, samples):
    size = 2 if codec == "pcm_s16be" else 1
    data = bytes(4000 // (size * channels) * size * channels)
    pieces = payloads(audio_track(codec, sample_rate=8000, channels=channels), data)
    assert [piece.offset for piece in pieces] == [index * samples for index in range(len(pieces))]
    assert b"".join(piece.data for piece in pieces) == data


@pytest.mark.parametrize("codec", SOUNDS)
def test_every_codec_is_cut_to_size(codec):
    track, units = sound(codec)
    rtp = RtpTrack(1, audio_format(track), SharedClock())
    for unit in units:
        packets = rtp.packets(unit).rtp
        assert packets
        assert max(map(len, packets)) <= PACKET_BYTES


def test_codec_that_cannot_be_sent_is_named_with_the_way_out():
    with pytest.raises(SinkError, match="'vorbis' cannot be sent over RTSP; leave the sound out"):
        audio_format(audio_track("vorbis"))


def test_aac_of_unknown_kind_is_refused():
    with pytest.raises(SinkError, match="without its configuration"):
        audio_format(audio_track("aac", sample_rate=12_345))


def test_empty_sound_makes_no_packet():
    assert payloads(audio_track("aac", extradata=b"\x11\x90"), b"") == []
    assert payloads(audio_track("pcm_alaw"), b"") == []
