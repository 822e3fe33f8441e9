"""Simulated cameras: moiré that moves, pictures that say who they are, faults on time."""

from __future__ import annotations

import threading
from fractions import Fraction
from itertools import pairwise
from time import perf_counter

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_files import picture

from engines.evaluate.metrics import moire_energy
from pipeline.errors import ConfigError, SourceError
from pipeline.live.sources import open_live
from pipeline.live.sources.contract import LiveOptions
from pipeline.live.sources.faults import Timed
from pipeline.live.sources.filmed import FilmedScreen
from pipeline.live.sources.lossy import LossyLink
from pipeline.live.sources.stamp import SIZE, Stamp, read_stamp, write_stamp
from pipeline.live.sources.supervisor import Supervisor
from pipeline.sources.picture import plane_views

QUICK = "rate=200"


def taken(spec, *, stop=None, since_s=None, **options):
    source = open_live(
        spec, LiveOptions(**options), stop=stop or threading.Event(), since_s=since_s
    )
    try:
        return list(source.frames()), source
    finally:
        source.close()


def arrivals(spec, count, **options):
    """Frames of a supervised source, its events and its last state."""
    stop, events, frames = threading.Event(), [], []
    supervisor = Supervisor(spec, LiveOptions(**options), stop=stop, on_event=events.append, seed=1)
    for frame in supervisor.arrivals():
        frames.append(frame)
        if len(frames) == count:
            stop.set()
    return frames, events, supervisor.state


def rgb(planes):
    height, width = planes[0].shape
    shown = av.VideoFrame(width, height, "yuv420p")
    for plane, values in zip(shown.planes, planes, strict=True):
        np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width] = values
    return shown.to_ndarray(format="rgb24")


def test_a_simulated_screen_has_moire_that_outruns_the_picture():
    screen = FilmedScreen(width=320, height=240, seed=3, motion="hand")
    first = screen.picture(0, 0.0)
    assert moire_energy(rgb(first)) > 1
    moved = np.hypot(*np.subtract(screen.shift(0.1), screen.shift(0.0)))
    assert moved < 4  # screen pixels, and each is a whole cycle of the fringes
    assert moved > 0.1


def test_every_picture_differs_also_on_a_tripod():
    for motion in ("hand", "tripod"):
        frames, _ = taken(f"test://?size=128x96&{QUICK}&count=12&motion={motion}")
        assert len({frame.planes[0].tobytes() for frame in frames}) == 12


def test_a_seed_makes_the_same_pictures():
    one, two, other = (
        taken(f"test://?size=128x96&{QUICK}&count=3&seed={seed}")[0] for seed in (4, 4, 5)
    )
    pairs = zip(one, two, other, strict=True)
    for first, second, third in pairs:
        assert first.planes[0].tobytes() == second.planes[0].tobytes()
        assert first.planes[0].tobytes() != third.planes[0].tobytes()


def test_pictures_come_at_their_rate():
    frames, source = taken("test://?size=64x64&rate=100&count=41")
    lasted_s = frames[-1].left_source_s - frames[0].left_source_s
    assert 0.39 < lasted_s < 0.8
    assert [frame.pts for frame in frames] == [900 * n for n in range(41)]
    assert source.info.frame_rate == Fraction(100)
    assert source.final


def test_a_rate_may_be_a_fraction():
    frames, _ = taken("test://?size=64x64&rate=30000/1001&count=3")
    assert [frame.pts for frame in frames] == [0, 3003, 6006]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("test://?size=1281x720", "even"),
        ("test://?rate=0", "rate"),
        ("test://?speed=2", "speed: .*there are size, rate, seed"),
        ("test://?size=128x96&stamp=1", "a stamp needs a size of at least 512x48"),
        ("chaos://?stall=5", "stall: write SECONDS@EVERY"),
        ("chaos://?stall=5@5", "longer than the fault"),
        ("chaos://?jump=x", "jump: write SECONDS@EVERY"),
        ("chaos://?resize=3x3@2", "resize: a size is"),
        ("chaos://?loss=101", "loss"),
    ],
)
def test_a_wrong_parameter_is_named_with_the_way_out(spec, words):
    with pytest.raises(ConfigError, match=words):
        open_live(spec, stop=threading.Event())


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_stamp_is_read_as_it_was_written(index, arrival_us):
    planes = blank(544, 64)
    write_stamp(planes, Stamp(index, arrival_us))
    assert read_stamp(planes) == Stamp(index, arrival_us)
    planes[0][5:11, 40:45] = 255 - planes[0][5:11, 40:45]  # a damaged block that still reads right
    planes[0][:16, 32:48] = 255 - planes[0][:16, 32:48]
    assert read_stamp(planes) is None


