"""Hardware encoders: which there are, how they are told what to do, and whether one really works.

Files and live streams ask the same question with other options. Only what this machine has was run:
no hardware encoder at all, so every option here is from FFmpeg's documentation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av.codec import Codec, CodecContext
from av.codec.codec import UnknownCodecError
from av.error import FFmpegError
from av.video.frame import VideoFrame

from pipeline.errors import ConfigError, SinkError
from pipeline.ffmpeg_log import error_log, reason
from pipeline.sinks.codecs import (
    Encoding,
    VideoCodec,
    choose_encoding,
    encoder_options,
    find_codec,
    tag,
)

if TYPE_CHECKING:
    from pipeline.media import SourceInfo

log = logging.getLogger(__name__)

CODECS_IN_HARDWARE = ("h264", "hevc", "av1")
_TRIAL_PICTURES = 3
_DEFAULT_RATE = Fraction(25)


@dataclass(frozen=True, kw_only=True)
class HardwareKind:
    """A family of encoders."""

    suffix: str
    """After `h264_`, `hevc_` or `av1_`, in FFmpeg's names."""
    codecs: tuple[str, ...] = ("h264", "hevc")
    """Those whose qualities are on the scale of `--crf`."""
    formats: Mapping[int, str]
    """Pixel format by bits per sample."""
    at_once: Mapping[str, str]
    """Options for a stream of which nothing is held back."""
    at_best: Mapping[str, str] = field(default_factory=dict)
    """Options for a file."""
    quality: Mapping[str, str] = field(default_factory=dict)
    """Options for a constant quality, `{}` for its number; none where it only knows rates."""

    def encoder(self, codec: str) -> str:
        """Return FFmpeg's name of the encoder."""
        return f"{codec}_{self.suffix}"


HARDWARE = (
    HardwareKind(
        suffix="nvenc",
        codecs=("h264", "hevc", "av1"),
        formats={8: "yuv420p", 10: "p010le"},
        at_once={"preset": "p3", "tune": "ull", "zerolatency": "1", "delay": "0", "bf": "0",
                 "forced-idr": "1", "no-scenecut": "1"},
        at_best={"preset": "p5", "tune": "hq", "spatial-aq": "1", "g": "250"},
        quality={"rc": "vbr", "cq": "{}"},
    ),
    HardwareKind(
        suffix="qsv",
        codecs=("h264", "hevc", "av1"),
        formats={8: "nv12", 10: "p010le"},
        at_once={"preset": "veryfast", "async_depth": "1", "bf": "0", "forced_idr": "1"},
        at_best={"preset": "slow", "g": "250"},
        quality={"global_quality": "{}"},
    ),
    HardwareKind(
        suffix="amf",
        formats={8: "nv12", 10: "p010le"},
        at_once={"usage": "lowlatency", "quality": "speed", "bf": "0", "forced_idr": "1",
                 "header_insertion_mode": "idr"},
        at_best={"usage": "transcoding", "quality": "quality", "bf": "0", "g": "250"},
        quality={"rc": "cqp", "qp_i": "{}", "qp_p": "{}"},
    ),
    HardwareKind(suffix="v4l2m2m", formats={8: "yuv420p"}, at_once={"bf": "0"}),
)  # fmt: skip
"""In the order in which `auto` tries them; each has to prove that it does what is needed."""


def first_that_works(
    codec: str, hardware: str, refusal: Callable[[str, HardwareKind], str]
) -> tuple[HardwareKind | None, dict[str, str]]:
    """Return the kind of encoder to use, None for software, and why not those before it.

    Args:
        codec: `h264`, `hevc` or `av1`.
        hardware: `auto` for the first that works, or else software; `off` for software; a name,
            `nvenc` or `h264_nvenc`, for that one.
        refusal: Tries an encoder by its name; says why it cannot be used, or nothing.

    Raises:
        ConfigError: There is no such encoder.
        SinkError: The one that was named does not work.
    """
    wanted = hardware.removeprefix(f"{codec}_")
    kinds = [kind for kind in HARDWARE if wanted in ("auto", kind.suffix)]
    if not kinds and wanted != "off":
        names = ", ".join(kind.suffix for kind in HARDWARE)
        raise ConfigError(f"encoder hardware must be auto, off or one of {names}, got {hardware!r}")
    refused: dict[str, str] = {}
    for kind in kinds:
        name = kind.encoder(codec)
        because = _missing(name) or refusal(name, kind)
        if not because:
            return kind, refused
        log.debug("encoder %s is not used: %s", name, because)
        refused[name] = because
    if wanted not in ("auto", "off"):
        ((name, because),) = refused.items()
        raise SinkError(f"encoder {name} does not work here: {because}; choose auto or off")
    return None, refused


