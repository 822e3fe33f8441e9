import asyncio
import socket

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_web import HEIGHT, WAIT_S, WIDTH, Camera, looked_at, page, serving

from pipeline.live.web import Limits


async def request(server, path, *, method="GET", **options):
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{server.port}{path}", **options) as answer,
    ):
        return answer.status, answer.headers, await answer.text()


@pytest.mark.parametrize(
    ("path", "kind", "holds"),
    [
        ("/", "text/html", "<canvas"),
        ("/app.js", "text/javascript", "WebSocket"),
        ("/style.css", "text/css", "#stage"),
        ("/icon.svg", "image/svg+xml", "<svg"),
    ],
)
def test_page_comes_from_a_fixed_list_of_files(path, kind, holds):
    with serving(Camera()) as server:
        status, headers, body = asyncio.run(request(server, path))
    assert status == 200
    assert holds in body
    assert headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/server.py", "/page/app.js", "/../server.py", "/%2e%2e/x", "//"])
def test_nothing_else_is_served(path):
    with serving(Camera()) as server:
        status, headers, _ = asyncio.run(request(server, path))
    assert status == 404
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_page_takes_nothing_by_post():
    with serving(Camera()) as server:
        status, _, _ = asyncio.run(request(server, "/", method="POST", data=b"x" * 100_000))
    assert status == 405


def test_page_carries_no_script_or_style_of_its_own():
    with serving(Camera()) as server:
        _, _, body = asyncio.run(request(server, "/"))
    assert "<style" not in body
    assert "style=" not in body
    assert "onclick" not in body
    assert "http://" not in body
    assert "https://" not in body


def test_original_is_wanted_only_while_somebody_looks():
    camera = Camera()

    async def watch(server):
        async with page(server, looks=False) as opened:
            await opened.text("hello")
            await opened.say(type="look", on=True)
            await opened.say(type="look", on=True)
            async with page(server):
                await asyncio.to_thread(camera.wait_until, lambda camera: 2 in camera.viewers)
            await asyncio.to_thread(camera.wait_until, lambda camera: camera.viewers[-1] == 1)
            await opened.say(type="look", on=False)
            await asyncio.to_thread(camera.wait_until, lambda camera: camera.viewers[-1] == 0)
            assert server.viewers("front") == 1

    with serving(camera) as server:
        asyncio.run(watch(server))
    assert camera.viewers == [1, 2, 1, 0]


def test_change_acts_at_once_and_shows_everywhere():
    camera = Camera()

    async def watch(server):
        async with page(server) as mine, page(server) as another:
            await mine.say(type="set", id=7, name="strength", value=0.4)
            assert await mine.text("done") == {"type": "done", "id": 7.0}
            await another.status(lambda told: told["control"]["strength"] == 0.4)

    with serving(camera) as server:
        asyncio.run(watch(server))
    assert camera.knobs.calls == [("strength", 0.4)]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("strength", 7, "strength: must be 0 to 1, got 7.0"),
        ("strength", 10**400, "strength: must be a finite number"),
        ("strength", [1], "strength: must be a number, a word, true or false"),
        ("smoothing", "a" * 33, "smoothing: must be a number, a word, true or false"),
        ("__class__", 1, "there is nothing of that name"),
        (["bypass"], True, "there is nothing of that name"),
        (None, None, "there is nothing of that name"),
    ],
)
def test_wrong_values_are_refused_in_words(name, value, words):
    camera = Camera()

    async def watch(server):
        async with page(server) as opened:
            await opened.say(type="set", id=1, name=name, value=value)
            return await opened.text("refused")

    with serving(camera) as server:
        refused = asyncio.run(watch(server))
    assert refused["message"].startswith(words)
    assert refused["id"] == 1
    assert camera.knobs.calls == []


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "{",
        "[" * 2000,
        "null",
        '"set"',
        "{}",
        '{"type": "set"}',
        '{"type": "set", "name": "strength", "value": NaN}',
        '{"type": ["look"]}',
        '{"type": "\\ud800"}',
        b"\xff\x00binary",
    ],
)
def test_nonsense_from_a_browser_is_answered_and_harms_nobody(nonsense):
    camera = Camera()

    async def watch(server):
        async with page(server) as opened:
            if isinstance(nonsense, bytes):
                await opened.socket.send_bytes(nonsense)
            else:
                await opened.socket.send_str(nonsense)
            await opened.text("refused")
            await opened.say(type="set", id=2, name="bypass", value=True)
            await opened.text("done")

    with serving(camera) as server:
        asyncio.run(watch(server))
    assert camera.knobs.calls == [("bypass", True)]


