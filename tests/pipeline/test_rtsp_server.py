"""The RTSP server, asked word for word."""

import select
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise

import pytest
from rtsp_players import (
    Raw,
    clip,
    is_rtcp,
    sequence_of,
    sound,
    timestamp_of,
    until,
    video_track,
)

from pipeline.errors import SinkError
from pipeline.live.access import AudioTrack
from pipeline.live.loop import LoopThread
from pipeline.live.rtsp import Credentials, Limits, RtspServer, parse_address

KEY, *DELTAS = clip()


class Asked:
    """Counts what the server asks of the encoder."""

    def __init__(self):
        self._semaphore = threading.Semaphore(0)

    def __call__(self):
        self._semaphore.release()

    def wait(self):
        assert self._semaphore.acquire(timeout=5), "no key picture was asked for"


@contextmanager
def serving(*, url="rtsp://127.0.0.1:0/clean", audio=None, known=True, asked=None, **options):
    with RtspServer(
        parse_address(url), video_track(), audio, request_key=asked or Asked(), **options
    ) as server:
        if known:
            server.push(KEY)
        yield server


@contextmanager
def playing(server, asked, **options):
    """A player over TCP that has got its first key picture, at pts 90000."""
    with Raw(server, **options) as client:
        client.setup()
        client.send("PLAY")
        asked.wait()
        server.push(replace(KEY, pts=90_000))
        assert client.reply().status == 200
        yield client


def status(client, method, url=None, **headers):
    return client.ask(method, url, **headers).status


def test_options_names_the_methods():
    with serving() as server, Raw(server) as client:
        for url in (None, "*"):
            reply = client.ask("OPTIONS", url)
            assert reply.status == 200
            assert {"DESCRIBE", "SETUP", "PLAY", "TEARDOWN"} <= set(
                reply.headers["Public"].split(", ")
            )


def test_describe_waits_for_the_first_key_picture():
    asked = Asked()
    with serving(known=False, asked=asked) as server, Raw(server) as client:
        client.send("DESCRIBE")
        asked.wait()
        server.push(DELTAS[0])
        server.push(KEY)
        reply = client.reply()
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "application/sdp"
        assert reply.headers["Content-Base"] == f"{server.url}/"
        assert b"sprop-parameter-sets=" in reply.body


def test_describe_does_not_wait_for_ever():
    limits = Limits(describe_s=0.05)
    with serving(known=False, limits=limits) as server, Raw(server) as client:
        assert status(client, "DESCRIBE") == 503
        assert status(client, "OPTIONS") == 200


def test_client_that_leaves_while_it_waits_is_forgotten():
    asked = Asked()
    with serving(known=False, asked=asked) as server:
        with Raw(server) as client:
            client.send("DESCRIBE")
            asked.wait()
        until(lambda: not server._services.connections)
        server.push(KEY)
        with Raw(server) as client:
            assert status(client, "DESCRIBE") == 200


def test_description_of_sound_is_there():
    track, _ = sound("aac")
    with serving(audio=track) as server, Raw(server) as client:
        sdp = client.ask("DESCRIBE").body.decode()
        assert "m=audio 0 RTP/AVP 97" in sdp
        assert "a=rtpmap:97 mpeg4-generic/48000/2" in sdp
        assert f"config={track.extradata.hex()}" in sdp
        assert "a=control:trackID=1" in sdp


