"""Access units made by the real encoders, and what pushes them as a camera would."""

import itertools
import threading
import time
from dataclasses import replace
from fractions import Fraction
from functools import cache

import av
import numpy as np

from engines.engine import PictureFormat
from pipeline.frame import Frame
from pipeline.live.access import CLOCK, AccessUnit, AudioTrack, VideoTrack
from pipeline.live.encoder import LiveEncoder
from pipeline.media import SourceInfo

WIDTH, HEIGHT, RATE = 160, 96, 30
STEP = 90_000 // RATE
KEY_EVERY = 10
VIDEO = VideoTrack(codec="h264", width=WIDTH, height=HEIGHT, frame_rate=Fraction(RATE))


def info_of(pixel_format="yuv420p", *, width=WIDTH, height=HEIGHT, **fields):
    return SourceInfo(
        url="a camera",
        width=width,
        height=height,
        pixel_format=pixel_format,
        time_base=Fraction(1, RATE),
        **fields,
    )


def flat_frame(levels, *, layout="420", bits=8, pixel_format="yuv420p", size=None, **fields):
    """A frame whose planes each have one level."""
    width, height = size or (WIDTH, HEIGHT)
    form = PictureFormat(layout=layout, bits=bits, width=width, height=height)
    return Frame(
        planes=tuple(
            np.full(shape, level, form.dtype)
            for shape, level in zip(form.plane_shapes, levels, strict=True)
        ),
        format=form,
        pixel_format=pixel_format,
        pts=fields.pop("pts", 0),
        time_base=Fraction(1, RATE),
        **fields,
    )


def noisy_frame(index, *, size=None, bits=8, pixel_format="yuv420p"):
    """A frame that no encoder can make small."""
    frame = flat_frame((0, 128, 128), size=size, bits=bits, pixel_format=pixel_format)
    luma = np.random.default_rng(index).integers(16, 235 << (bits - 8), frame.planes[0].shape)
    return replace(frame, planes=(luma.astype(frame.format.dtype), *frame.planes[1:]), pts=index)


@cache
def clip(codec="h264", count=60, size=(WIDTH, HEIGHT)):
    """Units of noise, a key picture every third of a second."""
    encoder = LiveEncoder(
        info_of(),
        codec=codec,
        width=size[0],
        height=size[1],
        frame_rate=Fraction(RATE),
        key_interval_s=KEY_EVERY / RATE,
        hardware="off",
        preset="ultrafast",
        threads=1,
    )
    units = []
    for index in range(count):
        units += encoder.encode(noisy_frame(index, size=size), index * STEP)
    encoder.close()
    return tuple(units)


@cache
def tone(codec="aac", seconds=2.0):
    """A track and its packets: a tone."""
    name, rate, form = {
        "aac": ("aac", 48_000, "fltp"),
        "opus": ("libopus", 48_000, "s16"),
        "pcm_alaw": ("pcm_alaw", 8_000, "s16"),
    }[codec]
    encoder = av.CodecContext.create(name, "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate, "mono", form
    encoder.time_base = Fraction(1, rate)
    encoder.open()
    track = AudioTrack(
        codec=codec, sample_rate=rate, channels=1, extradata=bytes(encoder.extradata or b"")
    )
    size = encoder.frame_size or rate // 50
    packets = []
    for index in range(int(seconds * rate / size)):
        wave = np.sin(np.arange(index * size, (index + 1) * size) * 0.05)[None]
        samples = wave.astype(np.float32) if form == "fltp" else (wave * 9000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples, form, "mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, index * size, encoder.time_base
        packets += encoder.encode(frame)
    units = tuple(
        AccessUnit(
            data=bytes(packet),
            pts=round(packet.pts / rate / CLOCK),
            is_key=True,
            medium="audio",
        )
        for packet in packets
    )
    return track, units


def together(*tracks, start=0):
    """Units of several media in the order of their times, moved to begin at `start`."""
    units = sorted(itertools.chain(*tracks), key=lambda unit: unit.pts)
    return [replace(unit, pts=unit.pts + start) for unit in units]


def endless(units, *, start=0):
    """A clip over and over, its times going on."""
    for index in itertools.count():
        yield replace(units[index % len(units)], pts=start + index * STEP)


def endless_sound(units):
    """Packets over and over, in a row."""
    step = units[1].pts - units[0].pts
    for index in itertools.count():
        yield replace(units[index % len(units)], pts=index * step)


class Camera:
    """Pushes a clip for ever, in real time, and begins anew with its key picture when asked to."""

    def __init__(self, units=None, *, sound=(), speed=1.0):
        self._units = units or clip()
        self._speed = speed
        self._sound = endless_sound(sound) if sound else iter(())
        self._wanted, self._stop = threading.Event(), threading.Event()
        self.asked = 0
        self.longest_push_s = 0.0
        self._thread = None

    def request_key(self):
        self.asked += 1
        self._wanted.set()

    def play(self, outlet):
        self._thread = threading.Thread(target=self._run, args=(outlet,))
        self._thread.start()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, outlet):
        began, position = time.monotonic(), 0
        for index in itertools.count():
            if self._wanted.is_set():
                self._wanted.clear()
                position = 0
            unit = replace(self._units[position % len(self._units)], pts=index * STEP)
            position += 1
            before = time.monotonic()
            outlet.push(unit)
            self.longest_push_s = max(self.longest_push_s, time.monotonic() - before)
            for one in itertools.takewhile(lambda one, now=unit.pts: one.pts < now, self._sound):
                outlet.push(one)
            due = began + (index + 1) / RATE / self._speed
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return


def until(condition, within_s=10.0):
    """Wait for a condition that nobody signals."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        pause.wait(0.01)
