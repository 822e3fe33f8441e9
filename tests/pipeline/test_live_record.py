"""Recordings: playable whatever happens, never in anybody's way, never over another file."""

import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from itertools import islice, pairwise

import av
import pytest
from live_units import KEY_EVERY, RATE, STEP, VIDEO, clip, endless, together, tone, until

from pipeline.errors import ConfigError, SinkError
from pipeline.live.access import AudioTrack
from pipeline.live.outlets.record import Recorder

SUFFIXES = [".mp4", ".mkv"]
LONG_AGO = 8_000_000_000


def recorded(path, units, audio=None, **options):
    """Record units, one by one as fast as the disk takes them."""
    recorder = Recorder(path, VIDEO, audio, **options)
    for unit in units:
        recorder.push(unit)
    recorder.close()
    return recorder


def played(path):
    """Times in seconds of all pictures, which must decode, and of all packets of sound."""
    with av.open(str(path)) as container:
        pictures = [frame.time for frame in container.decode(video=0)]
        assert all(before < after for before, after in pairwise(pictures))
    with av.open(str(path)) as container:
        sound = [
            float(packet.pts * Fraction(packet.time_base.numerator, packet.time_base.denominator))
            for packet in container.demux(audio=0)
            if packet.pts is not None
        ] if container.streams.audio else []  # fmt: skip
    return pictures, sound


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_every_picture_is_in_the_file_from_time_zero_on(tmp_path, suffix, codec):
    path = tmp_path / f"out{suffix}"
    recorder = Recorder(path, replace(VIDEO, codec=codec))
    for unit in together(clip(codec), start=LONG_AGO):
        recorder.push(unit)
    recorder.close()
    pictures, _ = played(path)
    assert pictures == pytest.approx([index / RATE for index in range(60)], abs=0.001)
    assert recorder.state.dropped == 0


def test_recording_begins_with_the_first_key_picture(tmp_path):
    recorder = recorded(tmp_path / "out.mp4", clip()[3:])
    assert len(played(tmp_path / "out.mp4")[0]) == 60 - KEY_EVERY
    assert recorder.state.dropped == KEY_EVERY - 3


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(suffix, codec) for suffix in SUFFIXES for codec in ("aac", "opus")] + [(".mkv", "pcm_alaw")],
)
def test_sound_stays_with_its_picture(tmp_path, suffix, codec):
    track, sound = tone(codec)
    late = [replace(unit, pts=unit.pts + 15 * STEP) for unit in sound if unit.pts < 45 * STEP]
    path = tmp_path / f"out{suffix}"
    recorded(path, together(clip(), late, start=LONG_AGO), track)
    pictures, packets = played(path)
    assert len(pictures) == 60
    # Opus begins with samples that nobody hears; containers say so by times that much earlier.
    assert packets == pytest.approx([unit.pts / 90_000 for unit in late], abs=0.008)


def test_sound_from_before_the_first_picture_is_left_out(tmp_path):
    track, sound = tone()
    path = tmp_path / "out.mp4"
    recorded(path, together(clip()[5:], sound), track)
    pictures, packets = played(path)
    assert pictures[0] == 0
    assert 0 <= packets[0] < 0.03
    kept = [unit for unit in sound if 10 * STEP <= unit.pts <= 59 * STEP]
    assert packets[0] == pytest.approx((kept[0].pts - 10 * STEP) / 90_000, abs=0.001)


