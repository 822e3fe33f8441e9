"""What a camera's output is: decided once, whatever its source does later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pipeline.live.access import CLOCK, AccessUnit, AudioTrack, VideoTrack
from pipeline.live.card import blank_info
from pipeline.live.encoder import LiveEncoder
from pipeline.live.fit import Fitter
from pipeline.media import SourceInfo, pixel_format_name

if TYPE_CHECKING:
    import av

    from pipeline.live.config import EncodeConfig

DEFAULT_SIZE = (1280, 720)
_DEFAULT_RATE = Fraction(30)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """An output and its encoder."""

    info: SourceInfo
    """Of the output."""
    frame_rate: Fraction
    encode: EncodeConfig
    encoder: LiveEncoder
    audio: AudioTrack | None
    """The sound that goes along; None for none."""

    @property
    def track(self) -> VideoTrack:
        """The picture that outlets get."""
        return self.encoder.track

    def with_new_encoder(self) -> Chain:
        """Return the same with an encoder that has just opened.

        Raises:
            SinkError: None opens.
        """
        return replace(self, encoder=_open(self.info, self.frame_rate, self.encode))

    def open_original_encoder(self) -> LiveEncoder:
        """Return an encoder for the picture as it came: the cheapest that there is.

        Raises:
            SinkError: None opens.
        """
        quick = self.encode.model_copy(update={"preset": "ultrafast"})
        return _open(self.info, self.frame_rate, quick)

    def fitter(self) -> Fitter:
        """Return what makes any picture one of the output's size and format."""
        info = self.info
        return Fitter(
            info.width,
            info.height,
            pixel_format_name(info.picture_format),
            sample_aspect_ratio=info.sample_aspect_ratio,
        )


def open_chain(
    info: SourceInfo, encode: EncodeConfig, *, rate: float | None, audio: AudioTrack | None
) -> Chain:
    """Return the output with its encoder.

    Args:
        info: See `output_info`.
        encode: How it is encoded.
        rate: Pictures a second to tell; those of `info` where None.
        audio: The source's sound.

    Raises:
        SinkError: No encoder opens.
    """
    wanted = Fraction(rate) if rate else info.frame_rate or _DEFAULT_RATE
    frame_rate = wanted.limit_denominator(1001)
    encoder = _open(info, frame_rate, encode)
    return Chain(info=info, frame_rate=frame_rate, encode=encode, encoder=encoder, audio=audio)


def output_info(seen: SourceInfo | None, size: tuple[int, int] | None) -> SourceInfo:
    """Return what the output is: the source, the size that was asked for, or `DEFAULT_SIZE`.

    Args:
        seen: The source; None where it has not come.
        size: Width and height that were asked for, even.
    """
    if seen is not None and size in (None, (seen.width, seen.height)):
        return replace(seen, width=seen.width // 2 * 2, height=seen.height // 2 * 2)
    rate = None if seen is None else seen.frame_rate
    return blank_info(*(size or DEFAULT_SIZE), rate or _DEFAULT_RATE)


def sound_unit(packet: av.Packet[Any]) -> AccessUnit:
    """Return a packet of sound as outlets take it."""
    pts = 0 if packet.pts is None or packet.time_base is None else packet.pts * packet.time_base
    return AccessUnit(data=bytes(packet), pts=round(pts / CLOCK), is_key=True, medium="audio")


def _open(info: SourceInfo, frame_rate: Fraction, encode: EncodeConfig) -> LiveEncoder:
    return LiveEncoder(
        info,
        codec=encode.codec,
        width=info.width,
        height=info.height,
        frame_rate=frame_rate,
        bitrate_kbps=encode.bitrate_kbps,
        crf=encode.crf,
        preset=encode.preset,
        key_interval_s=encode.key_interval_s,
        hardware=encode.hardware,
    )
