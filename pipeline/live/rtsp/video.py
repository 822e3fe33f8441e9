"""How H.264 and HEVC travel in RTP: parameter sets for the SDP, and payloads cut by FFmpeg."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from pipeline.live.access import VideoTrack
from pipeline.live.rtsp.audio import PAYLOAD_BYTES, Payload

_RTP_HEAD_BYTES = 12
_PAYLOAD_TYPE = 96
_MARKER = 0x80
_START_CODE = b"\x00\x00\x01"
_H264_SETS = {"sps": 7, "pps": 8}
_HEVC_SETS = {"vps": 32, "sps": 33, "pps": 34}


class VideoFormat:
    """The picture in RTP.

    FFmpeg's muxer cuts access units into payloads; the heads it writes before them are thrown
    away, as its clock is its own.
    """

    clock_rate = 90_000

    def __init__(self, track: VideoTrack) -> None:
        self._is_h264 = track.codec == "h264"
        self.rtpmap = "H264/90000" if self._is_h264 else "H265/90000"
        self._sets: dict[str, list[bytes]] = {}
        self._written: list[bytes] = []
        self._count = 0
        self._muxer = av.open(
            self,
            "w",
            format="rtp",
            buffer_size=PAYLOAD_BYTES + _RTP_HEAD_BYTES,
            options={"payload_type": str(_PAYLOAD_TYPE)},
        )
        self._stream = self._muxer.add_mux_stream(
            track.codec, rate=track.frame_rate, width=track.width, height=track.height
        )

    @property
    def is_known(self) -> bool:
        """Whether a key picture has told what the SDP must say."""
        return self._sets.keys() == (_H264_SETS if self._is_h264 else _HEVC_SETS).keys()

    def learn(self, data: bytes) -> None:
        """Remember the parameter sets before a key picture."""
        kinds = _H264_SETS if self._is_h264 else _HEVC_SETS
        found: dict[str, list[bytes]] = {}
        for unit_of_stream in _units_of_stream(data):
            head = unit_of_stream[0]
            kind = head & 31 if self._is_h264 else head >> 1 & 63
            for name, number in kinds.items():
                if kind == number:
                    found.setdefault(name, []).append(unit_of_stream)
        if found.keys() == kinds.keys():
            self._sets = found

    def parameters(self) -> str:
        """For the `fmtp` line of the SDP."""
        texts = {
            name: ",".join(base64.b64encode(one).decode() for one in sets)
            for name, sets in self._sets.items()
        }
        if self._is_h264:
            level = self._sets["sps"][0][1:4].hex()
            return (
                f"packetization-mode=1;profile-level-id={level};"
                f"sprop-parameter-sets={texts['sps']},{texts['pps']}"
            )
        return ";".join(f"sprop-{name}={texts[name]}" for name in _HEVC_SETS)

    def split(self, data: bytes) -> Iterator[Payload]:
        """Cut an access unit.

        Raises:
            av.error.FFmpegError: It is none.
        """
        packet: av.Packet[Any] = av.Packet(data)
        packet.stream = self._stream
        packet.time_base = Fraction(1, self.clock_rate)
        packet.pts = packet.dts = self._count
        self._count += 1
        self._written.clear()
        self._muxer.mux_one(packet)
        for one in self._written:
            if one[1] & ~_MARKER == _PAYLOAD_TYPE:  # the others are its RTCP
                yield Payload(one[_RTP_HEAD_BYTES:], marker=bool(one[1] & _MARKER))

    def write(self, data: bytes) -> int:
        """Take one packet from FFmpeg."""
        self._written.append(bytes(data))
        return len(data)

    def close(self) -> None:
        """Give back what FFmpeg holds."""
        self._muxer.close()


def _units_of_stream(data: bytes) -> Iterator[bytes]:
    """NAL units of an Annex B access unit; none ends in a zero byte."""
    _, *parts = data.split(_START_CODE)
    for part in parts:
        unit = part.rstrip(b"\x00")
        if unit:
            yield unit
