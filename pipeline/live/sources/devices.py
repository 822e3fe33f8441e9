"""Cameras on this machine (V4L2) and its own screen (X11)."""

from __future__ import annotations

import os
import re
import select
import threading
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.live.sources.cameras import list_cameras
from pipeline.live.sources.container import ContainerSource, Opening
from pipeline.live.sources.contract import POLL_S, LiveOptions

_DESCRIPTORS = Path("/proc/self/fd")
_SCREEN_RATE = 30.0
_DISPLAY = ":0.0"


def open_camera(
    spec: str, options: LiveOptions, stop: threading.Event, since_s: float
) -> ContainerSource:
    """Open `/dev/videoN` or `usb:N`, with the size, rate and pixel format of `options`.

    Raises:
        SourceError: There is no such camera, or it cannot do that.
    """
    device = _device(spec)
    if not Path(device).exists():
        found = ", ".join(f"{one.device} ({one.name})" for one in list_cameras())
        raise SourceError(f"{spec}: there is no {device}; cameras here: {found or 'none'}")
    chosen = _asked(options)
    if options.pixel_format is not None:
        chosen["input_format"] = options.pixel_format
    opening = Opening(
        url=spec,
        target=device,
        format="v4l2",
        hint="see that nothing else uses it and that it has this size, rate and pixel format",
        options={**chosen, "fflags": "nobuffer", "flags": "low_delay"},
        ready=readable(device),
    )
    return ContainerSource(opening, options, stop)


def open_screen(
    spec: str, options: LiveOptions, stop: threading.Event, since_s: float
) -> ContainerSource:
    """Open `screen:` (the display of this session, or `:0.0`) or `screen::1.0`."""
    display = spec.partition(":")[2].removeprefix("//")
    chosen = {"framerate": f"{options.rate or _SCREEN_RATE:g}", **_asked(options)}
    opening = Opening(
        url=spec,
        target=display or os.environ.get("DISPLAY") or _DISPLAY,
        format="x11grab",
        hint="see that an X server runs there and lets us in; write screen::0.0",
        options=chosen,
    )
    return ContainerSource(opening, options, stop)


def readable(device: str) -> Callable[[], bool]:
    """Return a function that waits up to `POLL_S` for a picture of an open device.

    FFmpeg waits for the next picture for as long as it takes: a camera that freezes would freeze
    its reader. Its descriptor is found the first time that the function is called.
    """
    found: list[int] = []

    def wait() -> bool:
        if not found:
            found.extend(descriptors_of(device)[:1])
        return not found or bool(select.select(found, (), (), POLL_S)[0])

    return wait


def descriptors_of(path: str) -> list[int]:
    """Return this process's descriptors of a file or device, in ascending order."""
    wanted = os.path.realpath(path)
    found = []
    for entry in sorted(_DESCRIPTORS.iterdir(), key=lambda one: int(one.name)):
        try:
            target = os.readlink(entry)
        except OSError:  # that of the listing itself is gone by now
            continue
        if target == wanted:
            found.append(int(entry.name))
    return found


def _device(spec: str) -> str:
    scheme, _, number = spec.partition(":")
    if scheme.lower() != "usb":
        return spec
    number = number.removeprefix("//")
    if not re.fullmatch(r"\d+", number):
        raise SourceError(f"{spec}: a camera has a number; write usb:0")
    return f"/dev/video{number}"


def _asked(options: LiveOptions) -> dict[str, str]:
    """Return size and rate as FFmpeg's devices want them."""
    asked = {}
    if options.size is not None:
        asked["video_size"] = f"{options.size[0]}x{options.size[1]}"
    if options.rate is not None:
        asked["framerate"] = f"{options.rate:g}"
    return asked
