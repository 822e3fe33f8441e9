"""Whether there is an NVIDIA GPU: asked of its driver, without what takes seconds to import."""

from __future__ import annotations

import ctypes

from engines.errors import EngineError

_DRIVER = "libcuda.so.1"
_SUCCESS = 0
_NAME_BYTES = 256


def gpu_names(driver: str = _DRIVER) -> tuple[str, ...]:
    """Return the name of each GPU, in the order of their numbers.

    Args:
        driver: The driver's library.

    Raises:
        EngineError: There is none; the message says what is missing.
    """
    try:
        cuda = ctypes.CDLL(driver)
    except OSError as error:
        raise EngineError(f"no NVIDIA driver ({driver} is not there)") from error
    _check(cuda, "cuInit", cuda.cuInit(0))
    count = ctypes.c_int()
    _check(cuda, "cuDeviceGetCount", cuda.cuDeviceGetCount(ctypes.byref(count)))
    if not count.value:
        raise EngineError("the NVIDIA driver finds no GPU")
    return tuple(_name(cuda, number) for number in range(count.value))


def _name(cuda: ctypes.CDLL, number: int) -> str:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    _check(cuda, "cuDeviceGet", cuda.cuDeviceGet(ctypes.byref(device), number))
    _check(cuda, "cuDeviceGetName", cuda.cuDeviceGetName(name, _NAME_BYTES, device))
    return name.value.decode(errors="replace")


def _check(cuda: ctypes.CDLL, call: str, status: int) -> None:
    """Raise with the driver's own words unless a call went well."""
    if status == _SUCCESS:
        return
    text = ctypes.c_char_p()
    cuda.cuGetErrorString(status, ctypes.byref(text))
    reason = text.value.decode(errors="replace") if text.value else "unknown to it"
    raise EngineError(f"the NVIDIA driver cannot be used ({call}: error {status}, {reason})")
