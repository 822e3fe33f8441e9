"""Files at their own pace, cameras and screens of this machine."""

from __future__ import annotations

import errno
import os
import struct
import threading
from fractions import Fraction
from itertools import pairwise

import pytest
from media_files import make

from pipeline.errors import SourceError
from pipeline.live.sources import LIVE_SOURCES, open_live, scheme_of
from pipeline.live.sources.cameras import Camera, CameraMode, capture_modes, list_cameras
from pipeline.live.sources.contract import LiveOptions
from pipeline.live.sources.devices import descriptors_of, readable


@pytest.mark.parametrize(
    ("spec", "scheme"),
    [
        ("rtsp://h/x", "rtsp"),
        ("RTSPS://h/x", "rtsps"),
        ("/dev/video2", "usb"),
        ("/dev/v4l/by-id/usb-cam", "usb"),
        ("usb:2", "usb"),
        ("screen:", "screen"),
        ("screen::1.0", "screen"),
        ("test://", "test"),
        ("video.mp4", "file"),
        ("./http:x.mp4", "file"),
        ("C:video.mp4", "file"),
        ("take:2.mp4", "file"),
        ("file:///video.mp4", "file"),
    ],
)
def test_a_spec_is_opened_by_its_scheme(spec, scheme):
    assert scheme_of(spec) == scheme


def test_every_opener_can_be_imported():
    from importlib import import_module

    for target in LIVE_SOURCES.values():
        module, _, name = target.partition(":")
        assert callable(getattr(import_module(module), name))


def played(path, count=None, **options):
    source = open_live(str(path), LiveOptions(**options), stop=threading.Event())
    frames = []
    for frame in source.frames():
        frames.append(frame)
        if len(frames) == count:
            break
    source.close()
    return frames, source


def test_a_file_is_played_at_its_own_pace(tmp_path):
    frames, source = played(make(tmp_path / "clip.mkv", rate=Fraction(20)))
    lasted_s = frames[-1].left_source_s - frames[0].left_source_s
    assert len(frames) == 8
    assert 0.34 < lasted_s < 0.9
    assert source.final


def test_a_loop_has_rising_timestamps_and_no_seam(tmp_path):
    path = make(tmp_path / "clip.mp4", rate=Fraction(60), audio="aac")
    frames, source = played(path, count=20, loop=True)
    steps = {round((b.time_s - a.time_s) * 60, 2) for a, b in pairwise(frames)}
    assert steps == {1.0}
    assert [n for n, frame in enumerate(frames) if frame.discontinuity] == [0, 8, 16]
    packets = [packet for frame in frames for packet in frame.packets]
    times = [float(packet.pts * packet.time_base) for packet in packets]
    assert times == sorted(times)
    assert times[-1] > 0.2
    assert not source.final


def test_only_the_first_sound_of_a_file_rides_along(tmp_path):
    path = make(tmp_path / "clip.mkv", audio="aac", subtitles=[(0.0, 0.2, "hello")])
    frames, _ = played(path)
    assert {packet.stream_index for frame in frames for packet in frame.packets} == {1}
    silent, _ = played(path, sound=False)
    assert not any(frame.packets for frame in silent)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(SourceError, match=r"nothing\.mp4"):
        open_live("nothing.mp4", stop=threading.Event())


def test_a_stopped_file_ends_at_once(tmp_path):
    path = make(tmp_path / "clip.mkv", pts=[0, 15_000, 30_000])
    stop = threading.Event()
    source = open_live(str(path), stop=stop)
    for _ in source.frames():
        stop.set()
    source.close()


def test_a_camera_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(SourceError, match="there is no /dev/video987; cameras here: "):
        open_live("usb:987", stop=threading.Event())
    with pytest.raises(SourceError, match="a camera has a number; write usb:0"):
        open_live("usb:front", stop=threading.Event())


def test_a_screen_that_is_not_there_is_named():
    with pytest.raises(SourceError, match=r"screen::987\.0: .*X server"):
        open_live("screen::987.0", stop=threading.Event())


def test_a_device_is_waited_for_by_its_descriptor(tmp_path):
    pipe = tmp_path / "device"
    os.mkfifo(pipe)
    ready = readable(str(pipe))
    assert ready()  # not open: nothing to wait for
    descriptor = os.open(pipe, os.O_RDWR)
    try:
        assert descriptors_of(str(pipe)) == [descriptor]
        assert not ready()
        os.write(descriptor, b"x")
        assert ready()
    finally:
        os.close(descriptor)


def test_without_cameras_the_list_is_empty(tmp_path):
    assert list_cameras(tmp_path / "nothing", tmp_path) == []


def test_cameras_are_listed_by_number_with_their_names(tmp_path):
    sysfs, dev = tmp_path / "sys", tmp_path / "dev"
    dev.mkdir()
    for number, name in ((10, "Capture card"), (2, "HD Webcam\n"), (3, "gone")):
        (sysfs / f"video{number}").mkdir(parents=True)
        (sysfs / f"video{number}" / "name").write_text(name)
        if number != 3:
            (dev / f"video{number}").touch()
    assert list_cameras(sysfs, dev) == [
        Camera(device=dev / "video2", name="HD Webcam"),
        Camera(device=dev / "video10", name="Capture card"),
    ]


class Driver:
    """Answers as a camera's driver does: the requests are those of linux/videodev2.h."""

    def __init__(self, *, capabilities=0x84A0_0001, this_node=0x0420_0001):
        self.capabilities, self.this_node = capabilities, this_node

    def ioctl(self, descriptor, request, buffer):
        answers = {
            0x8068_5600: self.capability,
            0xC040_5602: self.form,
            0xC02C_564A: self.size,
            0xC034_564B: self.interval,
        }
        answers[request](buffer)

    def capability(self, buffer):
        assert len(buffer) == 104
        struct.pack_into("=II", buffer, 84, self.capabilities, self.this_node)

    def form(self, buffer):
        index, kind = struct.unpack_from("=II", buffer)
        assert kind == 1
        struct.pack_into("=4s", buffer, 44, self.one_of([b"MJPG", b"YUYV"], index))

    def size(self, buffer):
        index, form = struct.unpack_from("=I4s", buffer)
        if form == b"MJPG":
            width, height = self.one_of([(1920, 1080), (640, 480)], index)
            struct.pack_into("=III", buffer, 8, 1, width, height)
        else:
            self.one_of([0], index)
            struct.pack_into("=IIIIIII", buffer, 8, 3, 32, 1280, 16, 24, 720, 8)

    def interval(self, buffer):
        index, _, width, _ = struct.unpack_from("=I4sII", buffer)
        per_second = self.one_of([30, 15] if width < 1920 else [60], index)
        struct.pack_into("=III", buffer, 16, 1, 1, per_second)

    @staticmethod
    def one_of(entries, index):
        if index >= len(entries):
            raise OSError(errno.EINVAL, "no more")
        return entries[index]


def test_a_camera_tells_what_it_can_do():
    assert capture_modes(0, Driver().ioctl) == [
        CameraMode(pixel_format="MJPG", size=(1920, 1080), rates=(Fraction(60),)),
        CameraMode(pixel_format="MJPG", size=(640, 480), rates=(Fraction(30), Fraction(15))),
        CameraMode(pixel_format="YUYV", size=(1280, 720), rates=(Fraction(30), Fraction(15))),
    ]


def test_a_node_for_metadata_is_no_camera():
    assert capture_modes(0, Driver(this_node=0x0480_0000).ioctl) is None


def test_a_file_that_is_no_device_cannot_be_asked():
    def refuse(descriptor, request, buffer):
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))

    assert capture_modes(0, refuse) == []
