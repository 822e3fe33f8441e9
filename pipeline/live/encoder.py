"""One encode for all outlets: a picture in, an access unit out, at once."""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.codec import CodecContext
from av.codec.codec import UnknownCodecError
from av.video.frame import PictureType, VideoFrame

from pipeline.errors import ConfigError, SinkError
from pipeline.frame import Frame
from pipeline.live.access import CLOCK, AccessUnit, VideoCodec, VideoTrack
from pipeline.live.events import log_event
from pipeline.media import BT709, LIMITED_RANGE, SourceInfo
from pipeline.sinks.codecs import Encoding, tag
from pipeline.sinks.hardware import HardwareKind, first_that_works
from pipeline.sinks.picture import Packer

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

log = logging.getLogger(__name__)

_START_CODE = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)
_DEFAULT_CRF: dict[VideoCodec, int] = {"h264": 23, "hevc": 26}
_BITS_PER_PIXEL = 0.1
"""Where an encoder knows no quality and nobody said a rate: 6 Mbit/s for 1080p at 30 Hz."""


_IN_SOFTWARE = HardwareKind(
    suffix="", formats={8: "yuv420p", 10: "yuv420p10le"}, at_once={}, quality={"crf": "{}"}
)
_SOFTWARE: dict[VideoCodec, str] = {"h264": "libx264", "hevc": "libx265"}
_X265 = "log-level=none:repeat-headers=1:bframes=0:scenecut=0:open-gop=0:frame-threads=1"


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """What is asked of whichever encoder there is."""

    codec: VideoCodec
    info: SourceInfo
    """With the output's size."""
    bits: int
    frame_rate: Fraction
    bitrate_kbps: int | None
    crf: int | None
    preset: str
    key_interval: int
    """In pictures."""
    threads: int


class LiveEncoder:
    """Encodes pictures without any delay: each call returns the unit of its own picture.

    Units are Annex B, with parameter sets before every key picture. Key pictures come at a fixed
    interval and on request, not at scene cuts, which would make the rate jump.

    Args:
        info: Of the pictures, for colours, bit depth and messages; its size is not looked at.
        codec: What to encode to.
        width: Of every picture, even.
        height: Of every picture, even.
        frame_rate: Pictures per second, to share out bits by.
        bitrate_kbps: Kilobits per second to aim at; with `crf`, the most there may be.
        crf: Constant quality; 23 for h264 and 26 for hevc where no rate is given either.
        preset: Speed of the software encoder.
        key_interval_s: Seconds from one key picture to the next.
        hardware: `auto` takes the first hardware encoder that works, or else software; `off`
            software; a name (`nvenc` or `h264_nvenc`) that one or none.
        threads: Of the software encoder; 0 for as many as there are cores.

    Raises:
        ConfigError: There is no such encoder or the size is odd.
        SinkError: No encoder could be opened.
    """

    def __init__(
        self,
        info: SourceInfo,
        *,
        codec: VideoCodec = "h264",
        width: int,
        height: int,
        frame_rate: Fraction,
        bitrate_kbps: int | None = None,
        crf: int | None = None,
        preset: str = "superfast",
        key_interval_s: float = 2.0,
        hardware: str = "auto",
        threads: int = 0,
    ) -> None:
        if width % 2 or height % 2:
            raise ConfigError(
                f"{info.url}: {codec} takes even sizes only, got {width}x{height}; scale to "
                f"{width // 2 * 2}x{height // 2 * 2}"
            )
        wish = _Wish(
            codec=codec,
            info=replace(info, width=width, height=height),
            bits=10 if codec == "hevc" and info.picture_format.bits > 8 else 8,
            frame_rate=frame_rate,
            bitrate_kbps=bitrate_kbps,
            crf=crf,
            preset=preset,
            key_interval=max(1, round(frame_rate * Fraction(key_interval_s))),
            threads=threads,
        )
        self.track = VideoTrack(codec=codec, width=width, height=height, frame_rate=frame_rate)
        self._size = width, height
        self._key_wanted = threading.Event()
        context, encoding = _choose(wish, hardware)
        self._context: VideoCodecContext | None = context
        self._packer = Packer(encoding.pixel_format, encoding.colour, alpha=False)
        self.name = context.name
        """FFmpeg's name of the encoder that really opened."""
        _report(self.name, wish, encoding)

    def encode(self, frame: Frame, pts: int) -> list[AccessUnit]:
        """Encode a picture; its unit is the only one that comes back.

        Args:
            frame: Of the encoder's size; a `Fitter` sees to that.
            pts: In units of `CLOCK`, above that of the picture before.

        Raises:
            SinkError: The encoder failed, or is closed.
        """
        if (frame.format.width, frame.format.height) != self._size:
            raise ValueError(f"pictures must be {self._size}, got {frame!r}; fit them first")
        if self._context is None:
            raise SinkError(f"encoder {self.name} is closed")
        picture = self._packer.picture(frame)
        picture.pts, picture.time_base, picture.duration = pts, CLOCK, 0
        picture.pict_type = PictureType.NONE
        if self._key_wanted.is_set():
            self._key_wanted.clear()
            picture.pict_type = PictureType.I
        try:
            return _encoded(self._context, picture)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SinkError(f"encoder {self.name} failed at a picture: {_words(error)}") from error

    def request_key(self) -> None:
        """Make the next picture a key picture; from any thread."""
        self._key_wanted.set()

    def close(self) -> None:
        """Give the encoder back; twice is once."""
        self._context = None


