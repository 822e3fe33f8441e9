"""Access units in the form that one page can take."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Literal, Protocol

import av

from pipeline.live.access import CLOCK, AccessUnit, VideoTrack
from pipeline.live.web.browser_codec import codec_string
from pipeline.live.web.camera import WHICH, Which

Way = Literal["units", "fragments"]
"""`units`: Annex B for WebCodecs. `fragments`: MP4 for MediaSource, which pages that did not come
by https or from this machine have instead."""

_HEADER = struct.Struct(">BBq")  # number of the picture, flags, pts in µs
_KEY, _INIT = 1, 2
_LEAD = 10 * 90_000
"""Where a page's own clock starts. MediaSource knows no negative times, and the other picture's
first unit may be a little older."""
_LASTS = Fraction(4)
"""How long a fragment claims to last, in frames. One that ends before the next begins is a gap,
and there the browser would stop."""


class Packer(Protocol):
    """Turns the units of both pictures into messages of a WebSocket."""

    def pack(self, which: Which, unit: AccessUnit) -> Iterator[bytes | str]:
        """Yield the messages for one unit; the first of each picture must be a key picture."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


def make_packer(way: Way, tracks: Mapping[Which, VideoTrack]) -> Packer:
    """Return the packer for one page."""
    return UnitPacker(tracks) if way == "units" else FragmentPacker(tracks)


class UnitPacker:
    """Passes units on as they are, with a header; the codec's name goes before."""

    def __init__(self, tracks: Mapping[Which, VideoTrack]) -> None:
        self._tracks = tracks
        self._named: dict[Which, str] = {}

    def pack(self, which: Which, unit: AccessUnit) -> Iterator[bytes | str]:
        """Yield the unit, and the codec's name where it changes."""
        if unit.is_key:
            name = codec_string(self._tracks[which].codec, unit.data)
            if name is not None and name != self._named.get(which):
                self._named[which] = name
                yield _track_message(which, name)
        if which not in self._named:  # no parameter set yet: nobody could decode it
            return
        flags = _KEY if unit.is_key else 0
        yield _HEADER.pack(WHICH.index(which), flags, _microseconds(unit.pts)) + unit.data

    def close(self) -> None:
        """Hold nothing."""


class FragmentPacker:
    """Wraps units in fragmented MP4, without encoding again; each comes out with the next."""

    def __init__(self, tracks: Mapping[Which, VideoTrack]) -> None:
        self._tracks = tracks
        self._muxers: dict[Which, _Muxer] = {}
        self._base: int | None = None

    def pack(self, which: Which, unit: AccessUnit) -> Iterator[bytes | str]:
        """Yield what the unit completes: the codec's name and the head of the file, fragments."""
        muxer = self._muxers.get(which)
        flags = 0
        if muxer is None:
            track = self._tracks[which]
            name = codec_string(track.codec, unit.data)
            if name is None:  # no parameter set yet: the head of the file could not be written
                return
            yield _track_message(which, name)
            muxer = self._muxers[which] = _Muxer(track)
            flags = _INIT
        if self._base is None:
            self._base = unit.pts - _LEAD
        # Older than the lead, a unit would need a negative time; it is shown by nobody any more.
        if data := muxer.mux(unit, max(unit.pts - self._base, 0)):
            head = _HEADER.pack(WHICH.index(which), flags, _microseconds(unit.pts - self._base))
            yield head + data

    def close(self) -> None:
        """Close the muxers."""
        for muxer in self._muxers.values():
            muxer.close()
        self._muxers.clear()


class _Muxer:
    """One fragmented MP4 that never ends."""

    def __init__(self, track: VideoTrack) -> None:
        self._written = bytearray()
        self._container = av.open(
            self,
            "w",
            format="mp4",
            buffer_size=1 << 20,
            options={
                "movflags": "empty_moov+default_base_moof+frag_every_frame+frag_discont"
                "+skip_trailer",
                "flush_packets": "1",
                # Together they keep the times as they are, so that both pictures share a clock.
                "use_editlist": "0",
                "avoid_negative_ts": "disabled",
            },
        )
        self._stream = self._container.add_mux_stream(
            track.codec, rate=track.frame_rate, width=track.width, height=track.height
        )
        self._stream.time_base = CLOCK
        self._lasts = round(_LASTS / track.frame_rate / CLOCK)

    def write(self, data: bytes) -> int:
        """Take what the container writes."""
        self._written += data
        return len(data)

    def mux(self, unit: AccessUnit, pts: int) -> bytes:
        packet = av.Packet(unit.data)
        packet.stream, packet.time_base = self._stream, CLOCK
        packet.pts = packet.dts = pts
        packet.duration = self._lasts
        packet.is_keyframe = unit.is_key
        self._container.mux_one(packet)
        data = bytes(self._written)
        self._written.clear()
        return data

    def close(self) -> None:
        self._container.close()


def _microseconds(pts: int) -> int:
    return pts * 100 // 9  # 1e6 / 90000


def _track_message(which: Which, codec: str) -> str:
    return json.dumps({"type": "track", "which": which, "codec": codec})