def blank(width, height):
    sizes = ((height, width), (height // 2, width // 2), (height // 2, width // 2))
    return tuple(np.full(size, 90, np.uint8) for size in sizes)


def test_what_is_no_stamp_is_none():
    assert read_stamp(blank(544, 64)) is None
    assert read_stamp(blank(128, 96)) is None
    assert read_stamp(plane_views(picture(3, SIZE, "yuv420p"))[0]) is None


def test_a_stamp_survives_h264():
    frames, _ = taken("test://?size=640x96&rate=200&count=8&stamp=1")
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 640, 96, "yuv420p"
    encoder.time_base, encoder.options = Fraction(1, 30), {"preset": "ultrafast", "crf": "38"}
    decoder, decoded = av.CodecContext.create("h264", "r"), []
    shown = [av.VideoFrame.from_ndarray(rgb(frame.planes), "rgb24") for frame in frames]
    for number, one in enumerate([*shown, None]):
        if one is not None:
            one = one.reformat(format="yuv420p")
            one.pts = number
        for packet in encoder.encode(one):
            decoded += decoder.decode(packet)
    decoded += decoder.decode(None)
    stamps = [read_stamp(plane_views(one)[0]) for one in decoded]
    assert [stamp.index for stamp in stamps] == list(range(8))
    for stamp, frame in zip(stamps, frames, strict=True):
        assert stamp.age_s(frame.left_source_s) < 0.001


def test_lost_packets_damage_pictures_and_a_key_picture_heals_them():
    rng = np.random.default_rng(5)
    link = LossyLink(width=320, height=240, rate=Fraction(10), loss=0.0, rng=rng)
    whole = [next(link.send(plane_views(picture(n, (320, 240), "yuv420p"))[0])) for n in range(20)]
    bad = LossyLink(width=320, height=240, rate=Fraction(10), loss=0.3, rng=rng)
    errors = {}
    for number in range(20):
        for planes in bad.send(plane_views(picture(number, (320, 240), "yuv420p"))[0]):
            difference = planes[0].astype(int) - whole[number][0]
            errors[number] = float(np.abs(difference).mean())
    assert link.damaged == 0
    assert bad.damaged > 5
    assert max(errors.values()) > 3
    assert len(errors) > 5


@given(st.floats(0.1, 5), st.floats(0.1, 20), st.floats(0, 200))
def test_a_fault_is_there_once_in_each_period(amount_s, gap_s, time_s):
    fault = Timed(amount_s, amount_s + gap_s)
    assert not fault.active(time_s % fault.every_s)  # never in the first period
    assert fault.active(time_s) == (fault.remaining_s(time_s) > 0)
    assert 0 <= fault.remaining_s(time_s) <= amount_s
    assert fault.times(time_s + fault.every_s) - fault.times(time_s) in (0, 1, 2)


def test_a_chaotic_camera_is_absent_at_first():
    with pytest.raises(SourceError, match="absent for another"):
        open_live("chaos://?absent=30", stop=threading.Event(), since_s=perf_counter())
    spec = f"chaos://?size=64x64&{QUICK}&absent=0.3"
    _, events, _ = arrivals(spec, 5)
    assert [event.kind for event in events][:2] == ["connecting", "offline"]
    assert events[-1].kind == "online"


def test_a_chaotic_camera_ends_and_is_connected_to_again():
    frames, events, state = arrivals(f"chaos://?size=64x64&{QUICK}&end=0.2", 60)
    assert state.reconnects >= 1
    assert sum(frame.discontinuity for frame in frames) == state.reconnects + 1
    assert "closed" in next(event.message for event in events if event.kind == "offline")


def test_jumping_timestamps_are_healed():
    frames, _, state = arrivals(f"chaos://?size=64x64&{QUICK}&jump=-3600@0.2", 120)
    pts = [frame.pts for frame in frames]
    assert pts == sorted(set(pts))
    assert state.healed >= 2
    lasted_s = frames[-1].left_source_s - frames[0].left_source_s
    assert frames[-1].time_s == pytest.approx(lasted_s, abs=0.3)
    assert sum(frame.discontinuity for frame in frames) == 1 + state.healed


def test_a_size_that_changes_is_marked():
    frames, _, _ = arrivals(f"chaos://?size=96x64&{QUICK}&resize=64x64@0.2&loss=0.1", 90)
    changes = [n for n, (a, b) in enumerate(pairwise(frames), 1) if a.format != b.format]
    assert changes
    assert all(frames[n].discontinuity for n in changes)


def test_black_pictures_are_black():
    frames, _, _ = arrivals(f"chaos://?size=64x64&{QUICK}&black=0.1@0.2", 90)
    dark = [frame.planes[0].max() == 16 for frame in frames]
    assert any(dark)
    assert not all(dark)


def test_a_stall_that_lasts_too_long_is_a_lost_source():
    source = open_live(
        "chaos://?size=64x64&rate=50&stall=0.7@0.75",
        LiveOptions(stall_s=0.5),
        stop=threading.Event(),
    )
    with pytest.raises(SourceError, match=r"no picture for 0\.5 s"):
        list(source.frames())
    source.close()


def test_chaos_without_parameters_is_a_mixture():
    source = open_live("chaos://?size=640x360", stop=threading.Event())
    frames = source.frames()
    assert next(frames).discontinuity
    frames.close()
    source.close()
    assert source.faults == {"stall", "loss", "jump", "resize", "black", "end"}
