"""The cameras of a Linux machine, and what they can do."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

_CAPTURE = 1
"""V4L2_BUF_TYPE_VIDEO_CAPTURE."""
_CAP_VIDEO_CAPTURE = 0x1
_CAP_DEVICE_CAPS = 0x8000_0000
_DISCRETE = 1
_MOST = 64
"""Entries asked for of each list: a driver that never ends its lists must not hang us."""


def _request(direction: int, number: int, size: int) -> int:
    """Return an ioctl's code, as Linux's `_IOR` and `_IOWR` compute it."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


_READ, _READ_WRITE = 2, 3
_QUERYCAP = _request(_READ, 0, 104)
_ENUM_FMT = _request(_READ_WRITE, 2, 64)
_ENUM_FRAMESIZES = _request(_READ_WRITE, 74, 44)
_ENUM_FRAMEINTERVALS = _request(_READ_WRITE, 75, 52)

Ioctl = Callable[[int, int, bytearray], object]
"""`fcntl.ioctl`, which writes its answer into the buffer."""


@dataclass(frozen=True, kw_only=True)
class CameraMode:
    """One way in which a camera sends pictures."""

    pixel_format: str
    """The driver's four letters: `MJPG`, `YUYV`."""
    size: tuple[int, int]
    rates: tuple[Fraction, ...]
    """Pictures a second, of those that are listed one by one."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera that is plugged in."""

    device: Path
    name: str
    modes: tuple[CameraMode, ...] = ()
    """What it offers, in the driver's order; empty where it cannot be asked."""


def list_cameras(
    sysfs: Path = Path("/sys/class/video4linux"), dev: Path = Path("/dev")
) -> list[Camera]:
    """Return the cameras of this machine, by number; empty where there are none.

    A node that says of itself that it captures no pictures (metadata, outputs) is left out. One
    that cannot be opened is in the list, without modes.

    Args:
        sysfs: Folder with an entry for each video device.
        dev: Folder with the devices.
    """
    if not sysfs.is_dir():
        return []
    cameras = []
    for entry in sorted(sysfs.glob("video*"), key=_number):
        device = dev / entry.name
        modes = _modes(device) if device.exists() else None
        if modes is not None:
            cameras.append(Camera(device=device, name=_name(entry), modes=tuple(modes)))
    return cameras


def _number(entry: Path) -> tuple[int, str]:
    found = re.search(r"\d+$", entry.name)
    return (int(found[0]) if found else -1, entry.name)


def _name(entry: Path) -> str:
    try:
        return (entry / "name").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return entry.name


def _modes(device: Path) -> list[CameraMode] | None:
    """Return a device's modes: none where it cannot be asked, None where it is no camera."""
    try:
        import fcntl
    except ImportError:  # not a Unix
        return []
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return capture_modes(descriptor, fcntl.ioctl)
    finally:
        os.close(descriptor)


def capture_modes(descriptor: int, ioctl: Ioctl) -> list[CameraMode] | None:
    """Return the modes of an open video device, or None where it captures no pictures.

    Args:
        descriptor: Of the device.
        ioctl: Asks it.
    """
    capability = bytearray(104)
    try:
        ioctl(descriptor, _QUERYCAP, capability)
    except OSError:
        return []
    # struct v4l2_capability: 80 bytes of names, the version, and from byte 84 on the capabilities
    # of all nodes of the camera and those of this one.
    everything, this_node = struct.unpack_from("=II", capability, 84)
    able = this_node if everything & _CAP_DEVICE_CAPS else everything
    if not able & _CAP_VIDEO_CAPTURE:
        return None
    return list(_offered(descriptor, ioctl))


def _offered(descriptor: int, ioctl: Ioctl) -> Iterator[CameraMode]:
    # struct v4l2_fmtdesc: index, type, flags, description[32], pixelformat, mbus_code, reserved[3]
    for form in _listed(descriptor, ioctl, _ENUM_FMT, 64, "=II", _CAPTURE):
        (code,) = struct.unpack_from("=I", form, 44)
        # struct v4l2_frmsizeenum: index, pixel_format, type, then width and height or a range
        for size in _listed(descriptor, ioctl, _ENUM_FRAMESIZES, 44, "=II", code):
            # Discrete: width, height. Else least, most and step of both: the most is named.
            discrete = struct.unpack_from("=I", size, 8)[0] == _DISCRETE
            width, height = struct.unpack_from("=II" if discrete else "=4xI8xI", size, 12)
            rates = tuple(_rates(descriptor, ioctl, code, width, height))
            letters = (code & 0x7FFF_FFFF).to_bytes(4, "little").decode("ascii", "replace")
            yield CameraMode(pixel_format=letters.strip(), size=(width, height), rates=rates)


def _rates(descriptor: int, ioctl: Ioctl, code: int, width: int, height: int) -> Iterator[Fraction]:
    # struct v4l2_frmivalenum: index, pixel_format, width, height, type, then seconds as a fraction
    for interval in _listed(
        descriptor, ioctl, _ENUM_FRAMEINTERVALS, 52, "=IIII", code, width, height
    ):
        kind, numerator, denominator = struct.unpack_from("=III", interval, 16)
        if kind == _DISCRETE and numerator:
            yield Fraction(denominator, numerator)


def _listed(
    descriptor: int, ioctl: Ioctl, request: int, size: int, layout: str, *values: int
) -> Iterator[bytearray]:
    """Yield the answers to a request by index, until the driver says that there are no more."""
    for index in range(_MOST):
        buffer = bytearray(size)
        struct.pack_into(layout, buffer, 0, index, *values)
        try:
            ioctl(descriptor, request, buffer)
        except OSError:
            return
        yield buffer
