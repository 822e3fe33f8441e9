"""RTSP requests out of a stream of bytes, and the bytes of answers; nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_INTERLEAVED = ord("$")
_HEAD_OF_FRAME = 4
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE = re.compile(r"([A-Z][A-Z_]{0,31}) ([!-~]{1,2048}) ([A-Z]{1,8})/(\d{1,3})\.(\d{1,3})")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    453: "Not Enough Bandwidth",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    459: "Aggregate Operation Not Allowed",
    460: "Only Aggregate Operation Allowed",
    461: "Unsupported Transport",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "RTSP Version Not Supported",
    551: "Option Not Supported",
}


class MalformedError(Exception):
    """What came is no request; the connection cannot go on, as its end is unknown.

    Args:
        status: What to answer.
        text: What is wrong, without what the client wrote.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request; its text is Latin-1, so that every byte survives."""

    method: str
    url: str
    headers: Mapping[str, str]
    """By name in lower case; the values of a repeated one are joined by commas."""
    sequence: int
    """The CSeq, which the answer repeats."""
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Interleaved:
    """A `$` frame began: RTCP, which is as good as a keep-alive. Its contents are skipped."""

    channel: int


@dataclass(frozen=True)
class Response:
    """An answer; the connection adds the CSeq."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    closes: bool = False
    """The connection ends after it."""

    def encode(self, sequence: int | None) -> bytes:
        """The bytes to send.

        Args:
            sequence: The request's CSeq, or None if it could not be read.
        """
        lines = [f"RTSP/1.0 {self.status} {REASONS[self.status]}", "Server: demoire"]
        if sequence is not None:
            lines.insert(1, f"CSeq: {sequence}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + self.body


class MessageParser:
    """Cuts what a client sends into messages.

    It keeps no more than one incomplete request; what follows in the same read stays there until
    `next_message` asks for it.

    Args:
        head_bytes: Longest request line and headers together.
        body_bytes: Longest body.
    """

    def __init__(self, *, head_bytes: int, body_bytes: int) -> None:
        self._head_bytes = head_bytes
        self._body_bytes = body_bytes
        self._buffer = bytearray()
        self._skip = 0

    @property
    def buffered(self) -> int:
        """Bytes that are not part of a message handed out; more than 0 is a request that began."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._buffer += memoryview(data)[skipped:]

    def next_message(self) -> Request | Interleaved | None:
        """Return the next message, or None until more was fed.

        Raises:
            MalformedError: It is none, or too long; nothing can follow on this connection.
        """
        # Empty lines between requests are allowed, and some clients send them to keep alive.
        blank = len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))
        del self._buffer[:blank]
        if not self._buffer:
            return None
        if self._buffer[0] == _INTERLEAVED:
            return self._interleaved()
        if not self._buffer[:1].isupper():
            raise MalformedError(400, "what came does not begin with a method")
        return self._request()

    def _interleaved(self) -> Interleaved | None:
        if len(self._buffer) < _HEAD_OF_FRAME:
            return None
        channel = self._buffer[1]
        end = _HEAD_OF_FRAME + int.from_bytes(self._buffer[2:4], "big")
        self._skip = max(0, end - len(self._buffer))
        del self._buffer[:end]
        return Interleaved(channel=channel)

    def _request(self) -> Request | None:
        found = _END_OF_HEAD.search(self._buffer, 0, self._head_bytes)
        if found is None:
            if len(self._buffer) >= self._head_bytes:
                raise MalformedError(413, f"a head of more than {self._head_bytes} bytes")
            # Whatever is wrong with the first line will not be mended by those that follow.
            first, end, _ = bytes(self._buffer).partition(b"\n")
            if end:
                _request_line(first.decode("latin-1").rstrip("\r"))
            return None
        method, url, headers = parse_head(bytes(self._buffer[: found.start()]))
        length = _content_length(headers, self._body_bytes)
        end_of_body = found.end() + length
        if len(self._buffer) < end_of_body:
            return None
        body = bytes(self._buffer[found.end() : end_of_body])
        del self._buffer[:end_of_body]
        sequence = _number(headers.get("cseq", ""), "CSeq", digits=10)
        return Request(method=method, url=url, headers=headers, sequence=sequence, body=body)


def parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Return method, URL and headers of a request without its last, empty line.

    Raises:
        MalformedError: It is not a request.
    """
    # Only CR LF and LF end lines: `splitlines` knows more, and would let one client's "line" be
    # two of ours.
    first, *rest = [line.removesuffix("\r") for line in head.decode("latin-1").split("\n")]
    method, url = _request_line(first)
    if any(_CONTROL.search(line) for line in rest):
        raise MalformedError(400, "control characters in a header")
    headers: dict[str, str] = {}
    name = ""
    for line in rest:
        if line[:1] in (" ", "\t") and name:  # a folded line
            headers[name] += " " + line.strip()
            continue
        before, colon, value = line.partition(":")
        name = before.strip().lower()
        if not colon or not _HEADER_NAME.fullmatch(name):
            raise MalformedError(400, "a header line without a name")
        value = value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return method, url, headers


def _request_line(line: str) -> tuple[str, str]:
    found = _REQUEST_LINE.fullmatch(line)
    if found is None or found[3] != "RTSP":
        raise MalformedError(400, "the first line is not that of an RTSP request")
    if found[4] != "1":
        raise MalformedError(505, "not RTSP 1.0")
    return found[1], found[2]


def _content_length(headers: Mapping[str, str], most: int) -> int:
    length = _number(headers.get("content-length", "0"), "Content-Length", digits=10)
    if length > most:
        raise MalformedError(413, f"a body of more than {most} bytes")
    return length


def _number(text: str, name: str, *, digits: int) -> int:
    # Not `isdigit`, which takes superscripts for digits.
    if not re.fullmatch(rf"[0-9]{{1,{digits}}}", text):
        raise MalformedError(400, f"{name} is missing or not a number")
    return int(text)
