"""Requests out of bytes, whatever the bytes are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.live.rtsp.message import (
    Interleaved,
    MalformedError,
    MessageParser,
    Request,
    Response,
)

HEAD, BODY = 512, 128
OPTIONS = b"OPTIONS rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\n\r\n"


def parser():
    return MessageParser(head_bytes=HEAD, body_bytes=BODY)


def messages(*chunks):
    """Everything that a new parser makes of some reads; an error ends it and is the last."""
    one = parser()
    found = []
    try:
        for chunk in chunks:
            one.feed(chunk)
            while (message := one.next_message()) is not None:
                found.append(message)
    except MalformedError as error:
        found.append(error.status)
    return found


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


names = st.sampled_from(["Session", "Transport", "User-Agent", "Accept", "X-1"])
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@st.composite
def requests(draw):
    method = draw(st.sampled_from(["OPTIONS", "SETUP", "GET_PARAMETER"]))
    headers = draw(st.dictionaries(names, values, max_size=3))
    body = draw(st.binary(max_size=BODY))
    lines = [f"{method} rtsp://h/x RTSP/1.0", f"CSeq: {draw(st.integers(0, 10**9))}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or draw(st.booleans()):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@st.composite
def frames(draw):
    data = draw(st.binary(max_size=70))
    return b"$" + bytes([draw(st.integers(0, 255))]) + len(data).to_bytes(2, "big") + data


streams = st.lists(st.one_of(requests(), frames(), st.just(b"\r\n")), max_size=5).map(b"".join)


@given(streams, st.lists(st.integers(0, 5000), max_size=8))
def test_cutting_the_stream_anywhere_changes_no_message(data, places):
    whole = messages(data)
    assert messages(*cut(data, places)) == whole
    assert not any(isinstance(message, int) for message in whole)


@given(st.lists(st.binary(max_size=600), max_size=6))
def test_any_bytes_are_messages_or_refused(chunks):
    for message in messages(*chunks):
        assert isinstance(message, Request | Interleaved) or message in (400, 413, 505)


@given(streams, st.integers(0, 5000), st.binary(min_size=1, max_size=3))
def test_damaged_requests_are_messages_or_refused(data, place, damage):
    place %= len(data) + 1
    for message in messages(data[:place] + damage + data[place + len(damage) :]):
        assert isinstance(message, Request | Interleaved) or message in (400, 413, 505)


def test_request_is_read():
    data = (
        b"SET_PARAMETER rtsp://h:1/x RTSP/1.0\r\nCSeq: 7\r\ncontent-LENGTH:  3 \r\n"
        b"X-A: one\r\nX-A: two\r\nX-B: three\r\n four\r\n\r\nabc"
    )
    headers = {"cseq": "7", "content-length": "3", "x-a": "one, two", "x-b": "three four"}
    assert messages(data) == [
        Request(
            method="SET_PARAMETER", url="rtsp://h:1/x", headers=headers, sequence=7, body=b"abc"
        )
    ]


def test_lines_may_end_without_carriage_return():
    assert messages(OPTIONS.replace(b"\r", b"")) == messages(OPTIONS)


def test_contents_of_frames_are_skipped_without_keeping_them():
    one = parser()
    one.feed(b"$\x05\xff\xff" + b"OPTIONS ")
    assert one.next_message() == Interleaved(channel=5)
    one.feed(bytes(65_535 - 8))
    assert one.buffered == 0
    one.feed(OPTIONS)
    assert isinstance(one.next_message(), Request)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b"options rtsp://h/x RTSP/1.0\r\n", 400),
        (b"GET / HTTP/1.1\r\n", 400),
        (b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", 400),
        (b"OPTIONS rtsp://h/x RTSP/2.0\r\n", 505),
        (b"OPTIONS rtsp://h/x\r\n", 400),
        (b"OPTIONS rtsp://h/x y RTSP/1.0\r\n", 400),
        (b"OPTIONS rtsp://h/\xff RTSP/1.0\r\n", 400),
        (b"OPTIONS rtsp://h/x RTSP/1.0\r\n\r\n", 400),
        (b"OPTIONS rtsp://h/x RTSP/1.0\r\nCSeq: -1\r\n\r\n", 400),
        (b"OPTIONS rtsp://h/x RTSP/1.0\r\nCSeq: \xb2\r\n\r\n", 400),
        (b"OPTIONS rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\nno colon\r\n\r\n", 400),
        (b"OPTIONS rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\nX: a\rY: b\r\n\r\n", 400),
        (b"OPTIONS rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"OPTIONS rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 1e3\r\n\r\n", 400),
        (b"OPTIONS rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 129\r\n\r\n", 413),
        (b"OPTIONS rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999999\r\n\r\n", 400),
        (b"OPTIONS rtsp://h/x RTSP/1.0\r\nX: " + b"y" * HEAD, 413),
        (b"O" * HEAD, 413),
    ],
)
def test_what_is_no_request_is_refused_as_soon_as_it_shows(data, status):
    assert messages(data) == [status]


def test_answer_names_the_request():
    response = Response(200, (("Session", "1"),), b"v=0")
    assert response.encode(4) == (
        b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nServer: demoire\r\nSession: 1\r\n"
        b"Content-Length: 3\r\n\r\nv=0"
    )
    assert Response(400).encode(None) == b"RTSP/1.0 400 Bad Request\r\nServer: demoire\r\n\r\n"
