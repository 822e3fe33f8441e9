"""Publishing to real servers that are absent, come back, are killed, freeze and refuse."""

import http.server
import io
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from live_units import STEP, VIDEO, Camera, clip, tone, until

from pipeline.errors import SinkError
from pipeline.live.access import AudioTrack
from pipeline.live.outlets.destination import destination
from pipeline.live.outlets.publish import Publisher, PublishOptions
from pipeline.live.outlets.wire import (
    Opening,
    read_message,
    read_opening,
    write_opening,
    write_unit,
)

HASTY = PublishOptions(pause_s=0.1, longest_pause_s=0.4, connect_s=3, stall_s=1.5)
RECEIVER = str(Path(__file__).with_name("live_receiver.py"))


@pytest.fixture
def port():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Receiver:
    """A server in a process of its own, and what it says."""

    def __init__(self, url):
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, RECEIVER, url],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.split())

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self._thread.join()
        self.process.stdout.close()


@contextmanager
def publishing(url, camera, *, options=HASTY, audio=None):
    publisher = Publisher(url, VIDEO, audio, request_key=camera.request_key, options=options)
    try:
        yield publisher
    finally:
        began = time.monotonic()
        publisher.close()
        assert time.monotonic() - began < 2.0
        publisher.close()


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp"])
def test_a_server_that_comes_later_is_sent_pictures_from_a_key_picture_on(port, scheme):
    url = f"{scheme}://127.0.0.1:{port}/live/clean"
    with Camera() as camera, publishing(url, camera) as publisher:
        camera.play(publisher)
        until(lambda: publisher.state.state == "failed")
        assert "Connection refused" in publisher.state.error
        with Receiver(url) as receiver:
            until(lambda: len(receiver.lines) > 10)
            state = publisher.state
            assert (state.state, state.reconnects, state.error) == ("connected", 0, "")
            assert receiver.lines[0][:3] == ["video", "h264", "key"]
            assert float(receiver.lines[0][3]) < 0.1
    assert camera.asked
    assert camera.longest_push_s < 0.1


def test_a_server_that_is_killed_is_found_again(port):
    url = f"rtsp://127.0.0.1:{port}/clean"
    with Camera() as camera, publishing(url, camera) as publisher:
        camera.play(publisher)
        for number in range(2):
            with Receiver(url) as receiver:
                until(lambda: len(receiver.lines) > 5)
                assert publisher.state.reconnects == number
                assert receiver.lines[0][2] == "key"
            until(lambda: publisher.state.state != "connected")
    assert camera.longest_push_s < 0.1


def test_a_frozen_server_holds_up_neither_pictures_nor_the_end(port):
    url = f"rtsp://127.0.0.1:{port}/clean"
    patient = replace(HASTY, stall_s=30, most_units=40)
    with (
        Camera(fat_clip(), speed=4) as camera,
        publishing(url, camera, options=patient) as publisher,
    ):
        camera.play(publisher)
        with Receiver(url) as receiver:
            until(lambda: len(receiver.lines) > 5)
            receiver.freeze()
            dropped = publisher.state.dropped
            # Once buffers are full, nothing piles up: all is lost until it thaws.
            until(lambda: publisher.state.dropped > dropped + 100)
            assert publisher.state.state == "connected"
            began = time.monotonic()
            publisher.close()
            assert time.monotonic() - began < 2.0
    assert camera.longest_push_s < 0.1


def test_a_frozen_server_is_given_up_and_met_again(port):
    url = f"rtsp://127.0.0.1:{port}/clean"
    with Camera(fat_clip(), speed=4) as camera, publishing(url, camera) as publisher:
        camera.play(publisher)
        with Receiver(url) as receiver:
            until(lambda: len(receiver.lines) > 5)
            receiver.freeze()
            until(lambda: publisher.state.state == "failed", within_s=15)
            assert publisher.state.error == "the server takes nothing"
        with Receiver(url) as receiver:
            until(lambda: len(receiver.lines) > 5)
            assert publisher.state.reconnects == 1


