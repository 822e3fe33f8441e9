"""What a muxer must be told of pictures and sound before their first packet."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any

import av
from av.bitstream import BitStreamFilterContext

from pipeline.errors import SinkError
from pipeline.live.access import CLOCK, AccessUnit, AudioTrack, VideoTrack

if TYPE_CHECKING:
    from av.container import OutputContainer

_AAC_RATES = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
)  # fmt: skip
_ADTS_BYTES = 7


class Sound:
    """The source's sound as muxers want it: configuration apart, packets without heads of ADTS.

    Args:
        track: As the source described it.
    """

    def __init__(self, track: AudioTrack) -> None:
        self.track = track if track.extradata else replace(track, extradata=_made_up(track))
        """With the decoder's configuration."""
        self._knows = bool(track.extradata) or track.codec != "aac"

    def raw(self, data: bytes) -> bytes:
        """Return a packet without its head, after taking the configuration from it."""
        head = _adts_bytes(data) if self.track.codec == "aac" else 0
        if head and not self._knows:
            kind, rate, channels = (
                data[2] >> 6,
                data[2] >> 2 & 15,
                (data[2] & 1) << 2 | data[3] >> 6,
            )
            self.track = replace(self.track, extradata=_aac_config(kind + 1, rate, channels))
            self._knows = True
        return data[head:]


def add_video(container: OutputContainer, track: VideoTrack, key: bytes) -> Any:  # noqa: ANN401
    """Add the stream of pictures and return it.

    Args:
        container: Not started yet.
        track: What was known before.
        key: A key picture in Annex B; size, colours and parameter sets are read from it.

    Raises:
        SinkError: It is no key picture of that codec.
    """
    try:
        with av.open(BytesIO(key), format=track.codec) as elementary:
            template = elementary.streams.video[0]
            stream: Any = container.add_stream_from_template(template, opaque=True)
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise SinkError(f"no {track.codec} stream can begin with this picture: {error}") from error
    stream.time_base = CLOCK
    return stream


def add_audio(container: OutputContainer, track: AudioTrack) -> Any:  # noqa: ANN401
    """Add the stream of sound and return it.

    Raises:
        ValueError: The container, or this FFmpeg, does not know the codec.
        av.error.FFmpegError: The description is not one of that codec.
    """
    # PyAV describes a stream only by an encoder's settings or by another stream. So one is made in
    # a container that takes every codec, told what it is, and copied; nothing is ever encoded.
    with (
        av.open(BytesIO(), "w", format="nut") as blank,
        av.open(BytesIO(), "w", format="nut") as filled,
    ):
        template = blank.add_stream(track.codec, track.sample_rate)
        described: Any = filled.add_stream_from_template(template, opaque=True)
        context = described.codec_context
        context.sample_rate, context.layout = track.sample_rate, _layout(track.channels)
        if track.extradata:
            context.extradata = track.extradata
        described.time_base = Fraction(1, track.sample_rate)
        filled.start_encoding()
        try:
            stream: Any = container.add_stream_from_template(described, opaque=True)
        except ValueError:
            if container.format.name != "matroska":
                raise
            # PyAV looks G.711 up in Matroska's own list only; FFmpeg writes it all the same.
            stream = container.add_mux_stream("pcm_s16le", rate=track.sample_rate)
            BitStreamFilterContext("null", in_stream=described, out_stream=stream)
    stream.time_base = Fraction(1, track.sample_rate)
    return stream


def check_audio(format_name: str, track: AudioTrack, way_out: str) -> None:
    """Try whether a container takes the sound.

    Args:
        format_name: FFmpeg's name of the container.
        track: With the decoder's configuration.
        way_out: What to do if not, for the message.

    Raises:
        SinkError: It does not.
    """
    try:
        with av.open(BytesIO(), "w", format=format_name) as container:
            add_audio(container, track)
            container.start_encoding()
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SinkError(
            f"sound in {track.codec} does not go into {format_name}; {way_out}"
        ) from error


def packet_of(unit: AccessUnit, stream: Any, *, data: bytes, start: int, duration: int) -> Any:  # noqa: ANN401
    """Return a unit as a packet of a stream, its time counted from `start`."""
    packet: Any = av.Packet(data)
    packet.stream, packet.time_base = stream, CLOCK
    packet.pts = packet.dts = unit.pts - start
    packet.duration, packet.is_keyframe = duration, unit.is_key
    return packet


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(channels, f"{channels} channels")


def _made_up(track: AudioTrack) -> bytes:
    """Return the configuration of sound that comes without; empty where none is needed."""
    if track.codec == "opus":
        head = b"OpusHead\x01" + bytes([track.channels]) + (0).to_bytes(2, "little")
        return head + track.sample_rate.to_bytes(4, "little") + bytes(3)
    if track.codec == "aac" and track.sample_rate in _AAC_RATES:
        return _aac_config(2, _AAC_RATES.index(track.sample_rate), min(track.channels, 7))
    return b""


def _aac_config(kind: int, rate: int, channels: int) -> bytes:
    return (kind << 11 | rate << 7 | channels << 3).to_bytes(2, "big")


def _adts_bytes(data: bytes) -> int:
    """Return the length of an ADTS head, 0 if there is none."""
    if len(data) < _ADTS_BYTES or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return 0
    if ((data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5) != len(data):
        return 0
    return _ADTS_BYTES if data[1] & 1 else _ADTS_BYTES + 2