@pytest.mark.parametrize(
    ("method", "url", "headers", "expected"),
    [
        ("DESCRIBE", "{base}/other", {}, 404),
        ("DESCRIBE", "{base}/trackID=0", {}, 404),
        ("DESCRIBE", "{base}/?token=1", {}, 200),
        ("DESCRIBE", "{base}/../../etc/passwd", {}, 404),
        ("DESCRIBE", "file:///etc/passwd", {}, 400),
        ("DESCRIBE", "*", {}, 404),
        ("DESCRIBE", "{base}", {"Accept": "text/html"}, 406),
        ("DESCRIBE", "{base}", {"Require": "com.example.x"}, 551),
        ("SETUP", "{base}/trackID=1", {}, 404),
        ("SETUP", "{base}/trackID=00", {}, 404),
        ("SETUP", "{base}/trackID=0", {}, 461),
        ("SETUP", "{base}/trackID=0", {"Transport": "RTP/AVP;multicast"}, 461),
        ("SETUP", "{base}/trackID=0", {"Transport": "RTP/AVP/TCP", "Session": "1"}, 454),
        ("SETUP", "{base}", {"Transport": "RTP/AVP/TCP"}, 200),
        ("PLAY", "{base}", {}, 455),
        ("PAUSE", "{base}", {}, 455),
        ("TEARDOWN", "{base}", {}, 455),
        ("PLAY", "{base}", {"Session": "1"}, 454),
        ("GET_PARAMETER", "{base}", {}, 200),
        ("GET_PARAMETER", "{base}", {"Session": "1"}, 454),
        ("ANNOUNCE", "{base}", {}, 405),
        ("RECORD", "{base}", {}, 405),
        ("DANCE", "{base}", {}, 501),
    ],
)
def test_what_cannot_be_done_has_its_status(method, url, headers, expected):
    with serving() as server, Raw(server) as client:
        assert status(client, method, url.format(base=server.url), **headers) == expected
        assert status(client, "OPTIONS") == 200


def test_one_connection_has_one_session():
    track, _ = sound("opus")
    with serving(audio=track) as server, Raw(server) as client:
        assert client.setup().status == 200
        session, client.session = client.session, None
        assert client.setup(1).status == 454
        assert status(client, "PLAY") == 454
        client.session = session
        assert client.setup(1, "RTP/AVP/TCP;interleaved=0-1").headers["Transport"].endswith("2-3")
        assert status(client, "PAUSE", f"{server.url}/trackID=1") == 460
        assert status(client, "SETUP", server.url, Transport="RTP/AVP/TCP") == 459
        assert status(client, "TEARDOWN") == 200
        assert status(client, "TEARDOWN") == 454


def test_session_counts_for_its_own_connection_alone():
    with serving() as server, Raw(server) as one, Raw(server) as other:
        one.setup()
        other.setup()
        assert status(other, "TEARDOWN", Session=one.session) == 454


def test_play_begins_with_the_key_picture_that_its_answer_names():
    asked = Asked()
    with serving(asked=asked) as server, Raw(server) as client:
        client.setup()
        client.send("PLAY")
        asked.wait()
        for index, unit in enumerate((DELTAS[0], replace(KEY, pts=9_000), DELTAS[1])):
            server.push(replace(unit, pts=3_000 * (index + 1)))
        reply = client.reply()
        info = dict(part.split("=", 1) for part in reply.headers["RTP-Info"].split(";"))
        assert info["url"] == f"{server.url}/trackID=0"
        channel, report = client.frame()
        assert channel == 1
        assert is_rtcp(report)
        channel, first = client.frame()
        while is_rtcp(first):
            channel, first = client.frame()
        assert channel == 0
        assert sequence_of(first) == int(info["seq"])
        assert timestamp_of(first) == int(info["rtptime"])
        # STAP-A of the parameter sets: decoding can start here.
        assert first[12] & 31 == 24


def test_play_is_answered_without_a_key_picture_too_and_begins_with_the_next():
    asked = Asked()
    limits = Limits(play_s=0.05)
    with serving(asked=asked, limits=limits) as server, Raw(server) as client:
        client.setup()
        reply = client.ask("PLAY")
        assert reply.status == 200
        assert "RTP-Info" not in reply.headers
        assert status(client, "OPTIONS") == 200
        server.push(DELTAS[0])
        server.push(replace(KEY, pts=90_000))
        assert is_rtcp(client.frame()[1])


def test_key_picture_that_does_not_come_is_asked_for_again():
    asked = Asked()
    with serving(asked=asked) as server, Raw(server) as client:
        client.setup()
        client.send("PLAY")
        asked.wait()
        asked.wait()


