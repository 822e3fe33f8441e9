"""Real servers on loopback that live sources connect to, and that each kind of them is read."""

from __future__ import annotations

import base64
import re
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import cache
from typing import Any

import av
import pytest
from media_files import AAC_FRAME, SAMPLE_RATE, picture

from pipeline.errors import SourceError
from pipeline.live.sources import open_live
from pipeline.live.sources.container import READ_S
from pipeline.live.sources.contract import LiveOptions
from pipeline.live.sources.datagrams import Datagrams

RATE = 30
SIZE = (96, 64)
DEADLINE_S = 20
MULTIPART = "multipart/x-mixed-replace; boundary=ffmpeg"


class Parts:
    """A file that keeps each piece FFmpeg writes."""

    def __init__(self):
        self.taken = []

    def write(self, data):
        self.taken.append(bytes(data))
        return len(data)

    def take(self):
        taken, self.taken = self.taken, []
        return taken


@cache
def stream_of(container, *, codec="libx264", size=SIZE, count=RATE, sound=False):
    """A live stream as the pieces that belong to each picture."""
    parts, pieces = Parts(), []
    with av.open(parts, "w", format=container, options={"flush_packets": "1"}) as output:
        video = output.add_stream(codec, RATE)
        video.width, video.height = size
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx264":
            video.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10"}
        audio = output.add_stream("aac", SAMPLE_RATE) if sound else None
        for index in range(count):
            shown = picture(index, size, "yuv420p")
            shown.pts, shown.time_base = index, Fraction(1, RATE)
            if audio is not None:
                for one in tone(index):
                    output.mux(audio.encode(one))
            output.mux(video.encode(shown))
            pieces.append(b"".join(parts.take()))
        output.mux(video.encode(None))
    pieces.append(b"".join(parts.take()))
    return tuple(pieces)


def tone(index):
    """The frames of silence that belong to a picture."""
    first, last = (round(n * SAMPLE_RATE / RATE / AAC_FRAME) for n in (index, index + 1))
    for number in range(first, last):
        frame = av.AudioFrame("fltp", "stereo", AAC_FRAME)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = SAMPLE_RATE, number * AAC_FRAME
        frame.time_base = Fraction(1, SAMPLE_RATE)
        yield frame


class Peer:
    """A TCP server that hands each connection and its number to `handle`, in a thread."""

    def __init__(self, handle):
        self.ended = threading.Event()
        self.accepted = 0
        self._handle = handle
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while True:
            connection, _ = self._listening.accept()
            if self.ended.is_set():
                connection.close()
                return
            thread = threading.Thread(target=self._serve, args=(connection, self.accepted))
            self.accepted += 1
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection, number):
        with connection, suppress(OSError):
            connection.settimeout(DEADLINE_S)
            self._handle(self, connection, number)

    def send(self, connection, pieces, *, rate=4 * RATE):
        """Send pieces at the rate of pictures; whether all were sent."""
        for piece in pieces:
            connection.sendall(piece)
            if self.ended.wait(1 / rate):
                return False
        return True

    def close(self):
        self.ended.set()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            pass
        for thread in self._threads:
            thread.join(DEADLINE_S)
        self._listening.close()


@contextmanager
def peer(handle):
    server = Peer(handle)
    try:
        yield server
    finally:
        server.close()


