"""A supervised source comes back from everything, and what it yields is always in order."""

from __future__ import annotations

import os
import threading
from time import perf_counter

import pytest
from fakes import make_frame, source_info
from test_live_sources_peers import (
    DEADLINE_S,
    MULTIPART,
    RATE,
    SIZE,
    answer,
    http,
    peer,
    request_of,
    stream_of,
)

from pipeline.errors import ConfigError, SourceError
from pipeline.live.access import CLOCK
from pipeline.live.sources.contract import LiveOptions
from pipeline.live.sources.pauses import Pauses
from pipeline.live.sources.supervisor import Supervisor


class Watched:
    """A supervisor in a thread, whose frames and events are kept."""

    def __init__(self, url, **options):
        self.stop = threading.Event()
        self.frames, self.events = [], []
        self._changed = threading.Condition()
        self.supervisor = Supervisor(
            url, LiveOptions(**options), stop=self.stop, on_event=self._note, seed=1
        )
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        for frame in self.supervisor.arrivals():
            with self._changed:
                self.frames.append(frame)
                self._changed.notify_all()

    def _note(self, event):
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_until(self, condition):
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE_S), self.events

    def kinds(self):
        return [event.kind for event in self.events]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.stop.set()
        began_s = perf_counter()
        self._thread.join(DEADLINE_S)
        self.took_s = perf_counter() - began_s


def assert_in_order(frames):
    pts = [frame.pts for frame in frames]
    assert pts == sorted(set(pts))
    assert all(frame.time_base == CLOCK for frame in frames)


def test_a_source_that_closes_is_connected_to_again():
    with (
        peer(http("video/mp2t", stream_of("mpegts"))) as server,
        Watched(f"http://u:secret@127.0.0.1:{server.port}/live?sig=hidden") as watched,
    ):
        watched.wait_until(lambda: len(watched.frames) > 2 * RATE)
        snapshot = watched.supervisor.state
    assert_in_order(watched.frames)
    firsts = [n for n, frame in enumerate(watched.frames) if frame.discontinuity]
    assert firsts[:3] == [0, RATE, 2 * RATE]
    assert watched.kinds()[:4] == ["connecting", "online", "offline", "connecting"]
    assert snapshot.reconnects >= 2
    assert snapshot.frames > 2 * RATE
    assert watched.supervisor.info.width == SIZE[0]
    said = " ".join(event.message for event in watched.events)
    assert "secret" not in said
    assert "hidden" not in said


def test_a_source_that_is_absent_at_first_is_waited_for():
    refused = threading.Event()
    pieces = stream_of("mpegts")

    def handle(server, connection, number):
        request_of(connection)
        if number < 2:
            refused.set()
            return
        connection.sendall(answer("video/mp2t"))
        server.send(connection, pieces)

    with peer(handle) as server, Watched(f"http://127.0.0.1:{server.port}/live") as watched:
        watched.wait_until(lambda: watched.frames)
        state = watched.supervisor.state
    assert refused.is_set()
    assert watched.kinds()[:6] == ["connecting", "offline"] * 2 + ["connecting", "online"]
    assert state.error == ""
    assert state.reconnects == 0


def test_a_source_that_stalls_is_given_up_and_tried_again():
    pieces = stream_of("mpegts")

    def handle(server, connection, number):
        request_of(connection)
        connection.sendall(answer("video/mp2t"))
        server.send(connection, pieces[:10])
        server.ended.wait(DEADLINE_S if number == 0 else 0)

    with (
        peer(handle) as server,
        Watched(f"http://127.0.0.1:{server.port}/live", stall_s=1.2) as watched,
    ):
        watched.wait_until(lambda: watched.kinds().count("online") == 2)
    kinds = watched.kinds()
    assert kinds[:6] == ["connecting", "online", "stalled", "offline", "connecting", "online"]
    assert watched.events[2].seconds == pytest.approx(1.2, abs=0.8)


def test_a_source_that_sends_rubbish_is_given_up_and_tried_again():
    pieces = stream_of("mpjpeg", codec="mjpeg")
    rubbish = b"Content-type: image/jpeg\r\nContent-length: 900\r\n\r\n"
    rubbish += b"\xff\xd8" + bytes(898) + b"\r\n--ffmpeg\r\n"

    def handle(server, connection, number):
        request_of(connection)
        connection.sendall(answer(MULTIPART))
        if server.send(connection, pieces[:10]) and number == 0:
            server.send(connection, [rubbish] * 1000)

    with (
        peer(handle) as server,
        Watched(f"http://127.0.0.1:{server.port}/live", stall_s=0.6) as watched,
    ):
        watched.wait_until(lambda: watched.kinds().count("online") == 2)
        snapshot = watched.supervisor.state
    assert snapshot.damaged > 3
    assert_in_order(watched.frames)


def test_another_size_within_a_connection_is_a_discontinuity():
    small, large = (stream_of("mpjpeg", codec="mjpeg", size=size) for size in (SIZE, (128, 96)))
    large = [large[0].removeprefix(b"--ffmpeg\r\n"), *large[1:5]]
    with (
        peer(http(MULTIPART, [*small[:5], *large])) as server,
        Watched(f"http://127.0.0.1:{server.port}/live") as watched,
    ):
        watched.wait_until(lambda: len(watched.frames) >= 10)
    sizes = [(frame.format.width, frame.format.height) for frame in watched.frames[:10]]
    assert sizes == [SIZE] * 5 + [(128, 96)] * 5
    assert [frame.discontinuity for frame in watched.frames[:10]].index(True, 1) == 5