def test_a_short_freeze_ends_with_a_key_picture_on_the_same_connection(port):
    url = f"rtsp://127.0.0.1:{port}/clean"
    patient = replace(HASTY, stall_s=30, most_units=40)
    with (
        Camera(fat_clip(), speed=4) as camera,
        publishing(url, camera, options=patient) as publisher,
    ):
        camera.play(publisher)
        with Receiver(url) as receiver:
            until(lambda: len(receiver.lines) > 5)
            receiver.freeze()
            dropped = publisher.state.dropped
            until(lambda: publisher.state.dropped > dropped + 100)
            receiver.thaw()
            until(lambda: gaps(receiver.lines))
            assert publisher.state.reconnects == 0
            assert all(after[2] == "key" for _, after in gaps(receiver.lines))


def fat_clip():
    """Pictures of 100 kB; filler after a picture is legal."""
    return [replace(unit, data=unit.data + bytes(100_000)) for unit in clip()]


def gaps(lines):
    """Pairs of pictures between which others are missing."""
    lines = list(lines)
    return [(a, b) for a, b in pairwise(lines) if float(b[3]) - float(a[3]) > 1.5 * STEP / 90_000]


def test_a_server_that_never_answers_is_left_after_the_time_to_connect(port):
    quick = replace(HASTY, connect_s=0.5)
    with (
        socket.create_server(("127.0.0.1", port)),
        Camera() as camera,
        publishing(f"rtsp://127.0.0.1:{port}/clean", camera, options=quick) as publisher,
    ):
        camera.play(publisher)
        until(lambda: publisher.state.error)
        assert publisher.state.error == "the server does not answer"


def test_nothing_pushed_means_nothing_to_wait_for(port):
    with Camera() as camera, publishing(f"rtsp://127.0.0.1:{port}/clean", camera) as publisher:
        assert publisher.state.state == "connecting"


@pytest.mark.parametrize(("scheme", "codec"), [("rtsp", "opus"), ("rtmp", "aac")])
def test_sound_arrives_beside_the_picture_in_time(port, scheme, codec):
    url = f"{scheme}://127.0.0.1:{port}/live/clean"
    track, sound = tone(codec)
    with Receiver(url) as receiver, Camera(sound=sound) as camera:
        with publishing(url, camera, audio=track) as publisher:
            camera.play(publisher)
            until(lambda: {line[0] for line in list(receiver.lines)} == {"audio", "video"})
            until(lambda: len(receiver.lines) > 80)
        first = {}
        for kind, name, _, time_s in list(receiver.lines):
            first.setdefault((kind, name), float(time_s))
    assert set(first) == {("video", "h264"), ("audio", codec)}
    assert abs(first["video", "h264"] - first["audio", codec]) < 0.1


def test_sound_that_never_comes_holds_up_no_picture(port):
    url = f"rtmp://127.0.0.1:{port}/live/clean"
    with (
        Receiver(url) as receiver,
        Camera() as camera,
        publishing(url, camera, audio=tone()[0]) as publisher,
    ):
        camera.play(publisher)
        until(lambda: len(receiver.lines) > 10)


def test_passwords_are_nowhere_to_be_seen(port, caplog):
    caplog.set_level(logging.DEBUG)
    url = f"rtsp://admin:hunter2secret@127.0.0.1:{port}/clean?token=abcdef123"
    with Camera() as camera, publishing(url, camera) as publisher:
        camera.play(publisher)
        until(lambda: publisher.state.state == "failed")
        child = publisher._child._process.pid
        command = (
            Path(f"/proc/{child}/cmdline").read_bytes()
            + Path(f"/proc/{child}/environ").read_bytes()
        )
        shown = repr(publisher.state)
    for text in (shown, caplog.text, command.decode(errors="replace")):
        assert "hunter2secret" not in text
        assert "abcdef123" not in text
    assert f"127.0.0.1:{port}" in shown


def test_a_server_that_stays_away_is_worth_one_line(port, caplog):
    caplog.set_level(logging.INFO)
    with Camera() as camera, publishing(f"rtsp://127.0.0.1:{port}/clean", camera) as publisher:
        camera.play(publisher)
        seen = []
        until(lambda: seen.append(publisher.state.state) or changes(seen) > 4)
    assert len(caplog.records) == 1
    assert caplog.records[0].event == "publish.failed"


def changes(states):
    return sum(a != b for a, b in pairwise(states))


