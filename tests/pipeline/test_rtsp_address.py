"""The address that the RTSP server is given, and listening there."""

import socket

import pytest

from pipeline.errors import ConfigError, SinkError
from pipeline.live.rtsp.address import (
    Address,
    Credentials,
    listening_sockets,
    parse_address,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://127.0.0.1:8554/clean", Address(host="127.0.0.1", port=8554, path="/clean")),
        ("rtsp://0.0.0.0:0", Address(host="0.0.0.0", port=0)),
        ("rtsp://[::1]:8554/a/b/", Address(host="::1", port=8554, path="/a/b")),
        ("RTSP://localhost:1/a%20b", Address(host="localhost", port=1, path="/a b")),
        (
            "rtsp://me:p%40ss%3A@127.0.0.1:8554/",
            Address(
                host="127.0.0.1", port=8554, credentials=Credentials(user="me", password="p@ss:")
            ),
        ),
    ],
)
def test_address_is_read(text, expected):
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begins with rtsp://"),
        ("http://127.0.0.1:8554/", "begins with rtsp://"),
        ("127.0.0.1:8554", "begins with rtsp://"),
        ("rtsp://:8554/clean", "no host"),
        ("rtsp://127.0.0.1/clean", "no port"),
        ("rtsp://127.0.0.1:port/clean", "not a number"),
        ("rtsp://127.0.0.1:70000/clean", "not a number"),
        ("rtsp://[::1:8554/clean", "not an address"),
        ("rtsp://127.0.0.1:8554/clean?a=b", "without"),
        ("rtsp://me@127.0.0.1:8554/clean", "user and password"),
        ("rtsp://:secret@127.0.0.1:8554/clean", "user and password"),
        ('rtsp://m"e:secret@127.0.0.1:8554/clean', "quotes"),
    ],
)
def test_what_is_no_address_is_refused_with_the_way_out(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "me:secret@127.0.0.1:8554",
        "http://me:secret@127.0.0.1:8554/",
        "rtsp://me:secret@127.0.0.1/clean",
        "rtsp://me:secret@127.0.0.1:port/clean",
        "rtsp://me:sec/secret@127.0.0.1:8554/clean",
        "rtsp://me:secret@[::1:8554/clean",
    ],
)
def test_password_is_in_no_message(text):
    with pytest.raises(ConfigError) as caught:
        parse_address(text)
    error = caught.value
    assert "secret" not in str(error)
    assert error.__suppress_context__ or error.__context__ is None


def test_password_is_not_shown_with_the_address():
    address = parse_address("rtsp://me:secret@127.0.0.1:8554/clean")
    assert "secret" not in repr(address)
    assert address.url() == "rtsp://127.0.0.1:8554/clean"


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (Address(host="::1", port=0, path="/a b"), "rtsp://[::1]:7/a%20b"),
        (Address(host="localhost", port=0), "rtsp://localhost:7/"),
    ],
)
def test_url_is_as_players_write_it(address, url):
    assert address.url(7) == url


def test_taken_port_is_named_with_the_way_out():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            SinkError, match=rf"rtsp://127.0.0.1:{port}/x: .*in use; end the program"
        ):
            listening_sockets(Address(host="127.0.0.1", port=port, path="/x"))


def test_address_of_another_machine_is_refused():
    # Kept for documentation: no machine has it.
    with pytest.raises(SinkError, match="choose an address of this machine"):
        listening_sockets(Address(host="192.0.2.1", port=0))


def test_unknown_host_is_refused():
    with pytest.raises(SinkError, match="no address is known"):
        listening_sockets(Address(host="a" * 64 + ".invalid", port=0))


def test_all_numbers_of_a_name_share_one_port():
    sockets = listening_sockets(Address(host="localhost", port=0))
    try:
        assert len({one.getsockname()[1] for one in sockets}) == 1
    finally:
        for one in sockets:
            one.close()