def test_sound_and_picture_begin_on_one_moment():
    asked = Asked()
    track, units = sound("aac")
    with serving(asked=asked, audio=track) as server, Raw(server) as client:
        client.setup(0, "RTP/AVP/TCP;interleaved=4-5")
        client.setup(1, "RTP/AVP/TCP;interleaved=8-9")
        client.send("PLAY")
        asked.wait()
        server.push(replace(units[0], pts=80_000))  # before the picture: left out
        server.push(replace(KEY, pts=90_000))
        server.push(replace(units[1], pts=91_920))
        infos = [
            dict(part.split("=", 1) for part in info.split(";"))
            for info in client.reply().headers["RTP-Info"].split(",")
        ]
        frames = {}
        while 8 not in frames:
            channel, packet = client.frame()
            frames.setdefault(channel, packet)
        # The same moment on both tracks' clocks, by their reports.
        assert frames[5][8:16] == frames[9][8:16]
        assert [int(info["rtptime"]) for info in infos] == [
            int.from_bytes(frames[channel][16:20], "big") for channel in (5, 9)
        ]
        assert sequence_of(frames[8]) == int(infos[1]["seq"])
        behind = timestamp_of(frames[8]) - int(infos[1]["rtptime"])
        assert behind & 0xFFFF_FFFF == 1920 * 48_000 // 90_000


def test_sound_can_be_played_alone():
    track, units = sound("opus")
    with serving(audio=track) as server, Raw(server) as client:
        client.setup(1)
        client.send("PLAY")
        until(lambda: server.viewers == 1)
        server.push(units[0])
        assert "trackID=1" in client.reply().headers["RTP-Info"]


def test_paused_player_gets_nothing_and_goes_on_with_a_key_picture():
    asked = Asked()
    with serving(asked=asked) as server, playing(server, asked) as client:
        assert status(client, "PAUSE") == 200
        client.frames.clear()
        server.push(replace(DELTAS[0], pts=93_000))
        server.push(replace(KEY, pts=96_000))
        assert server.viewers == 0
        assert status(client, "GET_PARAMETER") == 200
        assert not client.frames
        client.send("PLAY")
        asked.wait()
        server.push(replace(DELTAS[1], pts=99_000))
        server.push(replace(KEY, pts=102_000))
        reply = client.reply()
        assert reply.status == 200
        client.frame()
        assert f"rtptime={timestamp_of(client.frame()[1])}" in reply.headers["RTP-Info"]


def test_setup_while_playing_is_refused_and_play_again_is_fine():
    asked = Asked()
    with serving(asked=asked) as server, playing(server, asked) as client:
        assert client.setup().status == 455
        assert status(client, "PLAY") == 200


def test_teardown_ends_the_session_but_not_the_connection():
    asked = Asked()
    with serving(asked=asked) as server, playing(server, asked) as client:
        assert server.viewers == 1
        assert status(client, "TEARDOWN") == 200
        assert server.viewers == 0
        client.session = None
        assert client.setup().status == 200


def test_requests_that_come_in_one_piece_are_answered_in_order():
    with serving() as server, Raw(server) as client:
        parts = [
            f"{method} {server.url} RTSP/1.0\r\nCSeq: {index}\r\n\r\n"
            for index, method in enumerate(("OPTIONS", "DESCRIBE", "PAUSE"), start=1)
        ]
        client.socket.sendall("".join(parts).encode())
        statuses = []
        for index in (1, 2, 3):
            client._sequence = index
            statuses.append(client.reply().status)
        assert statuses == [200, 200, 455]


def udp_pair():
    pair = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for one in pair:
        one.bind(("127.0.0.1", 0))
        one.settimeout(5)
    return pair


def udp_setup(client, pair, more=""):
    ports = "-".join(str(one.getsockname()[1]) for one in pair)
    reply = client.setup(0, f"RTP/AVP;unicast;client_port={ports}{more}")
    server_ports = reply.headers["Transport"].partition("server_port=")[2].split("-")
    return reply, [int(port) for port in server_ports]


@pytest.fixture
def pair():
    pair = udp_pair()
    yield pair
    for one in pair:
        one.close()


