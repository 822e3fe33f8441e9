"""A live source that needs no encoder, and a client that speaks RTSP by hand."""

import itertools
import socket
import threading
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import av
import numpy as np

from pipeline.live.access import AccessUnit, AudioTrack, VideoTrack
from pipeline.live.rtsp import RtspServer, parse_address

WIDTH, HEIGHT = 160, 120
RATE = 60
STEP = 90_000 // RATE
ENCODERS = {
    "h264": ("libx264", {"preset": "ultrafast", "tune": "zerolatency"}),
    "hevc": (
        "libx265",
        {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x265-params": "log-level=none:bframes=0:repeat-headers=1:pools=1:frame-threads=1",
        },
    ),
}
SOUNDS = {
    "aac": ("aac", 48_000, "fltp", "stereo"),
    "opus": ("libopus", 48_000, "s16", "stereo"),
    "pcm_alaw": ("pcm_alaw", 8_000, "s16", "mono"),
    "pcm_mulaw": ("pcm_mulaw", 8_000, "s16", "mono"),
    "pcm_s16be": ("pcm_s16be", 44_100, "s16", "stereo"),
    "mp2": ("mp2", 44_100, "s16", "stereo"),
}


def video_track(codec="h264"):
    return VideoTrack(codec=codec, width=WIDTH, height=HEIGHT, frame_rate=Fraction(RATE))


@cache
def clip(codec="h264", count=30):
    """Encoded noise; the first picture alone is a key picture."""
    name, options = ENCODERS[codec]
    encoder = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 90_000), Fraction(RATE)
    encoder.gop_size = 1000
    encoder.options = options
    random = np.random.default_rng(7)
    packets = []
    for index in range(count):
        pixels = random.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = index * STEP, encoder.time_base
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return tuple(
        AccessUnit(data=bytes(packet), pts=packet.pts, is_key=packet.is_keyframe)
        for packet in packets
    )


@cache
def sound(codec, seconds=1.0):
    """A track and a second of encoded noise for it."""
    name, rate, form, layout = SOUNDS[codec]
    encoder = av.CodecContext.create(name, "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate, layout, form
    encoder.time_base = Fraction(1, rate)
    encoder.open()
    channels = 2 if layout == "stereo" else 1
    track = AudioTrack(
        codec=codec, sample_rate=rate, channels=channels, extradata=bytes(encoder.extradata or b"")
    )
    size = encoder.frame_size or rate // 50
    random = np.random.default_rng(8)
    packets = []
    for index in range(int(seconds * rate / size)):
        frame = av.AudioFrame.from_ndarray(noise(random, form, channels, size), form, layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, index * size, encoder.time_base
        packets += encoder.encode(frame)
    units = tuple(
        AccessUnit(data=bytes(packet), pts=packet.pts * 90_000 // rate, is_key=True, medium="audio")
        for packet in packets
    )
    return track, units


def noise(random, form, channels, size):
    if form == "fltp":
        return random.uniform(-0.3, 0.3, (channels, size)).astype(np.float32)
    return random.integers(-9000, 9000, (1, channels * size), dtype=np.int16)


class Feed:
    """Plays a clip to a server, over and over and in real time, and begins anew when asked to."""

    def __init__(
        self, codec="h264", audio=None, *, answers=True, url="rtsp://127.0.0.1:0/clean", **options
    ):
        self._video = clip(codec)
        track, self._audio = (None, ()) if audio is None else sound(audio)
        self._wanted, self._stop = threading.Event(), threading.Event()
        self.asked = 0
        self._answers = answers
        self.server = RtspServer(
            parse_address(url), video_track(codec), track, request_key=self._request_key, **options
        )
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self.server

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self.server.close()

    def _request_key(self):
        self.asked += 1
        if self._answers:
            self._wanted.set()

    def _run(self):
        began = time.monotonic()
        position, sounds = 0, itertools.cycle(self._audio)
        sound_pts = 0
        for index in itertools.count():
            if self._wanted.is_set():
                self._wanted.clear()
                position = 0
            pts = index * STEP
            unit = self._video[position % len(self._video)]
            self.server.push(replace(unit, pts=pts))
            position += 1
            while self._audio and sound_pts <= pts:
                self.server.push(replace(next(sounds), pts=sound_pts))
                sound_pts += 90_000 // len(self._audio)
            if self._stop.wait(max(0.0, began + (index + 1) / RATE - time.monotonic())):
                return


@dataclass
class Reply:
    status: int
    headers: dict
    body: bytes


class Raw:
    """Speaks RTSP over a socket, word for word."""

    def __init__(self, server, *, receive_bytes=None, host="127.0.0.1"):
        self.server = server
        self.url = server.url
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(5)
        self.socket.connect((host, server.port))
        self._buffer = b""
        self._sequence = 0
        self.session = None
        self.frames = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, method, url=None, **headers):
        """Send a request; underscores in header names stand for hyphens."""
        self._sequence += 1
        if self.session is not None:
            headers.setdefault("Session", self.session)
        lines = [f"{method} {url or self.url} RTSP/1.0", f"CSeq: {self._sequence}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def ask(self, method, url=None, **headers):
        self.send(method, url, **headers)
        return self.reply()

    def reply(self):
        """Read the next answer; frames before it are kept in `frames`."""
        while self._peek() == b"$":
            self.frames.append(self._read_frame())
        head = self._until(b"\r\n\r\n").decode()
        first, *lines = head.split("\r\n")
        headers = {}
        for line in lines:
            if line:
                name, _, value = line.partition(": ")
                headers.setdefault(name, value)
        if "CSeq" in headers:
            assert int(headers["CSeq"]) == self._sequence
        body = self._take(int(headers.get("Content-Length", 0)))
        if "Session" in headers:
            self.session = headers["Session"].partition(";")[0]
        return Reply(int(first.split()[1]), headers, body)

    def frame(self):
        """Return channel and packet of the next `$` frame."""
        return self.frames.pop(0) if self.frames else self._read_frame()

    def at_end(self):
        """Read what is left; return whether the server closed the connection."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True

    def setup(self, track=0, transport="RTP/AVP/TCP;unicast;interleaved=0-1"):
        return self.ask("SETUP", f"{self.url}/trackID={track}", Transport=transport)

    def _read_frame(self):
        head = self._take(4)
        assert head[:1] == b"$"
        return head[1], self._take(int.from_bytes(head[2:], "big"))

    def _peek(self):
        self._fill(1)
        return self._buffer[:1]

    def _take(self, count):
        self._fill(count)
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _until(self, end):
        while end not in self._buffer:
            self._receive()
        return self._take(self._buffer.index(end) + len(end))

    def _fill(self, count):
        while len(self._buffer) < count:
            self._receive()

    def _receive(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError("the server closed the connection")
        self._buffer += data


def until(condition, within_s=5.0):
    """Wait for a condition nobody signals."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        pause.wait(0.005)


def is_rtcp(packet):
    return 200 <= packet[1] <= 207


def sequence_of(packet):
    return int.from_bytes(packet[2:4], "big")


def timestamp_of(packet):
    return int.from_bytes(packet[4:8], "big")