def test_sound_is_moved_along_with_the_picture():
    pieces = stream_of("mpegts", sound=True)
    with (
        peer(http("video/mp2t", pieces)) as server,
        Watched(f"http://127.0.0.1:{server.port}/live") as watched,
    ):
        watched.wait_until(lambda: len(watched.frames) > RATE + 5)
        audio = watched.supervisor.audio
    packets = [packet for frame in watched.frames for packet in frame.packets]
    times = [float(packet.pts * packet.time_base) for packet in packets]
    assert times == sorted(set(times))
    for frame in watched.frames:
        for packet in frame.packets:
            assert float(packet.pts * packet.time_base) == pytest.approx(frame.time_s, abs=0.5)
    assert (audio.codec, audio.sample_rate, audio.channels) == ("aac", 48_000, 2)


def test_stopping_interrupts_a_frozen_source_within_half_a_second():
    pieces = stream_of("mpegts")

    def handle(server, connection, number):
        request_of(connection)
        connection.sendall(answer("video/mp2t"))
        server.send(connection, pieces[:10])
        server.ended.wait(DEADLINE_S)

    with peer(handle) as server:
        with Watched(f"http://127.0.0.1:{server.port}/live", stall_s=60) as watched:
            watched.wait_until(lambda: len(watched.frames) >= 5)
        assert watched.took_s < 0.75


def test_stopping_interrupts_a_server_that_accepts_and_says_nothing():
    accepted = threading.Event()

    def handle(server, connection, number):
        request_of(connection)
        accepted.set()
        server.ended.wait(DEADLINE_S)

    with peer(handle) as server:
        with Watched(f"http://127.0.0.1:{server.port}/live", stall_s=60) as watched:
            assert accepted.wait(DEADLINE_S)
        assert watched.took_s < 0.75
    assert not watched.frames


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_hundred_reconnects_leave_nothing_behind(scheme):
    pieces = stream_of("mpegts")

    def handle(server, connection, number):
        if scheme == "http" and number % 2:
            request_of(connection)
            connection.sendall(answer("video/mp2t") + b"".join(pieces[:6]))

    class NoPauses(threading.Event):
        """Never waits, so that a hundred tries are over soon."""

        def wait(self, timeout=None):
            return self.is_set()

    stop, counts = NoPauses(), []

    def note(event):
        if event.kind == "connecting":
            counts.append((len(os.listdir("/proc/self/fd")), threading.active_count()))
            if len(counts) == 101:
                stop.set()

    with peer(handle) as server:
        supervisor = Supervisor(
            f"{scheme}://127.0.0.1:{server.port}/live", stop=stop, on_event=note
        )
        frames = list(supervisor.arrivals())
    settled = counts[10:]
    assert len(counts) == 101
    assert max(files for files, _ in settled) - min(files for files, _ in settled) <= 8
    assert counts[-1][1] <= counts[10][1] + 4  # threads of the server come and go
    assert_in_order(frames)
    assert len(frames) >= (200 if scheme == "http" else 0)


def test_pauses_grow_to_two_seconds_and_begin_anew_after_pictures():
    class Middle:
        def uniform(self, low, high):
            assert (low, high) == (0.75, 1.25)
            return 1.0

    pauses = Pauses(Middle())
    found = [pauses.following_s() for _ in range(7)]
    assert found == [0.25, 0.5, 1, 2, 2, 2, 2]
    pauses.reset()
    assert pauses.following_s() == 0.25


def test_an_unknown_scheme_is_refused_at_once_with_what_there_is():
    with pytest.raises(SourceError, match=r"foo://\*\*\*@cam: no live source .*rtsp.*chaos"):
        Supervisor("foo://admin:pw@cam", stop=threading.Event())


def test_wrong_parameters_are_not_tried_again():
    supervisor = Supervisor("test://?size=big", stop=threading.Event())
    with pytest.raises(ConfigError, match="size: a size is WIDTHxHEIGHT"):
        next(supervisor.arrivals())


class FakeSource:
    """Yields the frames it is given and then what else is to happen."""

    damaged = derived = 0
    final = True

    def __init__(self, frames, error=None):
        self.info = source_info()
        self.given, self.error, self.closed = frames, error, 0

    def frames(self):
        yield from self.given
        if self.error is not None:
            raise self.error

    def close(self):
        self.closed += 1


def test_every_connection_is_closed_also_when_the_consumer_leaves():
    sources = [FakeSource([make_frame(n) for n in range(5)])]
    supervisor = Supervisor("test://", stop=threading.Event(), opener=lambda *_, **__: sources[0])
    arrivals = supervisor.arrivals()
    next(arrivals)
    arrivals.close()
    assert sources[0].closed == 1


def test_a_source_whose_end_is_an_end_is_not_tried_again():
    source = FakeSource([make_frame(n) for n in range(5)])
    supervisor = Supervisor("test://", stop=threading.Event(), opener=lambda *_, **__: source)
    assert len(list(supervisor.arrivals())) == 5
    assert source.closed == 1


def test_an_error_of_our_own_is_not_taken_for_a_lost_camera():
    source = FakeSource([make_frame(0)], error=RuntimeError("a bug"))
    supervisor = Supervisor("test://", stop=threading.Event(), opener=lambda *_, **__: source)
    with pytest.raises(RuntimeError, match="a bug"):
        list(supervisor.arrivals())
    assert source.closed == 1