def _choose(wish: _Wish, hardware: str) -> tuple[VideoCodecContext, Encoding]:
    """Open the encoder to be used.

    Raises:
        ConfigError: There is no such encoder.
        SinkError: It could not be opened.
    """
    kind, _ = first_that_works(wish.codec, hardware, lambda name, kind: _refusal(name, kind, wish))
    if kind is None:
        return _open(_SOFTWARE[wish.codec], _IN_SOFTWARE, wish)
    return _open(kind.encoder(wish.codec), kind, wish)


def _open(name: str, kind: HardwareKind, wish: _Wish) -> tuple[VideoCodecContext, Encoding]:
    """Open an encoder.

    Raises:
        SinkError: It is missing, or refuses.
    """
    pixel_format = kind.formats.get(wish.bits, kind.formats[8])
    encoding = _encoding(pixel_format, wish.info)
    try:
        context: Any = CodecContext.create(name, "w")
        tag(context, encoding, wish.info)
        context.time_base, context.framerate = CLOCK, wish.frame_rate
        context.gop_size = wish.key_interval
        context.thread_count, context.thread_type = wish.threads, "SLICE"
        context.options = _options(name, kind, wish)
        context.open()
    except UnknownCodecError as error:
        raise SinkError(f"encoder {name} is missing from this PyAV: pip install av") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        width, height = wish.info.width, wish.info.height
        raise SinkError(
            f"encoder {name} does not open for {width}x{height} {pixel_format}: {_words(error)}; "
            "see whether preset, quality and rate are such as it takes"
        ) from error
    return context, encoding


def _options(name: str, kind: HardwareKind, wish: _Wish) -> dict[str, str]:
    options = dict(kind.at_once)
    if name == "libx264":
        # sc_threshold 0: no key pictures but those of the interval and those asked for.
        options = {"tune": "zerolatency", "forced-idr": "1", "sc_threshold": "0"}
        options["preset"] = wish.preset
    elif name == "libx265":
        pools = f":pools={wish.threads}" if wish.threads else ""
        options = {"tune": "zerolatency", "forced-idr": "1", "x265-params": _X265 + pools}
        options["preset"] = wish.preset
    crf = wish.crf
    if crf is None and wish.bitrate_kbps is None:
        crf = _DEFAULT_CRF[wish.codec]
    rate = None if wish.bitrate_kbps is None else wish.bitrate_kbps * 1000
    if crf is not None and kind.quality:
        options |= {key: value.format(crf) for key, value in kind.quality.items()}
    else:
        pixels = wish.info.width * wish.info.height * float(wish.frame_rate)
        rate = rate or round(pixels * _BITS_PER_PIXEL)
        options["b"] = str(rate)
    if rate:
        options |= {"maxrate": str(rate), "bufsize": str(rate)}
    return options


