"""Real players watch the stream of the RTSP server."""

import os
import random
import shutil
import socket
import subprocess
import threading
import time
from contextlib import ExitStack

import av
import cv2
import pytest
from rtsp_players import HEIGHT, RATE, SOUNDS, WIDTH, Feed, Raw, until

from pipeline.live.rtsp import Credentials, Limits

QUICK = {"probesize": "32", "analyzeduration": "0"}
CREDENTIALS = Credentials(user="me", password="p@ss word")


def player(url, transport, **options):
    return av.open(url, options={"rtsp_transport": transport} | QUICK | options, timeout=(5, 5))


def watch(url, transport="tcp", pictures=10):
    """Return the first pictures and how long the first took."""
    began = time.monotonic()
    first_s = 0.0
    frames = []
    with player(url, transport) as container:
        for frame in container.decode(video=0):
            first_s = first_s or time.monotonic() - began
            frames.append(frame)
            if len(frames) == pictures:
                break
    return frames, first_s


def assert_shown(frames, count=10):
    assert len(frames) == count
    assert frames[0].key_frame
    assert {(frame.width, frame.height) for frame in frames} == {(WIDTH, HEIGHT)}
    assert not any(frame.is_corrupt for frame in frames)


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


needs_ffmpeg = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="no ffprobe here")
needs_gstreamer = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None, reason="no GStreamer here"
)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_player_starts_on_a_key_picture_within_a_second(codec, transport):
    with Feed(codec) as server:
        frames, first_s = watch(server.url, transport)
    assert_shown(frames)
    assert first_s < 1.0


def test_player_starts_with_the_next_key_picture_where_none_can_be_asked_for():
    with Feed(answers=False) as server:
        frames, first_s = watch(server.url)
    assert_shown(frames)
    assert first_s < 1.0  # one comes every half second


def test_opencv_plays():
    with Feed() as server:
        capture = cv2.VideoCapture(server.url, cv2.CAP_FFMPEG)
        shapes = [capture.read()[1].shape for _ in range(5)]
        capture.release()
    assert shapes == [(HEIGHT, WIDTH, 3)] * 5


@pytest.mark.parametrize("codec", SOUNDS)
def test_sound_comes_with_the_picture_and_on_its_clock(codec):
    with Feed(audio=codec) as server, player(server.url, "tcp") as container:
        times = {"video": [], "audio": []}
        for packet in container.demux():
            if packet.pts is not None:
                times[packet.stream.type].append(float(packet.pts * packet.time_base))
            if len(times["video"]) == 15:
                break
        names = {stream.codec_context.name for stream in container.streams}
    # FFmpeg calls all MPEG audio in RTP MP2, and decodes all of it.
    assert codec in names
    assert abs(times["video"][-1] - times["audio"][-1]) < 0.15
    step_s = (times["video"][-1] - times["video"][0]) / 14
    assert step_s == pytest.approx(1 / RATE, rel=0.01)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_player_with_the_password_is_let_in(transport):
    with Feed(credentials=CREDENTIALS) as server:
        secret = server.url.replace("//", "//me:p%40ss%20word@")
        assert_shown(watch(secret, transport)[0])
        for wrong in (server.url, server.url.replace("//", "//me:other@")):
            with pytest.raises(av.error.HTTPUnauthorizedError):
                player(wrong, transport)
        until(lambda: server.viewers == 0)


def test_password_in_the_address_counts():
    with Feed(url="rtsp://me:secret@127.0.0.1:0/clean") as server:
        assert "secret" not in server.url
        with pytest.raises(av.error.HTTPUnauthorizedError):
            player(server.url, "tcp")
        assert_shown(watch(server.url.replace("//", "//me:secret@"))[0])


