"""A GPU's primary context, which FFmpeg has to share with whoever takes its pictures.

FFmpeg can open that context itself, but refuses where somebody else has opened it with other flags,
as PyTorch and `cuda.core` do. So it is opened here, and FFmpeg is told to use the current one.
Run on an H200.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

DRIVER = "libcuda.so.1"

FFMPEG_OPTIONS = {"primary_ctx": "0", "current_ctx": "1"}
"""What `HWAccel` is told."""

_BLOCKING_SYNC = 4
"""CU_CTX_SCHED_BLOCKING_SYNC: whoever waits sleeps, and leaves the core to others."""


class CudaFaultError(Exception):
    """The driver refuses; the message has its words."""


@contextmanager
def primary_context(device: int, *, driver: str = DRIVER) -> Iterator[None]:
    """Make a GPU's primary context the calling thread's for as long as the block lasts.

    The context itself stays: pictures live in it. Without a driver nothing happens, and FFmpeg says
    so itself.

    Args:
        device: The GPU's number.
        driver: The driver's library.

    Raises:
        CudaFaultError: There is no such GPU, or it cannot be used.
    """
    try:
        cuda = ctypes.CDLL(driver)
    except OSError:
        yield
        return
    context = _retained(cuda, device)
    _check(cuda, "cuCtxPushCurrent", cuda.cuCtxPushCurrent_v2(context))
    try:
        yield
    finally:
        cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))


def _retained(cuda: ctypes.CDLL, number: int) -> ctypes.c_void_p:
    """Return the primary context, opened where it was not."""
    _check(cuda, "cuInit", cuda.cuInit(0))
    device, context = ctypes.c_int(), ctypes.c_void_p()
    _check(cuda, "cuDeviceGet", cuda.cuDeviceGet(ctypes.byref(device), number))
    # Whoever opened it may have chosen otherwise; it works that way, too.
    cuda.cuDevicePrimaryCtxSetFlags_v2(device, _BLOCKING_SYNC)
    status = cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
    _check(cuda, "cuDevicePrimaryCtxRetain", status)
    return context


def _check(cuda: ctypes.CDLL, call: str, status: int) -> None:
    if status == 0:
        return
    text = ctypes.c_char_p()
    cuda.cuGetErrorString(status, ctypes.byref(text))
    reason = text.value.decode(errors="replace") if text.value else f"error {status}"
    raise CudaFaultError(f"{call}: {reason}")
