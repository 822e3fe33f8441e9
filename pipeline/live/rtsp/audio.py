"""How each audio codec travels in RTP: its lines in the SDP and the payloads of its packets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.errors import SinkError
from pipeline.live.access import AudioTrack

PAYLOAD_BYTES = 1388
"""Fits, with RTP's 12, UDP's 8 and IPv6's 40 bytes, what any network passes on in one piece."""

_AAC_RATES = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
)  # fmt: skip
_ADTS_BYTES = 7
_AU_HEADERS_BYTES = 4
_MOST_AAC_BYTES = (1 << 13) - 1
_MPA_HEADER_BYTES = 4


@dataclass(frozen=True, slots=True)
class Payload:
    """What one RTP packet carries."""

    data: bytes
    marker: bool = False
    offset: int = 0
    """Clock units after the start of the access unit."""


class AudioFormat:
    """One codec in RTP.

    Args:
        encoding: Its name in the SDP.
        clock_rate: Units of RTP's timestamps per second.
        channels: For the SDP, or None where there are none.
        split: Cuts an access unit into payloads.
        parameters: For the SDP's `fmtp` line, read when the SDP is written.
        learn: Called with every access unit, for what the SDP must say.
    """

    def __init__(
        self,
        encoding: str,
        clock_rate: int,
        *,
        channels: int | None,
        split: Callable[[bytes], Iterator[Payload]],
        parameters: Callable[[], str] = str,
        learn: Callable[[bytes], object] = len,
    ) -> None:
        self.clock_rate = clock_rate
        self.split = split
        self.parameters = parameters
        self.learn = learn
        self.rtpmap = f"{encoding}/{clock_rate}" + (f"/{channels}" if channels else "")


def audio_format(track: AudioTrack) -> AudioFormat:
    """Find how a track's codec is sent.

    `aac` (as mpeg4-generic), `opus`, `mp2` and `mp3` (MPA), `pcm_alaw` and `pcm_mulaw` (PCMA and
    PCMU) and `pcm_s16be` (L16) can be.

    Raises:
        SinkError: There is no way for this codec here.
    """
    make = _FORMATS.get(track.codec)
    if make is None:
        raise SinkError(
            f"sound in {track.codec!r} cannot be sent over RTSP; leave the sound out, or encode "
            f"it as one of {', '.join(sorted(_FORMATS))}"
        )
    return make(track)


def _aac(track: AudioTrack) -> AudioFormat:
    aac = _Aac(track)
    return AudioFormat(
        "mpeg4-generic",
        track.sample_rate,
        channels=track.channels,
        split=aac.split,
        parameters=aac.parameters,
        learn=aac.learn,
    )


def _opus(track: AudioTrack) -> AudioFormat:
    def parameters() -> str:
        return "sprop-stereo=1" if track.channels > 1 else ""

    # RFC 7587: always 48 kHz and two channels, whatever the sound has.
    return AudioFormat("opus", 48_000, channels=2, split=_whole, parameters=parameters)


def _mpa(_: AudioTrack) -> AudioFormat:
    return AudioFormat("MPA", 90_000, channels=None, split=_split_mpa)


def _pcm(encoding: str, bytes_per_sample: int) -> Callable[[AudioTrack], AudioFormat]:
    def make(track: AudioTrack) -> AudioFormat:
        step = bytes_per_sample * track.channels

        def split(data: bytes) -> Iterator[Payload]:
            size = PAYLOAD_BYTES // step * step
            for start in range(0, len(data), size):
                yield Payload(data[start : start + size], offset=start // step)

        return AudioFormat(encoding, track.sample_rate, channels=track.channels, split=split)

    return make


def _whole(data: bytes) -> Iterator[Payload]:
    yield Payload(data)


def _split_mpa(data: bytes) -> Iterator[Payload]:
    """RFC 2250, 3.5: where in the frame each piece begins."""
    size = PAYLOAD_BYTES - _MPA_HEADER_BYTES
    for start in range(0, len(data), size):
        yield Payload(start.to_bytes(_MPA_HEADER_BYTES, "big") + data[start : start + size])


class _Aac:
    """RFC 3640, one access unit at a time, in pieces if need be.

    Raw AAC has its configuration in the track. ADTS, which transport streams and some cameras
    carry, has it in each packet: that head is taken off, as RTP does not know it.
    """

    def __init__(self, track: AudioTrack) -> None:
        self._is_told = bool(track.extradata)
        self._config = track.extradata or _config(track.sample_rate, track.channels)

    def learn(self, data: bytes) -> None:
        if not self._is_told and _adts_bytes(data):
            # The track's rate may be twice this one: FFmpeg names what HE-AAC decodes to.
            profile, rate = data[2] >> 6, data[2] >> 2 & 15
            layout = (data[2] & 1) << 2 | data[3] >> 6
            if rate < len(_AAC_RATES):
                self._config = _specific_config(profile + 1, rate, layout)
                self._is_told = True

    def parameters(self) -> str:
        return (
            "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;"
            f"indexdeltalength=3;config={self._config.hex()}"
        )

    def split(self, data: bytes) -> Iterator[Payload]:
        data = data[_adts_bytes(data) :]
        if not data or len(data) > _MOST_AAC_BYTES:
            return
        header = (16).to_bytes(2, "big") + (len(data) << 3).to_bytes(2, "big")
        size = PAYLOAD_BYTES - _AU_HEADERS_BYTES
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            yield Payload(header + piece, marker=start + size >= len(data))


def _adts_bytes(data: bytes) -> int:
    """Length of an ADTS head, 0 if there is none."""
    if len(data) < _ADTS_BYTES or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return 0
    length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    if length != len(data):
        return 0
    return _ADTS_BYTES if data[1] & 1 else _ADTS_BYTES + 2


def _config(sample_rate: int, channels: int) -> bytes:
    """Configuration of AAC-LC."""
    if sample_rate not in _AAC_RATES or not 1 <= channels <= 8 or channels == 7:
        raise SinkError(
            f"sound in AAC of {sample_rate} Hz and {channels} channels comes without its "
            "configuration and cannot be sent over RTSP; leave the sound out"
        )
    layout = 7 if channels == 8 else channels
    return _specific_config(2, _AAC_RATES.index(sample_rate), layout)


def _specific_config(kind: int, rate: int, layout: int) -> bytes:
    return (kind << 11 | rate << 7 | layout << 3).to_bytes(2, "big")


_FORMATS: dict[str, Callable[[AudioTrack], AudioFormat]] = {
    "aac": _aac,
    "mp2": _mpa,
    "mp3": _mpa,
    "opus": _opus,
    "pcm_alaw": _pcm("PCMA", 1),
    "pcm_mulaw": _pcm("PCMU", 1),
    "pcm_s16be": _pcm("L16", 2),
}