def test_many_watch_at_once_and_are_counted():
    seen = []

    def one(transport):
        seen.append(watch(server.url, transport, pictures=20)[0])

    with Feed() as server:
        threads = [threading.Thread(target=one, args=(name,)) for name in ("tcp", "udp") * 2]
        for thread in threads:
            thread.start()
        until(lambda: server.viewers == 4)
        for thread in threads:
            thread.join()
        until(lambda: server.viewers == 0)
    assert len(seen) == 4
    for frames in seen:
        assert_shown(frames, 20)


def test_player_that_reads_nothing_harms_nobody():
    with (
        Feed(limits=Limits(buffer_bytes=1 << 16)) as server,
        Raw(server, receive_bytes=4096) as stuck,
    ):
        stuck.setup()
        stuck.send("PLAY")
        until(lambda: server.viewers == 1)
        assert_shown(watch(server.url, pictures=45)[0], 45)


def test_player_sees_the_end_when_the_server_closes():
    with ExitStack() as stack:
        server = stack.enter_context(Feed())
        for transport in ("tcp", "udp"):
            container = stack.enter_context(player(server.url, transport))
            pictures = container.decode(video=0)
            next(pictures)
            if transport == "udp":
                began = time.monotonic()
                server.close()
                assert time.monotonic() - began < 1.0
                for _ in pictures:
                    pass


def garbage(randomness):
    """What scanners, broken players and attackers send."""
    url = "rtsp://127.0.0.1/clean"
    request = f"SETUP {url}/trackID=0 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP\r\n\r\n"
    data = bytearray(request.encode())
    kind = randomness.randrange(7)
    if kind == 0:
        return randomness.randbytes(randomness.randrange(3000))
    if kind == 1:
        return bytes(data[: randomness.randrange(len(data))])
    if kind == 2:
        for _ in range(5):
            data[randomness.randrange(len(data))] = randomness.randrange(256)
        return bytes(data)
    if kind == 3:
        length = randomness.choice([-1, 10**6, 10**30, "x", "0x10", "", "1\x00"])
        return f"PLAY {url} RTSP/1.0\r\nCSeq: 1\r\nContent-Length: {length}\r\n\r\n".encode()
    if kind == 4:
        return b"$" + randomness.randbytes(randomness.randrange(200))
    if kind == 5:
        return bytes(data) + b"$\x07\xff\xff" + randomness.randbytes(50)
    return bytes(data) * randomness.randrange(1, 40) + randomness.randbytes(20)


def test_garbage_costs_nothing_and_the_next_player_plays():
    randomness = random.Random(5)
    with Feed(limits=Limits(clients=4, connections=8)) as server:
        watch(server.url, pictures=1)
        until(lambda: not server._services.connections)
        before = open_descriptors()
        for index in range(400):
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
                try:
                    client.sendall(garbage(randomness))
                    if index % 2:
                        client.shutdown(socket.SHUT_WR)
                        while client.recv(1 << 16):
                            pass
                except (ConnectionResetError, BrokenPipeError):
                    pass
        until(lambda: not server._services.connections)
        until(lambda: open_descriptors() == before)
        assert_shown(watch(server.url)[0])


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("auth", [False, True])
@needs_ffmpeg
def test_ffprobe_knows_both_tracks(transport, auth):
    with Feed(audio="aac", credentials=CREDENTIALS if auth else None) as server:
        url = server.url.replace("//", "//me:p%40ss%20word@") if auth else server.url
        command = ["ffprobe", "-v", "error", "-rtsp_transport", transport, "-probesize", "100000"]
        command += ["-show_entries", "stream=codec_name", "-of", "csv=p=0", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.split() == ["h264", "aac"]
    assert done.returncode == 0


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@needs_gstreamer
def test_gstreamer_plays_with_the_password(transport):
    with Feed(credentials=CREDENTIALS) as server:
        source = f"rtspsrc location={server.url} protocols={transport} latency=0"
        secret = ["user-id=me", f"user-pw={CREDENTIALS.password}"]
        sink = "! rtph264depay ! h264parse ! fakesink num-buffers=10"
        command = ["gst-launch-1.0", "-q", *source.split(), *secret, *sink.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