def test_the_process_ends_with_the_one_that_started_it(port):
    url = f"rtsp://127.0.0.1:{port}/clean"
    script = f"""
import sys, threading
sys.path[:0] = {[path for path in sys.path if path]!r}
from live_units import VIDEO, Camera
from pipeline.live.outlets.publish import Publisher
with Camera() as camera:
    publisher = Publisher({url!r}, VIDEO, request_key=camera.request_key)
    camera.play(publisher)
    while publisher._child is None:
        threading.Event().wait(0.01)
    print(publisher._child._process.pid, flush=True)
    threading.Event().wait()
"""
    with (
        Receiver(url) as receiver,
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as one,
    ):
        try:
            child = int(one.stdout.readline())
            until(lambda: len(receiver.lines) > 5)
        finally:
            one.kill()
        until(lambda: not is_running(child), within_s=5)


def is_running(pid):
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


class Whip(http.server.BaseHTTPRequestHandler):
    """Refuses, and remembers what it was asked."""

    def do_POST(self):
        self.server.asked.append(
            (self.path, self.headers["Authorization"], self.headers["Content-Type"])
        )
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(403)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_whip_offers_with_its_token_and_says_that_it_was_refused(caplog):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Whip)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        url = f"whip+http://s3cretToken@127.0.0.1:{server.server_port}/live/whip"
        with Camera() as camera, publishing(url, camera) as publisher:
            camera.play(publisher)
            until(lambda: server.asked and publisher.state.state == "failed")
            assert "403" in publisher.state.error or "Forbidden" in publisher.state.error
            assert "s3cretToken" not in repr(publisher.state) + caplog.text
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert server.asked[0] == ("/live/whip", "Bearer s3cretToken", "application/sdp")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "srt://me:secret@host:9000",
            r"srt://\*\*\*@host:9000: this FFmpeg has no SRT; publish to",
        ),
        ("http://host/x", r"http://host/x: nothing can be published there; use rtsp://"),
        ("clean.mp4", r"clean.mp4: nothing can be published there"),
        ("rtsp:host", "nothing can be published there"),
        ("whip:host/x", "WHIP needs an http or https address"),
        ("whip+https:///x", "WHIP needs an http or https address"),
    ],
)
def test_addresses_that_cannot_be_published_to_are_refused_in_words(url, message):
    with pytest.raises(SinkError, match=message) as caught:
        destination(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["whip:https://host/live", "whip+https://host/live"])
def test_whip_is_written_in_two_ways(url):
    found = destination(url)
    assert (found.url, found.format, found.options) == ("https://host/live", "whip", {})


@pytest.mark.parametrize(
    ("url", "video", "audio", "message"),
    [
        ("whip+https://host/x", {"codec": "hevc"}, None, "WHIP takes h264, not hevc"),
        ("whip+https://host/x", {}, "aac", "WHIP takes sound in opus only, not aac; leave it out"),
        ("rtmp://host/live/x", {}, "mp2", "mp2 does not go into flv; leave it out"),
    ],
)
def test_codecs_that_a_server_does_not_take_are_refused_at_once(url, video, audio, message):
    track = AudioTrack(codec=audio, sample_rate=48_000, channels=2) if audio else None
    with pytest.raises(SinkError, match=message):
        Publisher(url, replace(VIDEO, **video), track, request_key=bool)


def test_what_goes_through_the_pipe_comes_out_the_same():
    pipe = io.BytesIO()
    opening = Opening(
        url="rtsp://me:secret@host/x", format="rtsp", options={"timeout": "1"}, video=VIDEO,
        audio=tone()[0], connect_s=1.5, stall_s=2, key=b"\0\0\1\x67\xff",
    )  # fmt: skip
    write_opening(pipe, opening)
    write_unit(pipe, clip()[0])
    write_unit(pipe, clip()[1])
    write_unit(pipe, tone()[1][0])
    end = pipe.tell()
    pipe.seek(0)
    assert read_opening(read_message(pipe).body) == opening
    kinds = [read_message(pipe) for _ in range(3)]
    assert [one.kind for one in kinds] == ["key", "picture", "sound"]
    assert kinds[1].body == clip()[1].data
    assert kinds[1].pts == STEP
    assert kinds[2].pts < 0  # an encoder's first samples come before time 0
    assert read_message(pipe) is None
    pipe.truncate(end - 1)
    pipe.seek(0)
    assert [read_message(pipe) is None for _ in range(4)] == [False, False, False, True]