def request_of(connection):
    """The head of an HTTP or RTSP request; empty when the other side has closed."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = connection.recv(1)
        if not data:
            return ""
        head += data
    return head.decode()


def answer(kind, *, status="200 OK", extra=""):
    return f"HTTP/1.0 {status}\r\nContent-Type: {kind}\r\n{extra}\r\n".encode()


def http(kind, pieces):
    """Serve a stream over HTTP, as long as it lasts."""

    def handle(server, connection, number):
        request_of(connection)
        connection.sendall(answer(kind))
        server.send(connection, pieces)

    return handle


def packets_of_rtp():
    """What an RTSP server needs: parameter sets, and the RTP packets of each picture."""
    parts, pictures, sets = Parts(), [], b""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = *SIZE, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(RATE), Fraction(1, RATE)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10"}
    with av.open(parts, "w", format="rtp", buffer_size=1400) as output:
        stream = output.add_mux_stream("h264", rate=RATE, width=SIZE[0], height=SIZE[1])
        for index in range(3 * RATE):
            shown = picture(index, SIZE, "yuv420p")
            shown.pts, shown.time_base = index, Fraction(1, RATE)
            for packet in encoder.encode(shown):
                sets = sets or bytes(packet)
                packet.stream = stream
                output.mux_one(packet)
            pictures.append(parts.take())
    units = [unit for unit in re.split(rb"\x00\x00\x00?\x01", sets) if unit]
    return [unit for unit in units if unit[0] & 31 in (7, 8)], pictures


def rtsp_server():
    """Serve RTSP over TCP; plays three seconds, with a pause after the first."""
    sets, pictures = packets_of_rtp()
    described = ",".join(base64.b64encode(one).decode() for one in sets)
    sdp = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
        f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={described}\r\n"
        "a=control:trackID=0\r\n"
    )
    extras = {
        "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n",
        "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
        "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
    }

    def handle(server, connection, number):
        while request := request_of(connection):
            method = request.split()[0]
            sequence = re.search(r"CSeq: *(\d+)", request)[1]
            body = sdp if method == "DESCRIBE" else ""
            reply = f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nSession: 1\r\n{extras.get(method, '')}"
            connection.sendall(f"{reply}\r\n{body}".encode())
            if method == "PLAY":
                break
        framed = [
            b"".join(struct.pack("!BBH", 36, rtcp(one), len(one)) + one for one in packets)
            for packets in pictures
        ]
        # Not a multiple of `READ_S`: FFmpeg loses its place in a packet that it is interrupted in.
        if server.send(connection, framed[:RATE]) and not server.ended.wait(1.5 * READ_S):
            server.send(connection, framed[RATE:])

    return handle


def rtcp(packet):
    return int(200 <= packet[1] <= 207)


def taken(url, *, count=None, **options):
    """The frames of a live source, all of them or so many, and the source."""
    source = open_live(url, LiveOptions(**options), stop=threading.Event())
    try:
        frames, source.kinds = [], [one.type for one in source.info.streams]
        for frame in source.frames():
            frames.append(frame)
            if len(frames) == count:
                break
    finally:
        source.close()
    return frames, source


@pytest.mark.parametrize(
    ("kind", "container", "codec"),
    [
        ("video/mp2t", "mpegts", "libx264"),
        (MULTIPART, "mpjpeg", "mjpeg"),
        ("video/x-flv", "flv", "libx264"),
        ("application/octet-stream", "mpjpeg", "mjpeg"),
    ],
)
def test_a_stream_over_http_is_read_until_the_server_closes(kind, container, codec):
    with peer(http(kind, stream_of(container, codec=codec))) as server:
        frames, source = taken(f"http://127.0.0.1:{server.port}/live")
    assert len(frames) == RATE
    assert (source.info.width, source.info.height) == SIZE
    assert [frame.discontinuity for frame in frames] == [True] + [False] * (RATE - 1)
    arrivals = [frame.left_source_s for frame in frames]
    assert arrivals == sorted(arrivals)


def test_a_pause_of_the_sender_is_not_an_end():
    pieces = stream_of("mpegts")

    def handle(server, connection, number):
        request_of(connection)
        connection.sendall(answer("video/mp2t"))
        half = len(pieces[12]) // 2
        server.send(connection, [*pieces[:12], pieces[12][:half]])
        server.ended.wait(0.8)
        server.send(connection, [pieces[12][half:], *pieces[13:]])

    with peer(handle) as server:
        frames, source = taken(f"http://127.0.0.1:{server.port}/live")
    assert len(frames) == RATE
    assert source.damaged == 0


def test_mjpeg_has_the_times_of_its_arrivals():
    pieces = stream_of("mpjpeg", codec="mjpeg")

    def handle(server, connection, number):
        request_of(connection)
        connection.sendall(answer(MULTIPART))
        server.send(connection, pieces[:8], rate=12)

    with peer(handle) as server:
        frames, _ = taken(f"http://127.0.0.1:{server.port}/cam.mjpg")
    times = [frame.time_s - frames[0].time_s for frame in frames]
    arrivals = [frame.left_source_s - frames[0].left_source_s for frame in frames]
    assert times == pytest.approx(arrivals, abs=0.05)


def test_sound_rides_along_and_can_be_left_out():
    pieces = stream_of("mpegts", sound=True)
    with peer(http("video/mp2t", pieces)) as server:
        url = f"http://127.0.0.1:{server.port}/live"
        with_sound, source = taken(url)
        without, silent = taken(url, sound=False)
    packets = [packet for frame in with_sound for packet in frame.packets]
    assert len(packets) > RATE
    assert source.kinds == ["audio"]
    assert not any(frame.packets for frame in without)
    assert silent.kinds == []


def test_rtsp_is_read_over_tcp_and_survives_a_pause():
    with peer(rtsp_server()) as server:
        frames, source = taken(f"rtsp://127.0.0.1:{server.port}/cam", sound=False)
    # FFmpeg's parser holds the last picture back until the next one begins.
    assert len(frames) >= 3 * RATE - 1
    assert source.info.codec == "h264"
    assert source.damaged == 0


def test_datagrams_are_read_and_reading_stops_in_time():
    pieces = stream_of("mpegts", count=2 * RATE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        port = free_port()
        ended, stop = threading.Event(), threading.Event()

        def send():
            while not ended.is_set():
                for piece in pieces:
                    for begin in range(0, len(piece), 1316):
                        sender.sendto(piece[begin : begin + 1316], ("127.0.0.1", port))
                    if ended.wait(0.5 / RATE):
                        return

        thread = threading.Thread(target=send)
        thread.start()
        try:
            source = open_live(f"udp://127.0.0.1:{port}", stop=stop)
            frames = []
            for frame in source.frames():
                frames.append(frame)
                if len(frames) == RATE:
                    stop.set()
            source.close()
        finally:
            ended.set()
            thread.join()
    assert RATE <= len(frames) <= RATE + 2


def test_a_sender_that_falls_silent_is_given_up():
    port, pieces = free_port(), stream_of("mpegts")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        received = Datagrams(
            f"udp://127.0.0.1:{port}", threading.Event(), absent_s=DEADLINE_S, silent_s=0.3
        )
        sender.sendto(pieces[1][:1316], ("127.0.0.1", port))
        assert received.read(188) == pieces[1][:188]
        assert received.read(4096) == pieces[1][188:1316]
        with pytest.raises(SourceError, match=r"nothing received for 0\.3 s"):
            received.read(4096)
        received.close()


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probing:
        probing.bind(("127.0.0.1", 0))
        return probing.getsockname()[1]


@pytest.mark.parametrize(
    "url", ["udp://127.0.0.1", "udp://127.0.0.1:99999", "udp://192.0.2.1:5000"]
)
def test_an_address_that_cannot_be_listened_at_is_named(url):
    with pytest.raises(SourceError, match=re.escape(url)):
        open_live(url, stop=threading.Event())


def test_digest_and_basic_passwords_reach_the_server_and_no_message():
    pieces = stream_of("mpegts")

    def handle(server, connection, number):
        request = request_of(connection)
        wanted = base64.b64encode(b"admin:s3cr:et").decode()
        if f"Authorization: Basic {wanted}" not in request:
            refusal = 'WWW-Authenticate: Basic realm="cam"\r\n'
            connection.sendall(answer("text/plain", status="401 Unauthorized", extra=refusal))
            return
        connection.sendall(answer("video/mp2t"))
        server.send(connection, pieces)

    with peer(handle) as server:
        host = f"127.0.0.1:{server.port}/live?token=abcdef"
        frames, source = taken(f"http://admin:s3cr%3Aet@{host}")
        with pytest.raises(SourceError, match="check user and password") as refused:
            taken(f"http://admin:wr0ng@{host}")
    assert len(frames) == RATE
    assert source.info.url == f"http://***@127.0.0.1:{server.port}/live?token=***"
    assert "wr0ng" not in str(refused.value)
    assert "abcdef" not in str(refused.value)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer("text/plain", status="404 Not Found"), "404 Not Found"),
        (answer("video/mp2t") + bytes(range(256)) * 40, "cam"),
        (answer("text/html") + b"<html>please log in</html>", "Invalid data"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0"),
        (b"", "without response"),
    ],
)
def test_a_server_that_sends_something_else_is_named_with_the_reason(reply, words):
    def handle(server, connection, number):
        request_of(connection)
        connection.sendall(reply)

    with peer(handle) as server:
        url = f"http://127.0.0.1:{server.port}/cam"
        with pytest.raises(SourceError, match=words) as failed:
            taken(url)
    assert url in str(failed.value)


def test_a_playlist_is_followed_at_the_pace_of_its_pictures():
    pieces = stream_of("mpegts")
    thirds = [b"".join(pieces[begin : begin + 10]) for begin in (0, 10, 20)]
    lists = ["#EXT-X-STREAM-INF:BANDWIDTH=1\nbad.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=9\ngood.m3u8"]
    asked = []

    def page(path):
        if path == "/all.m3u8":
            return "application/vnd.apple.mpegurl", lists[0].encode()
        if path == "/good.m3u8":
            asked.append(path)
            known = range(2 if len(asked) < 2 else 3)
            lines = "".join(f"#EXTINF:0.3,\n{number}.ts\n" for number in known)
            end = "#EXT-X-ENDLIST" if len(known) == 3 else ""
            return "audio/mpegurl", f"#EXT-X-TARGETDURATION:1\n{lines}{end}".encode()
        return "video/mp2t", thirds[int(path[1])]

    def handle(server, connection, number):
        kind, body = page(request_of(connection).split()[1])
        prefix = b"#EXTM3U\n" if "mpegurl" in kind else b""
        connection.sendall(answer(kind) + prefix + body)

    with peer(handle) as server:
        frames, _ = taken(f"http://127.0.0.1:{server.port}/all.m3u8")
    assert len(frames) >= RATE - 1
    lasted = frames[-1].left_source_s - frames[0].left_source_s
    assert lasted >= 0.9 * (frames[-1].time_s - frames[0].time_s)
