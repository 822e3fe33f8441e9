from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_files import make

from pipeline.errors import SourceError
from pipeline.sources import open_source

RED = np.full((48, 64, 3), (255, 0, 0), np.uint8)


def synthetic(pictures, **changes):
    options = {"width": 64, "height": 48, "frame_rate": Fraction(30), **changes}
    return open_source(pictures, kind="synthetic", **options)


def test_red_is_bt709_red_in_limited_range_and_tagged_so():
    (frame,) = synthetic([RED]).frames()
    assert [plane[20, 20] for plane in frame.planes] == pytest.approx([63, 102, 240], abs=1)
    assert (frame.colour.space, frame.colour.range) == (1, 1)
    assert frame.pixel_format == "yuv420p"


def test_times_follow_the_frame_rate_and_only_the_first_is_a_discontinuity():
    frames = list(synthetic([RED] * 3, frame_rate=Fraction(30000, 1001)).frames())
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.0333667, 0.0667333])
    assert [frame.discontinuity for frame in frames] == [True, False, False]


def test_sound_goes_along_packet_by_packet(tmp_path):
    sound = make(tmp_path / "sound.mp4", audio="aac")
    source = synthetic([RED] * 4, sound=sound)
    frames = list(source.frames())
    for frame in frames:
        for packet in frame.packets:
            assert float(packet.pts * packet.time_base) <= frame.time_s
    packets = [packet for frame in frames for packet in frame.packets]
    assert packets
    assert source.tail()
    assert source.info.streams[0].type == "audio"
    source.close()


def test_picture_of_another_size_is_refused():
    source = synthetic([RED, RED[:24]])
    with pytest.raises(SourceError, match=r"picture 1 must be \(48, 64, 3\) uint8, got \(24, 64"):
        list(source.frames())


def test_file_without_sound_is_refused(tmp_path):
    with pytest.raises(SourceError, match="holds no sound"):
        synthetic([RED], sound=make(tmp_path / "mute.mp4"))


def test_missing_sound_is_named():
    with pytest.raises(SourceError, match=r"none\.m4a: cannot be read as sound"):
        synthetic([RED], sound=Path("none.m4a"))
