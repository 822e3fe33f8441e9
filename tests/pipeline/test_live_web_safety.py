import asyncio
import socket
import sys

import aiohttp
import pytest
from live_web import Camera, serving

from pipeline.errors import ConfigError, EngineError, SinkError
from pipeline.live.loop import LoopThread
from pipeline.live.web import CameraView, WebServer
from pipeline.live.web.camera import VideoTrack
from pipeline.live.web.listening import is_loopback, open_sockets, resolve

TOKEN = "a-token-of-the-tests-that-nobody-guesses"


async def ask(server, path="/", *, host=None, cookie=None, **headers):
    """Status, headers and body of a GET, with whatever headers a stranger may send."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {"Host": host} if host else {}
    sent |= {"Cookie": cookie} if cookie else {}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.get(f"http://127.0.0.1:{server.port}{path}", headers=sent) as answer,
    ):
        return answer.status, answer.headers, await answer.text()


async def open_socket(server, **headers):
    """The status with which a WebSocket is refused, 101 when it is not."""
    address = f"http://127.0.0.1:{server.port}/socket?way=units"
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(address, headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


def cookie_of(headers):
    return headers["Set-Cookie"].split(";")[0]


def test_without_the_token_nothing_is_shown():
    async def check(server):
        for path in ("/", "/app.js", "/socket?way=units", "/nothing"):
            for query in ("", "token=", "token=wrong", f"token={TOKEN}x", "token=%ff%00"):
                separator = "&" if "?" in path else "?"
                status, headers, body = await ask(server, f"{path}{separator}{query}")
                assert status == 403, (path, query)
                assert "Set-Cookie" not in headers
                assert TOKEN not in body

    with serving(Camera(), token=TOKEN) as server:
        asyncio.run(check(server))


def test_token_is_exchanged_for_a_cookie_that_is_not_the_token():
    async def check(server):
        status, headers, _ = await ask(server, f"/?token={TOKEN}")
        assert status == 200
        assert headers["Referrer-Policy"] == "no-referrer"
        sent = headers["Set-Cookie"]
        assert "HttpOnly" in sent
        assert "SameSite=Strict" in sent
        assert TOKEN not in sent
        cookie = cookie_of(headers)
        assert (await ask(server, "/app.js", cookie=cookie))[0] == 200
        assert (await ask(server, "/app.js", cookie=cookie[:-1]))[0] == 403
        assert (await ask(server, "/app.js", cookie="demoire_1=é"))[0] == 403
        assert await open_socket(server, Cookie=cookie) == 101
        assert await open_socket(server) == 403

    with serving(Camera(), token=TOKEN) as server:
        asyncio.run(check(server))


def test_cookie_outlives_a_restart_with_the_same_token():
    with serving(Camera(), token=TOKEN) as server:
        _, headers, _ = asyncio.run(ask(server, f"/?token={TOKEN}"))
    with serving(Camera(), token=TOKEN, port=server.port) as again:
        assert asyncio.run(ask(again, cookie=cookie_of(headers)))[0] == 200


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "192.168.1.5", "my-proxy.example"],
)
def test_own_names_are_answered(host):
    with serving(Camera(), names=["My-Proxy.example"]) as server:
        assert asyncio.run(ask(server, host=host))[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "a b", "[x]"]
)
def test_strangers_names_are_not_answered(host):
    with serving(Camera()) as server:
        status, _, body = asyncio.run(ask(server, host=host))
    assert status == 403
    assert "not served under that name" in body


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "http://127.0.0.1:1", "file://", "http://localhost"]
)
def test_other_sites_get_no_socket(origin):
    camera = Camera()
    with serving(camera) as server:
        assert asyncio.run(open_socket(server, Origin=origin)) == 403
    assert camera.viewers == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_own_page_gets_a_socket(scheme):
    with serving(Camera()) as server:
        origin = f"{scheme}://127.0.0.1:{server.port}"
        assert asyncio.run(open_socket(server, Origin=origin)) == 101


def test_page_may_do_nothing_but_its_own():
    with serving(Camera()) as server:
        _, headers, _ = asyncio.run(ask(server))
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
@pytest.mark.parametrize("token", [None, ""])
def test_open_to_others_needs_a_token(host, token):
    with pytest.raises(ConfigError, match=r"give a token, or listen on 127\.0\.0\.1"):
        WebServer(LoopThread(), host, 0, cameras={"a": Camera().view()}, token=token)


def test_open_to_others_with_a_token_is_served():
    with serving(Camera(), host="0.0.0.0", token=TOKEN) as server:
        assert server.url == f"http://{socket.gethostname()}:{server.port}/?token={TOKEN}"
        assert asyncio.run(ask(server, f"/?token={TOKEN}"))[0] == 200


def test_whole_loopback_needs_none():
    assert is_loopback(resolve("--web", "localhost", 0))
    with serving(Camera(), host="127.0.0.2") as server:
        assert server.url == f"http://127.0.0.2:{server.port}/"


def test_taken_port_is_named_with_a_way_out():
    with serving(Camera()) as server:
        message = rf"--web 127\.0\.0\.1:{server.port}: cannot listen: address already in use; stop"
        with (
            pytest.raises(SinkError, match=message),
            serving(Camera(), port=server.port),
        ):
            pass


def test_foreign_address_is_named_with_a_way_out():
    with pytest.raises(SinkError, match=r"cannot assign requested address; this machine does not"):
        open_sockets("--web", "192.0.2.1", 8080)


def test_unknown_host_is_named_with_a_way_out():
    with pytest.raises(SinkError, match=r"--web no\.such\.\.host:1: 'no\.such\.\.host' is not"):
        open_sockets("--web", "no.such..host", 1)


def test_name_of_two_addresses_gets_one_port():
    opened = open_sockets("--web", "localhost", 0)
    ports = {each.getsockname()[1] for each in opened}
    for each in opened:
        each.close()
    assert len(ports) == 1


def test_missing_package_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(EngineError, match=r"--web needs aiohttp; .* pip install 'demoire\[live\]'"):
        WebServer(LoopThread(), "127.0.0.1", 0, cameras={"a": Camera().view()})


def test_pictures_of_two_sizes_are_refused():
    view = Camera().view()
    other = VideoTrack(codec="h264", width=2, height=2, frame_rate=view.clean.frame_rate)
    with pytest.raises(ValueError, match="same size"):
        CameraView(
            clean=view.clean,
            original=other,
            status=view.status,
            control=view.control,
            request_key=view.request_key,
            on_viewers=view.on_viewers,
        )


def test_page_without_cameras_is_refused():
    with pytest.raises(ValueError, match="at least one camera"):
        WebServer(LoopThread(), "127.0.0.1", 0, cameras={})