def _encoding(pixel_format: str, info: SourceInfo) -> Encoding:
    """Return what an encoder of that format is given; RGB becomes YUV, limited, by BT.709."""
    colour = info.colour
    if info.picture_format.layout == "gbr":
        colour = replace(colour, space=BT709, range=LIMITED_RANGE)
    return Encoding(pixel_format=pixel_format, colour=colour, alpha=False, note="")


def _refusal(name: str, kind: HardwareKind, wish: _Wish) -> str:
    """Say why a hardware encoder cannot be used; empty if it can, which it proves by encoding."""
    if wish.bits not in kind.formats:
        return f"it takes no pictures of {wish.bits} bits"
    try:
        context, encoding = _open(name, kind, wish)
        return _trial(context, encoding, wish)
    except (SinkError, av.error.FFmpegError, OSError, ValueError) as error:
        return str(error)


def _trial(context: VideoCodecContext, encoding: Encoding, wish: _Wish) -> str:
    """Encode key, ordinary and asked-for key picture; say what is wrong with what comes out."""
    step = round(1 / wish.frame_rate / CLOCK)
    for index, is_key in enumerate((True, False, True)):
        picture = VideoFrame(wish.info.width, wish.info.height, encoding.pixel_format)
        for plane in picture.planes:
            plane.update(bytes(plane.buffer_size))
        picture.pts, picture.time_base = index * step, CLOCK
        picture.pict_type = PictureType.I if is_key else PictureType.NONE
        units = _encoded(context, picture)
        if len(units) != 1 or units[0].pts != index * step:
            return "it holds pictures back"
        if is_key and not (units[0].is_key and starts_a_stream(units[0].data, wish.codec)):
            return "it makes no key picture on request, or none to start with"
    return ""


def _encoded(context: VideoCodecContext, picture: VideoFrame) -> list[AccessUnit]:
    return [
        AccessUnit(
            data=bytes(packet),
            pts=round(packet.pts * Fraction(*_parts(packet.time_base)) / CLOCK),
            is_key=packet.is_keyframe,
        )
        for packet in context.encode(picture)
        if packet.pts is not None
    ]


def _words(error: Exception) -> str:
    """Say what went wrong, without the call that it went wrong in."""
    return getattr(error, "strerror", None) or str(error)


def _parts(rational: Any) -> tuple[int, int]:  # noqa: ANN401 - Fraction or PyAV 19's own
    return int(rational.numerator), int(rational.denominator)


def starts_a_stream(data: bytes, codec: VideoCodec) -> bool:
    """Whether an Annex B unit brings the parameter sets that a decoder needs."""
    heads = [found[1][0] for found in _START_CODE.finditer(data)]
    if codec == "h264":
        return {7, 8} <= {head & 31 for head in heads}
    return {32, 33, 34} <= {head >> 1 & 63 for head in heads}


def _report(name: str, wish: _Wish, encoding: Encoding) -> None:
    info, note = wish.info, ""
    if info.pixel_format not in (encoding.pixel_format, "yuv420p", "yuv420p10le") or (
        info.picture_format.bits != wish.bits
    ):
        note = f"; {info.pixel_format} is sent as 4:2:0 with {wish.bits} bits"
    log_event(
        log,
        "encoder.opened",
        f"{name} encodes {info.width}x{info.height} at {float(wish.frame_rate):g} Hz{note}",
        fields={"encoder": name},
    )