def test_sound_with_heads_of_adts_needs_no_description(tmp_path):
    track, sound = tone()

    def with_head(data):
        size = len(data) + 7
        bits = (0xFFF1 << 40) | (1 << 38) | (3 << 34) | (1 << 30) | (size << 13) | (0x7FF << 2)
        return bits.to_bytes(7, "big") + data

    heads = [replace(unit, data=with_head(unit.data)) for unit in sound]
    path = tmp_path / "out.mp4"
    recorded(path, together(clip(), heads), replace(track, extradata=b""))
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.extradata == bytes.fromhex("1188")
        frames = list(container.decode(audio=0))
    assert len(frames) > 80
    assert abs(frames[40].to_ndarray()).max() > 0.1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sound_that_never_comes_holds_up_nothing(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    recorder = Recorder(path, VIDEO, tone()[0])
    for unit in islice(endless(clip()), 150):
        recorder.push(unit)
    until(lambda: path.exists() and len(played_so_far(path)) > 60)
    recorder.close()
    assert len(played(path)[0]) == 150


def played_so_far(path):
    try:
        return played(path)[0]
    except (av.error.FFmpegError, IndexError):
        return []


WRITER = """
import sys, threading
from pathlib import Path
from itertools import islice
sys.path[:0] = {paths!r}
from live_units import VIDEO, clip, endless, tone, together
from pipeline.live.outlets.record import Recorder
recorder = Recorder(Path({path!r}), VIDEO, segment_s={segment_s}, retry_s=0.1)
"""


def writer(path, body, *, segment_s=None, **changes):
    """A process that records."""
    script = WRITER.format(
        paths=[path for path in sys.path if path], path=str(path), segment_s=segment_s
    )
    return subprocess.Popen(
        [sys.executable, "-c", script + body], stdout=subprocess.PIPE, text=True, **changes
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_recording_survives_kill_9_up_to_its_last_fragment(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    body = """
for unit in islice(endless(clip()), 200):
    recorder.push(unit)
threading.Event().wait()
"""
    with writer(path, body) as process:
        until(lambda: len(played_so_far(path)) >= 150, within_s=20)
        process.send_signal(signal.SIGKILL)
    pictures, _ = played(path)
    # Keys come every third of a second, an MKV's clusters every second.
    assert len(pictures) >= 200 - (KEY_EVERY if suffix == ".mp4" else RATE + KEY_EVERY)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_keeps_what_there_is_and_goes_on_in_a_new_file(tmp_path, suffix):
    body = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
units = endless(clip())
failures, pause = 0, threading.Event()
while failures < 2:
    recorder.push(next(units))
    if recorder.state.state == "failed":
        failures += 1
        print(recorder.state.error, flush=True)
        while recorder.state.state == "failed":
            pause.wait(0.01)
    pause.wait(0.001)
for unit in islice(units, 15):
    recorder.push(unit)
recorder.close()
print(recorder.state.files, recorder.state.error == "", threading.active_count())
"""
    with writer(tmp_path / f"out{suffix}", body) as process:
        lines = process.stdout.read().splitlines()
    assert process.returncode == 0
    assert lines == ["File too large", "File too large", "3 True 1"]
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert all(file.stat().st_size <= 300_000 for file in files)
    lengths = [len(played(file)[0]) for file in files]
    assert sorted(lengths)[1] > 20  # two that became full, and a short last one


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_segments_are_cut_at_key_pictures_and_complete_in_themselves(tmp_path, suffix):
    track, sound = tone()
    path = tmp_path / f"door{suffix}"
    recorder = recorded(path, together(clip(), sound), track, segment_s=2 / 3)
    files = sorted(tmp_path.iterdir(), key=lambda file: (file.stat().st_mtime_ns, file.name))
    assert recorder.state.files == len(files) == 3
    day = datetime.now().strftime("%Y%m%d")
    assert all(file.name.startswith(f"door-{day}-") for file in files)
    for file in files:
        pictures, packets = played(file)
        assert len(pictures) == 20
        assert pictures[0] == 0
        assert packets[0] < 0.03
        assert packets[-1] == pytest.approx(2 / 3, abs=0.1)


def test_the_oldest_segments_are_deleted_and_nothing_else(tmp_path):
    other = [tmp_path / name for name in ("door.mp4", "door-20200101-000000.mkv", "door-x.mp4")]
    old = tmp_path / "door-20200101-000000.mp4"
    for index, file in enumerate([*other, old]):
        file.write_bytes(b"")
        os.utime(file, (index, index))
    path = tmp_path / "door.mp4"
    recorded(path, clip(), segment_s=1 / 3, max_segments=2)
    left = set(tmp_path.iterdir()) - set(other)
    assert len(left) == 2
    assert old not in left
    assert all(file.exists() for file in other)
    assert all(len(played(file)[0]) == KEY_EVERY for file in left)


def test_a_flood_loses_whole_stretches_and_never_blocks(tmp_path, caplog):
    path = tmp_path / "out.mp4"
    big = [replace(unit, data=unit.data + bytes(2_000_000)) for unit in clip()]  # padding is legal
    recorder = Recorder(path, VIDEO)
    units, pushed = endless(big), 0
    while recorder.state.dropped < 50:
        recorder.push(next(units))
        pushed += 1
    recorder.close()
    assert "the disk is too slow" in caplog.text
    pictures, _ = played(path)
    assert len(pictures) == pushed - recorder.state.dropped


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("there.mp4", {}, SinkError, "it exists, and recordings never overwrite; choose another"),
        ("link.mp4", {}, SinkError, "it exists"),
        ("out.avi", {}, SinkError, "a recording ends in .mp4 or .mkv"),
        ("no/out.mp4", {}, SinkError, "there is no folder .*no; create it first"),
        ("out.mp4", {"segment_s": 0}, ConfigError, "must last more than 0 s, got 0"),
        ("out.mp4", {"max_segments": 3}, ConfigError, "give a length, and 1 file or more"),
        ("out.mp4", {"segment_s": 9, "max_segments": 0}, ConfigError, "got 0 with segments of 9"),
    ],
)
def test_what_cannot_be_recorded_is_refused_at_once(tmp_path, name, options, error, message):
    (tmp_path / "there.mp4").write_bytes(b"precious")
    (tmp_path / "link.mp4").symlink_to("/dev/full")
    with pytest.raises(error, match=message):
        Recorder(tmp_path / name, VIDEO, **options)
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"


def test_sound_that_the_container_cannot_hold_is_refused_with_the_way_out(tmp_path):
    track = AudioTrack(codec="pcm_alaw", sample_rate=8_000, channels=1)
    with pytest.raises(
        SinkError, match=r"pcm_alaw does not go into mp4; record to \.mkv, or leave"
    ):
        Recorder(tmp_path / "out.mp4", VIDEO, track)


def test_a_file_that_appears_before_the_first_picture_is_not_overwritten(tmp_path, caplog):
    path = tmp_path / "out.mp4"
    recorder = Recorder(path, VIDEO)
    path.write_bytes(b"precious")
    for unit in clip():
        recorder.push(unit)
    recorder.close()
    assert path.read_bytes() == b"precious"
    (other,) = set(tmp_path.iterdir()) - {path}
    assert len(played(other)[0]) == 60


def test_a_folder_that_goes_away_is_an_event_and_not_the_end(tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    folder = tmp_path / "usb"
    folder.mkdir()
    recorder = Recorder(folder / "out.mp4", VIDEO, retry_s=0.05)
    folder.rmdir()
    recorder.push(clip()[0])
    until(lambda: recorder.state.state == "failed")
    assert recorder.state.error == "No such file or directory"
    assert caplog.records[0].event == "record.failed"
    folder.mkdir()
    units = endless(clip())
    until(lambda: recorder.push(next(units)) or recorder.state.state == "recording")
    recorder.close()
    recorder.close()
    assert recorder.state.error == ""
    assert len(list(folder.iterdir())) == 1


def test_nothing_is_created_where_nothing_is_pushed(tmp_path):
    recorder = recorded(tmp_path / "out.mp4", [])
    assert recorder.state.state == "waiting"
    assert list(tmp_path.iterdir()) == []