def _missing(name: str) -> str:
    try:
        Codec(name, "w")
    except UnknownCodecError:
        return "not in this PyAV"
    return ""


@dataclass(frozen=True, kw_only=True)
class EncoderChoice:
    """How a file's picture is encoded."""

    codec: VideoCodec
    encoding: Encoding
    options: dict[str, str]


def choose_encoder(
    name: str, info: SourceInfo, *, hardware: str, crf: int | None, preset: str | None
) -> EncoderChoice:
    """Return the encoder of a file, in hardware where that is wanted and really works.

    Args:
        name: Key in `CODECS`.
        info: The source.
        hardware: See `first_that_works`.
        crf: Constant quality, whose numbers mean much the same to hardware; None for the codec's
            usual one.
        preset: The software encoder's speed; hardware has its own.

    Raises:
        ConfigError: Codec or hardware is unknown, or lacks a setting that was given.
        SinkError: The encoder is missing, does not work, or would lose depth or colour.
    """
    software = find_codec(name)
    kind, refused = _in_hardware(name, info, hardware, crf)
    if kind is not None:
        choice = _hardware_choice(name, info, kind, crf)
        settings = " ".join(f"{key}={value}" for key, value in choice.options.items())
        unused = f"; preset {preset} is of {software.encoder}" if preset else ""
        log.info("%s encodes: %s%s", choice.codec.encoder, settings, unused)
        return choice
    if refused:
        reasons = "; ".join(f"{one}: {because}" for one, because in refused.items())
        log.info("%s encodes, no hardware does: %s", software.encoder, reasons)
    encoding = choose_encoding(name, software, info)
    options = encoder_options(software, info, crf=crf, preset=preset)
    return EncoderChoice(codec=software, encoding=encoding, options=options)


def _in_hardware(
    name: str, info: SourceInfo, hardware: str, crf: int | None
) -> tuple[HardwareKind | None, dict[str, str]]:
    if name not in CODECS_IN_HARDWARE:
        if hardware in ("auto", "off"):
            return None, {}
        names = ", ".join(CODECS_IN_HARDWARE)
        raise ConfigError(f"--hardware {hardware}: encodes {names}, not {name}; leave it out")

    def refusal(_: str, kind: HardwareKind) -> str:
        return _refusal(name, info, kind, crf)

    return first_that_works(name, hardware, refusal)


def _hardware_choice(
    name: str, info: SourceInfo, kind: HardwareKind, crf: int | None
) -> EncoderChoice:
    """Raises `SinkError` where it would lose depth or colour."""
    software = find_codec(name)
    codec = VideoCodec(
        encoder=kind.encoder(name),
        crf=software.crf,
        quality=kind.quality,
        options=dict(kind.at_best),
        formats=tuple(kind.formats.values()),
        even_only=True,
    )
    encoding = choose_encoding(name, codec, info)
    options = encoder_options(codec, info, crf=crf, preset=None)
    return EncoderChoice(codec=codec, encoding=encoding, options=options)


def _refusal(name: str, info: SourceInfo, kind: HardwareKind, crf: int | None) -> str:
    """Say why an encoder cannot be used for a file; nothing if it can, which it has shown."""
    if not kind.quality or name not in kind.codecs:
        return f"it knows no constant quality of {name}'s"
    if info.mastering_display or info.content_light:
        return "it cannot be told the HDR mastering data"
    try:
        choice = _hardware_choice(name, info, kind, crf)
    except SinkError as error:
        return str(error)
    with error_log() as said:
        try:
            return _trial(choice, info)
        except (FFmpegError, OSError, ValueError) as error:
            return reason(error, said)


def _trial(choice: EncoderChoice, info: SourceInfo) -> str:
    """Encode a few black pictures; say what is wrong with what comes out.

    Raises:
        FFmpegError: The encoder does not open, or fails.
    """
    rate = info.frame_rate or _DEFAULT_RATE
    context: Any = CodecContext.create(choice.codec.encoder, "w")
    tag(context, choice.encoding, info)
    context.time_base, context.framerate = 1 / rate, rate
    context.options = choice.options
    packets = []
    for number in range(_TRIAL_PICTURES):
        picture = VideoFrame(info.width, info.height, choice.encoding.pixel_format)
        for plane in picture.planes:
            plane.update(bytes(plane.buffer_size))
        picture.pts, picture.time_base = number, 1 / rate
        packets += context.encode(picture)
    packets += context.encode(None)
    if len(packets) != _TRIAL_PICTURES or not any(packet.is_keyframe for packet in packets):
        return f"it makes {len(packets)} pictures of {_TRIAL_PICTURES}, or none to begin with"
    return ""