def test_udp_packets_come_from_the_ports_named(pair):
    asked = Asked()
    with serving(asked=asked) as server, Raw(server) as client:
        reply, ports = udp_setup(client, pair, ";destination=192.0.2.1")
        assert "destination" not in reply.headers["Transport"]
        client.send("PLAY")
        asked.wait()
        server.push(replace(KEY, pts=90_000))
        client.reply()
        packet, sender = pair[0].recvfrom(2000)
        assert not is_rtcp(packet)
        assert sender == ("127.0.0.1", ports[0])
        report, sender = pair[1].recvfrom(2000)
        assert is_rtcp(report)
        assert sender == ("127.0.0.1", ports[1])
        assert ports[1] == ports[0] + 1
        assert ports[0] % 2 == 0


def test_udp_player_that_is_silent_is_disconnected(pair):
    asked = Asked()
    limits = Limits(session_s=0.3)
    with serving(asked=asked, limits=limits) as server, Raw(server) as client:
        udp_setup(client, pair)
        client.send("PLAY")
        asked.wait()
        server.push(replace(KEY, pts=90_000))
        client.reply()
        assert client.at_end()
        until(lambda: server.viewers == 0)


@pytest.mark.parametrize("sign", ["rtcp", "request"])
def test_udp_player_that_gives_a_sign_of_life_stays(pair, sign):
    asked = Asked()
    limits = Limits(session_s=0.4)
    with serving(asked=asked, limits=limits) as server, Raw(server) as client:
        _, ports = udp_setup(client, pair)
        client.send("PLAY")
        asked.wait()
        server.push(replace(KEY, pts=90_000))
        client.reply()
        deadline = time.monotonic() + 1.0
        poll = select.poll()
        poll.register(client.socket, select.POLLRDHUP | select.POLLHUP)
        while time.monotonic() < deadline:
            assert not poll.poll(50)
            if sign == "rtcp":
                pair[1].sendto(b"\x80\xc9\x00\x01abcd", ("127.0.0.1", ports[1]))
            else:
                client.ask("GET_PARAMETER")
        assert server.viewers == 1


def test_goodbye_is_said_at_the_end(pair):
    asked = Asked()
    with ExitStack() as stack:
        server = stack.enter_context(serving(asked=asked))
        client = stack.enter_context(Raw(server))
        udp_setup(client, pair)
        client.send("PLAY")
        asked.wait()
        server.push(replace(KEY, pts=90_000))
        client.reply()
        server.close()
        packets = [pair[1].recv(2000) for _ in range(2)]
        assert packets[-1][-8:-4] == b"\x81\xcb\x00\x01"
        assert client.at_end()


def test_players_beyond_the_limit_are_refused():
    with serving(limits=Limits(clients=1)) as server, Raw(server) as one, Raw(server) as two:
        assert one.setup().status == 200
        assert two.setup().status == 453
        assert two.at_end()
        assert status(one, "TEARDOWN") == 200
        with Raw(server) as three:
            assert three.setup().status == 200


def test_connections_beyond_the_limit_are_refused():
    with serving(limits=Limits(connections=1)) as server, Raw(server) as one:
        assert status(one, "OPTIONS") == 200
        with Raw(server) as two:
            assert two.reply().status == 503
            assert two.at_end()
        assert status(one, "OPTIONS") == 200


def test_connection_that_never_plays_is_closed_even_if_it_keeps_asking():
    with serving(limits=Limits(idle_s=0.3)) as server, Raw(server) as silent, Raw(server) as busy:
        with pytest.raises((EOFError, OSError)):  # noqa: PT012 - until it is closed
            while True:
                busy.ask("OPTIONS")
                select.select([busy.socket], [], [], 0.05)
        assert silent.at_end()


