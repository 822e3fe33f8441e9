"""HLS: a playlist that is asked for again and again, and its segments as one stream of bytes.

Transport streams, and fragmented MP4 behind its initialisation, may simply be put one after the
other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from pipeline.errors import SourceError
from pipeline.live.redaction import without_secrets
from pipeline.live.sources.contract import POLL_S, Interrupted

if TYPE_CHECKING:
    from pipeline.live.sources.fetching import Body, Fetcher

_LARGEST = 1 << 20
"""Bytes of a playlist; a longer answer is something else."""
_FROM_END = 3
"""Segments kept between us and the live edge, as players do: the newest may not be complete."""


@dataclass(frozen=True, kw_only=True)
class Playlist:
    """What a playlist says."""

    variants: tuple[tuple[int, str], ...] = ()
    """Bits a second and address of each quality, where it lists qualities and not segments."""
    segments: tuple[str, ...] = ()
    """Addresses."""
    first: int = 0
    """Number of the first segment."""
    initialisation: str = ""
    """Address of what comes before the first segment; empty for none."""
    target_s: float = 2.0
    """Length of a segment, roughly."""
    ended: bool = False
    """No more segments will come."""


def parse_playlist(text: str, base: str) -> Playlist:
    """Read a playlist.

    Args:
        text: Its lines.
        base: Where it came from; addresses in it are relative to that.

    Raises:
        SourceError: It is none, or its segments are encrypted.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or not lines[0].startswith("#EXTM3U"):
        raise SourceError(f"{without_secrets(base)}: is not an HLS playlist")
    tags = dict(line.partition(":")[::2] for line in lines if line.startswith("#EXT"))
    if "METHOD=NONE" not in tags.get("#EXT-X-KEY", "METHOD=NONE"):
        raise SourceError(
            f"{without_secrets(base)}: its segments are encrypted, which is not supported;"
            " ask the server for plain HLS or RTSP"
        )
    variants, segments = [], []
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("#"):
            continue
        address = urljoin(base, line)
        rate = re.search(r"[:,]BANDWIDTH=(\d+)", before)
        if before.startswith("#EXT-X-STREAM-INF"):
            variants.append((int(rate[1]) if rate else 0, address))
        else:
            segments.append(address)
    start = re.search(r'URI="([^"]+)"', tags.get("#EXT-X-MAP", ""))
    return Playlist(
        variants=tuple(variants),
        segments=tuple(segments),
        first=_number(tags.get("#EXT-X-MEDIA-SEQUENCE"), 0),
        initialisation=urljoin(base, start[1]) if start else "",
        target_s=max(0.5, _number(tags.get("#EXT-X-TARGETDURATION"), 2)),
        ended="#EXT-X-ENDLIST" in tags,
    )


def _number(text: str | None, default: int) -> int:
    found = re.match(r"\d+", text or "")
    return int(found[0]) if found else default


class Segments:
    """The segments of a playlist, from near its end on.

    Args:
        fetcher: Asks the server.
        body: The playlist, or the list of its qualities: the best is taken.

    Raises:
        SourceError: It cannot be read.
    """

    def __init__(self, fetcher: Fetcher, body: Body) -> None:
        self._fetcher = fetcher
        self.ended = False
        self._body: Body | None = None
        self._address = body.address
        self._playlist = self._parsed(body)
        if self._playlist.variants:
            self._address = max(self._playlist.variants)[1]
            self._playlist = self._parsed(fetcher.fetch(self._address))
        self._waiting = self._addresses()

    def read(self, size: int) -> bytes:
        """Return bytes of the current segment; waits for the next one.

        Raises:
            Interrupted: Reading was stopped.
            SourceError: The playlist cannot be read any more.
        """
        while True:
            if self._body is None:
                address = next(self._waiting, None)
                if address is None:
                    self.ended = True
                    return b""
                self._body = self._fetcher.fetch(address)
            data = self._body.read(size)
            if data:
                return data
            self.close()

    def close(self) -> None:
        """End the request that is under way."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def _addresses(self) -> Iterator[str]:
        """Yield what is to be fetched, asking for the playlist anew until it has something new."""
        playlist = self._playlist
        number = playlist.first + max(0, len(playlist.segments) - _FROM_END)
        initialised = ""
        while True:
            for address in playlist.segments[max(0, number - playlist.first) :]:
                if playlist.initialisation != initialised:
                    initialised = playlist.initialisation
                    yield initialised
                yield address
            number = max(number, playlist.first + len(playlist.segments))
            if playlist.ended:
                return
            if self._fetcher.stop.wait(max(POLL_S, playlist.target_s / 2)):
                raise Interrupted
            playlist = self._parsed(self._fetcher.fetch(self._address))
            if playlist.first + len(playlist.segments) < number:
                number = playlist.first  # the server began to count anew

    def _parsed(self, body: Body) -> Playlist:
        parts, length = [], 0
        try:
            while (data := body.read(_LARGEST)) and length < _LARGEST:
                parts.append(data)
                length += len(data)
        finally:
            body.close()
        return parse_playlist(b"".join(parts).decode("utf-8", "replace"), body.address)
