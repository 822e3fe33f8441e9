"""What this machine can really do: everything is found out by trying it once."""

from __future__ import annotations

import io
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import av
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.error import FFmpegError

from pipeline.bench.machine import Cpu as Cpu
from pipeline.bench.machine import cpu as cpu
from pipeline.bench.machine import library_versions
from pipeline.sinks.hardware import HARDWARE
from pipeline.sinks.scheduling import scheduled_as_before

WIDTH, HEIGHT = 320, 240  # Hardware encoders refuse smaller pictures.

SOFTWARE_ENCODERS = ("libx264", "libx265", "libsvtav1", "prores_ks", "ffv1")
HARDWARE_ENCODERS = tuple(kind.encoder(codec) for kind in HARDWARE for codec in kind.codecs)

_PIXEL_FORMATS = {"prores_ks": "yuv422p10le", "libsvtav1": "yuv420p10le"}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Something that was tried."""

    name: str
    fault: str | None
    """Why it does not work; None where it does."""


def versions() -> dict[str, str]:
    """Return versions of Python, FFmpeg's codecs and the libraries that are installed."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    codec = av.library_versions["libavcodec"]
    return found | library_versions() | {"libavcodec": ".".join(str(part) for part in codec)}


def try_encoder(name: str) -> Attempt:
    """Encode one grey picture."""
    return _attempt(name, lambda: _encoded(name))


def try_hardware_decoder(device: str) -> Attempt:
    """Decode one H.264 picture on `device`, without letting software step in."""
    _clip()  # Made first, so that its own faults are not taken for the decoder's.
    return _attempt(device, lambda: _decoded(device))


def hardware_devices() -> list[str]:
    """Return the kinds of hardware decoder that FFmpeg was built with."""
    return sorted(hwdevices_available())


def _attempt(name: str, action: Callable[[], None]) -> Attempt:
    """Run `action` and say what FFmpeg or the library said when it failed."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as log, _silent_stderr(), scheduled_as_before():
            action()
    except av.codec.codec.UnknownCodecError:
        return Attempt(name=name, fault="not in this build of FFmpeg")
    except (FFmpegError, OSError, RuntimeError, ValueError) as error:
        # The first thing FFmpeg logs is the cause; the error itself is often only its number.
        said = [message.strip() for _, _, message in log if message.strip()]
        return Attempt(name=name, fault=(said or [str(error)])[0])
    finally:
        av.logging.set_level(level)
    return Attempt(name=name, fault=None)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send file descriptor 2 nowhere: SVT-AV1 and x265 write to it whatever they are told."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _decoded(device: str) -> None:
    acceleration = HWAccel(device, allow_software_fallback=False)
    with av.open(io.BytesIO(_clip()), "r", hwaccel=acceleration) as container:
        if not list(container.decode(video=0)):
            raise ValueError("gave no picture")


def _encoded(name: str) -> None:
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = WIDTH, HEIGHT
    context.pix_fmt = "nv12" if name.endswith("_qsv") else _PIXEL_FORMATS.get(name, "yuv420p")
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    if not [*context.encode(_picture(context.pix_fmt)), *context.encode(None)]:
        raise ValueError("gave no data for one picture")


def _picture(pixel_format: str) -> av.VideoFrame:
    frame = av.VideoFrame(WIDTH, HEIGHT, pixel_format)
    for plane in frame.planes:
        plane.update(b"\x01" * plane.buffer_size)
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    return frame


@cache
def _clip() -> bytes:
    """Return one picture as an H.264 file."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        container.mux(stream.encode(_picture("yuv420p")))
        container.mux(stream.encode(None))
    return file.getvalue()
