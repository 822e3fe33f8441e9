"""What NVIDIA's management library says about GPUs: names, driver, memory, power.

Everything here works, and says why it has nothing to tell, without the library and without a
driver. Names and memory were read on an H200; what is watched meanwhile was not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from statistics import fmean
from types import TracebackType
from typing import Any, Literal, Self

from pipeline.bench.result import Gpu, GpuUse

_MEGABYTE = 1_000_000
_EVERY_S = 0.1
_INSTALL = "not readable: pip install nvidia-ml-py"


class GpuUnreadableError(Exception):
    """There is nothing to read, for the reason that the message gives."""


@dataclass(frozen=True)
class Reading:
    """One GPU at one moment."""

    memory_mb: float | None
    """Held by all processes together; None where the GPU has no memory of its own to tell of."""
    power_w: float | None
    """None where the GPU does not measure it."""


class GpuReader:
    """Reads all GPUs that the driver shows.

    Args:
        nvml: The module `pynvml`; imported where not given.

    Raises:
        GpuUnreadableError: It is not installed, there is no driver, or no GPU.
    """

    def __init__(self, nvml: Any = None) -> None:  # noqa: ANN401 (a module without types)
        self._nvml = _imported() if nvml is None else nvml
        try:
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
            self._handles = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
        except self._nvml.NVMLError as error:
            raise GpuUnreadableError(f"not readable: {error}") from error
        if not self._handles:
            raise GpuUnreadableError("the driver shows no GPU")

    def cards(self) -> list[Gpu]:
        """Return what does not change."""
        driver = _text(self._nvml.nvmlSystemGetDriverVersion())
        return [
            Gpu(
                name=_text(self._nvml.nvmlDeviceGetName(handle)),
                memory_mb=self._memory_mb(handle, "total"),
                driver=driver,
            )
            for handle in self._handles
        ]

    def read(self) -> list[Reading]:
        """Return what each is at now."""
        return [
            Reading(self._memory_mb(handle, "used"), self._power_w(handle))
            for handle in self._handles
        ]

    def _memory_mb(self, handle: object, which: Literal["total", "used"]) -> float | None:
        try:
            info = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        except self._nvml.NVMLError:  # what shares the host's memory does not tell
            return None
        return float(getattr(info, which)) / _MEGABYTE

    def _power_w(self, handle: object) -> float | None:
        try:
            return float(self._nvml.nvmlDeviceGetPowerUsage(handle)) / 1000
        except self._nvml.NVMLError:  # laptops' and virtual GPUs do not tell
            return None


class GpuWatch:
    """Reads all GPUs ten times a second, in a thread, until it is left.

    Args:
        read: Returns what each GPU is at.
        every_s: Seconds between two readings.
    """

    def __init__(self, read: Callable[[], list[Reading]], *, every_s: float = _EVERY_S) -> None:
        self._read = read
        self._every_s = every_s
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="demoire-bench-gpu", daemon=True)
        self._readings: list[list[Reading]] = []

    def __enter__(self) -> Self:
        self._readings = [self._read()]
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()
        self._thread.join()
        self._readings.append(self._read())

    def uses(self) -> list[GpuUse]:
        """Return what each GPU was at, from the first reading to the last."""
        return [_use(list(of_one)) for of_one in zip(*self._readings, strict=True)]

    def _watch(self) -> None:
        while not self._left.wait(self._every_s):
            self._readings.append(self._read())


def busiest(uses: list[GpuUse]) -> GpuUse:
    """Return the use of the GPU that was at work: whose memory grew most, or that took most."""
    return max(uses, key=lambda use: (use.memory_growth_mb or 0.0, use.power_w or 0.0))


def _use(readings: list[Reading]) -> GpuUse:
    memory = [reading.memory_mb for reading in readings if reading.memory_mb is not None]
    power = [reading.power_w for reading in readings if reading.power_w is not None]
    return GpuUse(
        memory_peak_mb=max(memory, default=None),
        memory_growth_mb=max(memory) - memory[0] if memory else None,
        power_w=fmean(power) if power else None,
        power_peak_w=max(power, default=None),
    )


def _imported() -> Any:  # noqa: ANN401 (a module without types)
    try:
        return import_module("pynvml")
    except ImportError as error:
        raise GpuUnreadableError(_INSTALL) from error


def _text(value: str | bytes) -> str:
    """Older releases of the library give bytes."""
    return value.decode() if isinstance(value, bytes) else value
