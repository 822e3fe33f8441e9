"""A camera that runs, with real H.264, for the tests of the web page."""

import asyncio
import json
import struct
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import cache

import aiohttp
import av
import numpy as np

from pipeline.live.access import CLOCK, AccessUnit, VideoTrack
from pipeline.live.loop import LoopThread
from pipeline.live.status import Status
from pipeline.live.web import CameraView, WebServer

WIDTH, HEIGHT, FPS = 320, 180, 25
TRACK = VideoTrack(codec="h264", width=WIDTH, height=HEIGHT, frame_rate=Fraction(FPS))
WAIT_S = 40.0
LOOP = 40
"""Frames until a camera shows the same again."""


class Encoder:
    """Makes access units as the program's own does: Annex B, key pictures when asked."""

    def __init__(self, codec="libx264"):
        self._codec = av.CodecContext.create(codec, "w")
        self._codec.width, self._codec.height = WIDTH, HEIGHT
        self._codec.pix_fmt = "yuv420p"
        self._codec.time_base, self._codec.framerate = CLOCK, Fraction(FPS)
        self._codec.gop_size = 10_000  # key pictures come only when somebody asks
        self._codec.options = {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1"}
        if codec == "libx265":
            self._codec.options |= {"x265-params": "log-level=none"}
        self._wants_key = threading.Event()

    def request_key(self):
        self._wants_key.set()

    def encode(self, picture, pts):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = pts, CLOCK
        if self._wants_key.is_set():
            self._wants_key.clear()
            frame.pict_type = av.video.frame.PictureType.I
        return [
            AccessUnit(data=bytes(packet), pts=packet.pts, is_key=packet.is_keyframe)
            for packet in self._codec.encode(frame)
        ]


@cache
def clean_picture(index):
    """A bluish page with lines of text; a bar moves across it."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    picture = np.stack([60 + y // 6, 80 + y // 5, 130 + x // 6], axis=2).astype(np.uint8)
    for line in range(20, HEIGHT - 20, 14):
        picture[line : line + 4, 24 : 150 + 90 * (line % 3)] = 220
    left = index * 4 % (WIDTH - 24)
    picture[-14:-6, left : left + 24] = 255
    picture.flags.writeable = False  # it is cached
    return picture


@cache
def original_picture(index):
    """The same with reddish fringes that drift."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    phase = (x * 0.9 + y * 0.35 + np.sin(y / 30) * 14 + index * 1.3) / 9
    fringes = np.stack([70 + 45 * np.sin(phase + turn) for turn in (0, 2.1, 4.2)], axis=2)
    fringes *= (1.0, 0.25, 0.25)
    return np.clip(clean_picture(index) + fringes, 0, 255).astype(np.uint8)


def units(count, *, picture=clean_picture, keys=(0,), codec="libx264", start=0):
    """`count` access units, one every frame; those of `keys` are key pictures."""
    encoder = Encoder(codec)
    made = []
    for index in range(count):
        if index in keys:
            encoder.request_key()
        made += encoder.encode(picture(index), start + index * 90_000 // FPS)
    return made


class Knobs:
    """A control that remembers what was set."""

    def __init__(self):
        self.current = {"strength": 1.0, "smoothing": "auto", "bypass": False}
        self.calls = []
        self.changed = threading.Condition()

    def values(self):
        return dict(self.current)

    def set(self, name, value):
        if name == "strength" and not (isinstance(value, float) and 0 <= value <= 1):
            raise ValueError(f"strength: must be 0 to 1, got {value}")
        with self.changed:
            self.calls.append((name, value))
            self.current[name] = value
            self.changed.notify_all()

    def wait_for(self, *call):
        with self.changed:
            assert self.changed.wait_for(lambda: call in self.calls, WAIT_S), self.calls


class Camera:
    """Everything a page asks of a camera, by hand; `running` also pushes pictures."""

    def __init__(self, name="front", *, tint=0, codec="h264"):
        self.name = name
        self._track = replace(TRACK, codec=codec)
        self.knobs = Knobs()
        self.asked = []
        self.viewers = []
        self.changed = threading.Condition()
        self.status_fields = {}
        self._loop = [
            (np.roll(clean_picture(index), tint, axis=2), original_picture(index))
            for index in range(0, LOOP, 4)
        ]
        encoder = {"h264": "libx264", "hevc": "libx265"}[codec]
        self._encoders = {"clean": Encoder(encoder), "original": Encoder(encoder)}
        self._stop = threading.Event()
        self.frames = 0

    def view(self):
        return CameraView(
            clean=self._track,
            original=self._track,
            status=self.status,
            control=self.knobs,
            request_key=self.request_key,
            on_viewers=self.on_viewers,
        )

    def request_key(self, which):
        with self.changed:
            self.asked.append(which)
            self._encoders[which].request_key()
            self.changed.notify_all()

    def on_viewers(self, count):
        with self.changed:
            self.viewers.append(count)
            self.changed.notify_all()

    def wait_until(self, holds):
        with self.changed:
            assert self.changed.wait_for(lambda: holds(self), WAIT_S)

    def status(self):
        known = {
            "camera": self.name,
            "source": "rtsp://192.168.1.20/stream1",
            "state": "online",
            "state_s": self.frames / FPS,
            "frames_in": self.frames + 3,
            "frames_out": self.frames,
            "dropped": 3,
            "fps_in": 25.0,
            "fps_out": 24.9,
            "delay_ms": 61.0,
            "delay_p99_ms": 93.5,
            "queues": {"clean": 1, "encode": 0},
            "uptime_s": self.frames / FPS + 2,
            "moire_before": 6.31,
            "moire_after": 1.42,
            "viewers": {"rtsp": 1, "web": self.viewers[-1] if self.viewers else 0},
            "encoder": "libx264",
            "strength": self.knobs.current["strength"],
            "smoothing": str(self.knobs.current["smoothing"]),
            "bypass": self.knobs.current["bypass"],
        }
        return Status(**known | self.status_fields)

    def push_next(self, server):
        """Encode and push one picture of each kind."""
        pictures = self._loop[self.frames % len(self._loop)]
        for which, picture in zip(("clean", "original"), pictures, strict=True):
            for unit in self._encoders[which].encode(picture, self.frames * 90_000 // FPS):
                server.outlet(self.name, which).push(unit)
        self.frames += 1

    @contextmanager
    def running(self, server):
        """Push pictures at the frame rate within the block."""

        def run():
            while not self._stop.wait(1 / FPS):
                self.push_next(server)

        self._stop.clear()
        thread = threading.Thread(target=run, name="camera")
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()


@contextmanager
def serving(*cameras, host="127.0.0.1", port=0, **options):
    """A server that runs within the block."""
    with LoopThread("test") as loop:
        views = {camera.name: camera.view() for camera in cameras}
        server = WebServer(loop, host, port, cameras=views, **options)
        server.start()
        try:
            yield server
        finally:
            server.close()


class Page:
    """The server's other side, without a browser."""

    def __init__(self, socket):
        self.socket = socket

    async def message(self):
        return await asyncio.wait_for(self.socket.receive(), WAIT_S)

    async def text(self, kind):
        """The next message of a type; others are passed over."""
        while True:
            message = await self.message()
            if message.type is aiohttp.WSMsgType.TEXT:
                told = json.loads(message.data)
                if told["type"] == kind:
                    return told
            else:
                assert message.type is aiohttp.WSMsgType.BINARY, message

    async def unit(self):
        """The next picture: (number, flags, microseconds, data)."""
        while True:
            message = await self.message()
            if message.type is aiohttp.WSMsgType.BINARY:
                return *struct.unpack_from(">BBq", message.data), message.data[10:]
            assert message.type is aiohttp.WSMsgType.TEXT, message

    async def status(self, holds):
        while True:
            status = await self.text("status")
            if holds(status):
                return status

    async def closed(self):
        while True:
            message = await self.message()
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message

    async def say(self, **message):
        await self.socket.send_str(json.dumps(message))


@asynccontextmanager
async def page(server, *, looks=True, query="way=units", **options):
    async with aiohttp.ClientSession() as session:
        address = f"http://127.0.0.1:{server.port}/socket?{query}"
        async with session.ws_connect(address, autoclose=False, **options) as socket:
            opened = Page(socket)
            if looks:
                await opened.text("hello")
                await opened.say(type="look", on=True)
            yield opened


def push(server, which, pushed, camera="front"):
    outlet = server.outlet(camera, which)
    for unit in pushed:
        outlet.push(unit)


def looked_at(camera):
    camera.wait_until(lambda camera: len(camera.asked) >= 2)