def test_message_that_is_too_long_ends_only_its_own_page():
    async def watch(server):
        async with page(server) as bystander, page(server) as opened:
            await opened.socket.send_str("x" * 5000)
            assert (await opened.closed())[0] == 1009
            await bystander.text("status")

    with serving(Camera()) as server:
        asyncio.run(watch(server))


def test_figures_are_told_without_anything_secret_and_as_json():
    camera = Camera()
    camera.status_fields = {
        "source": "rtsp://me:secret@10.0.0.2/1",
        "error": "no answer from rtsp://me:secret@10.0.0.2/1",
        "delay_ms": float("nan"),
    }

    async def watch(server):
        async with page(server) as opened:
            return await opened.text("status")

    with serving(camera) as server:
        told = asyncio.run(watch(server))
    assert told["status"]["source"] == "rtsp://10.0.0.2/1"
    assert told["status"]["error"] == "no answer from rtsp://10.0.0.2/1"
    assert told["status"]["delay_ms"] is None
    assert told["cameras"] == [{"name": "front", "state": "online"}]


def test_cameras_are_told_apart():
    front, garden = Camera("front"), Camera("Gärten & Höfe")

    async def watch(server):
        query = "way=units&camera=G%C3%A4rten%20%26%20H%C3%B6fe"
        async with page(server, looks=False, query=query) as opened:
            hello = await opened.text("hello")
            await opened.say(type="look", on=True)
            await asyncio.to_thread(looked_at, garden)
            return hello

    with serving(front, garden) as server:
        hello = asyncio.run(watch(server))
    assert hello["camera"] == "Gärten & Höfe"
    assert hello["cameras"] == ["front", "Gärten & Höfe"]
    assert (hello["width"], hello["height"]) == (WIDTH, HEIGHT)
    assert front.viewers == []


def test_camera_that_is_not_there_and_one_viewer_too_many_are_told_why():
    async def watch(server):
        async with page(server, looks=False, query="way=units&camera=attic") as opened:
            assert await opened.closed() == (4004, "")
        async with page(server), page(server, looks=False) as opened:
            assert await opened.closed() == (4013, "1")

    with serving(Camera(), limits=Limits(viewers=1)) as server:
        asyncio.run(watch(server))


@pytest.mark.parametrize("query", ["", "way=", "way=mjpeg"])
def test_unknown_way_is_refused(query):
    async def watch(server):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            async with page(server, query=query):
                pass

    with serving(Camera()) as server:
        asyncio.run(watch(server))


def test_rubbish_instead_of_http_is_survived(caplog):
    with serving(Camera(), limits=Limits(connections=8)) as server:

        @settings(max_examples=60, deadline=None)
        @given(
            st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"GET /socket?way=units HTTP/1.1\r\n"]),
            st.one_of(
                st.binary(max_size=300),
                st.text("abc:\r\n \0/%{é", max_size=60).map(str.encode),
            ),
        )
        def survives(start, rest):
            with socket.create_connection(("127.0.0.1", server.port), WAIT_S) as connection:
                connection.sendall(start + rest)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

        survives()
        assert asyncio.run(request(server, "/"))[0] == 200
    assert caplog.messages == []


def test_connections_are_bounded():
    with serving(Camera(), limits=Limits(connections=3)) as server:
        taken = [socket.create_connection(("127.0.0.1", server.port), WAIT_S) for _ in range(6)]
        hung_up = 0
        for connection in taken[3:]:
            try:
                hung_up += connection.recv(1) == b""
            except ConnectionResetError:
                hung_up += 1
        for connection in taken:
            connection.close()
    assert hung_up == 3