@pytest.mark.parametrize("begin", [b"", b"OPT", b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n"])
def test_request_that_does_not_end_is_given_up(begin):
    with serving(limits=Limits(request_s=0.2)) as server, Raw(server) as client:
        client.socket.sendall(begin)
        assert client.reply().status == 408
        assert client.at_end()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\n\r\n", 400),
        (b"OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\n", 505),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: " + b"y" * 9000, 413),
        (b"SET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999\r\n\r\n", 413),
    ],
)
def test_what_is_no_request_ends_the_connection(data, expected):
    with serving() as server, Raw(server) as client:
        client.socket.sendall(data)
        assert client.reply().status == expected
        assert client.at_end()


def test_frames_of_any_channel_are_passed_over():
    with serving() as server, Raw(server) as client:
        client.setup()
        client.socket.sendall(b"$\xfe\xff\xff" + bytes(65_535) + b"$\x01\x00\x00")
        assert status(client, "OPTIONS") == 200


def test_player_that_takes_nothing_is_disconnected():
    asked = Asked()
    limits = Limits(stall_s=0.5, buffer_bytes=1 << 16)
    with serving(asked=asked, limits=limits) as server, ExitStack() as stack:
        stuck = stack.enter_context(playing(server, asked, receive_bytes=4096))
        poll = select.poll()
        poll.register(stuck.socket, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        for index in range(10, 3000):
            server.push(replace(KEY, pts=90_000 + index * 3000))
            if poll.poll(2):
                break
        assert server.viewers == 0


def test_player_that_was_slow_goes_on_with_a_key_picture():
    asked = Asked()
    limits = Limits(buffer_bytes=1 << 16)
    with serving(asked=asked, limits=limits) as server, ExitStack() as stack:
        slow = stack.enter_context(playing(server, asked))
        (connection,) = server._services.connections
        pts = 90_000
        while server._thread.call(waiting(connection)) <= limits.buffer_bytes:
            pts += 3000
            server.push(replace(DELTAS[0], pts=pts))
        lost_from = pts + 3000
        for index in range(300):
            server.push(replace(DELTAS[0], pts=lost_from + index * 3000))
        largest = max(len(unit.data) for unit in clip())
        assert server._thread.call(waiting(connection)) < limits.buffer_bytes + 2 * largest
        # It reads again; with half of that gone, a key picture is asked for.
        stamps, sequences = [], []

        def read():
            channel, packet = slow.frame()
            if channel == 0:
                stamps.append(timestamp_of(packet))
                sequences.append(sequence_of(packet))

        while server._thread.call(waiting(connection)):
            read()
        asked.wait()
        resumed = lost_from + 1_000_000
        server.push(replace(KEY, pts=resumed))
        (track,) = server._presentation.tracks
        while not stamps or stamps[-1] != track.timestamp(resumed):
            read()
        assert track.timestamp(lost_from + 3000) not in stamps
        gaps = [
            place
            for place, (one, other) in enumerate(pairwise(sequences))
            if (one + 1) & 0xFFFF != other
        ]
        assert len(gaps) == 1
        assert gaps[0] == len(sequences) - 2


async def waiting(connection):
    """Bytes that wait for a client, once the loop has done what came before."""
    return connection.buffered()


def test_client_that_reads_no_answers_is_not_answered_for_ever():
    with serving(limits=Limits(stall_s=0.5)) as server, ExitStack() as stack:
        client = stack.enter_context(Raw(server, receive_bytes=4096))
        request = f"DESCRIBE {server.url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode() * 200
        client.socket.settimeout(0.2)
        with pytest.raises(OSError, match=r"timed out|reset|pipe"):  # noqa: PT012 - it fills up
            while True:
                client.socket.sendall(request)
        for connection in tuple(server._services.connections):
            assert connection.buffered() < 1 << 17
        until(lambda: not server._services.connections)


def test_push_is_never_held_up_and_a_closed_server_takes_nothing():
    with serving() as server:
        for unit in clip() * 20:
            server.push(unit)
    server.push(KEY)
    server.close()


def test_units_that_pile_up_are_left_out_and_players_wait_for_a_key_picture(caplog):
    held, go = threading.Event(), threading.Event()
    asked = Asked()
    small = replace(DELTAS[0], data=b"\x00\x00\x01\x41\x9a\x01")

    async def hold():
        held.set()
        assert go.wait(5)

    with serving(asked=asked) as server, playing(server, asked) as client:
        holder = threading.Thread(target=lambda: server._thread.call(hold()))
        holder.start()
        assert held.wait(5)
        for index in range(400):
            server.push(replace(small, pts=93_000 + index * 3000))
        assert len(server._inbox) < 400
        go.set()
        holder.join()
        asked.wait()
        assert "too busy" in caplog.text
        assert status(client, "OPTIONS") == 200


def test_bytes_that_are_no_access_unit_are_left_out():
    asked = Asked()
    with serving(asked=asked) as server, playing(server, asked) as client:
        for data in (b"", b"\x00", b"\x00\x00\x01", b"nonsense" * 500, b"\x00\x00\x01\x67" * 9):
            server.push(replace(KEY, data=data, pts=93_000))
        server.push(replace(KEY, pts=96_000))
        assert status(client, "OPTIONS") == 200


def test_close_ends_all_connections_soon_even_of_clients_that_are_stuck():
    asked = Asked()
    with serving(asked=asked) as server, ExitStack() as stack:
        stuck = stack.enter_context(playing(server, asked, receive_bytes=4096))
        good = stack.enter_context(Raw(server))
        for index in range(200):
            server.push(replace(KEY, pts=93_000 + index * 3000))
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 1.5
        assert good.at_end()
        assert stuck.at_end()


def test_two_servers_share_a_lent_loop():
    with LoopThread() as loop, serving(loop=loop) as one, serving(loop=loop) as other:
        for server in (one, other):
            with Raw(server) as client:
                assert status(client, "DESCRIBE") == 200
        assert threading.active_count() == 2


def test_taken_port_is_an_error_and_leaves_nothing_behind():
    with serving() as server:
        url = f"rtsp://127.0.0.1:{server.port}/clean"
        with pytest.raises(SinkError, match="in use"):
            RtspServer(parse_address(url), video_track(), request_key=Asked())


def test_sound_that_cannot_be_sent_is_an_error_before_anything_listens():
    track = AudioTrack(codec="vorbis", sample_rate=48_000, channels=2)
    with pytest.raises(SinkError, match="leave the sound out"):
        RtspServer(parse_address("rtsp://127.0.0.1:0/"), video_track(), track, request_key=Asked())


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6_is_served_and_everybody_includes_ipv4():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 address here")
    with serving(url="rtsp://[::]:0/clean") as server:
        for host in ("::1", "127.0.0.1"):
            with Raw(server, host=host) as client:
                client.url = f"rtsp://{'[::1]' if ':' in host else host}:{server.port}/clean"
                assert b"c=IN IP6" in client.ask("DESCRIBE").body
                reply = client.setup(0, "RTP/AVP;unicast;client_port=50000-50001")
                assert "server_port" in reply.headers["Transport"]


def test_root_is_a_path_like_any_other():
    with serving(url="rtsp://127.0.0.1:0/") as server, Raw(server) as client:
        client.url = f"rtsp://127.0.0.1:{server.port}"
        assert client.ask("DESCRIBE").headers["Content-Base"] == f"{client.url}/"
        assert client.setup().status == 200


def test_all_but_options_needs_the_password_and_nothing_shows_it(caplog):
    caplog.set_level("DEBUG")
    credentials = Credentials(user="me", password="s3cret")
    with serving(credentials=credentials) as server, Raw(server) as client:
        assert status(client, "OPTIONS") == 200
        for method in ("DESCRIBE", "SETUP", "PLAY", "TEARDOWN", "GET_PARAMETER"):
            reply = client.ask(method)
            assert reply.status == 401
            assert reply.headers["WWW-Authenticate"].startswith('Digest realm="demoire", nonce=')
        wrong = 'Digest username="me", realm="demoire", nonce="1", uri="*", response="0"'
        statuses = [client.ask("DESCRIBE", Authorization=wrong).status for _ in range(5)]
        assert statuses == [401] * 5
        assert client.at_end()
        assert "s3cret" not in caplog.text + repr(vars(server)) + server.url
