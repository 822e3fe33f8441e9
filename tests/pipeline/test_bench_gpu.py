"""What is read of GPUs, against a hand-written management library; none of it ran on a GPU."""

import threading
from types import SimpleNamespace

import pytest

from pipeline.bench import gpu
from pipeline.bench.gpu import GpuReader, GpuUnreadableError, GpuWatch, Reading, busiest
from pipeline.bench.result import GpuUse
from pipeline.bench.session import read_gpus


class NvmlError(Exception):
    pass


class Nvml:
    """Two GPUs: one as they should be, one that keeps memory and power to itself."""

    NVMLError = NvmlError

    def __init__(self, count=2, fault=None):
        self._count, self._fault = count, fault

    def nvmlInit(self):  # noqa: N802
        if self._fault:
            raise NvmlError(self._fault)

    def nvmlDeviceGetCount(self):  # noqa: N802
        return self._count

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return b"590.1"

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return f"GPU {handle}"

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802
        self._answer(handle)
        return SimpleNamespace(total=80e9, used=3e9)

    def nvmlDeviceGetPowerUsage(self, handle):  # noqa: N802
        self._answer(handle)
        return 120_500

    def _answer(self, handle):
        if handle == 1:
            raise NvmlError("Not Supported")


def test_cards_tell_name_memory_and_driver():
    first, second = GpuReader(Nvml()).cards()
    assert (first.name, first.memory_mb, first.driver) == ("GPU 0", 80_000, "590.1")
    assert (second.name, second.memory_mb) == ("GPU 1", None)


def test_what_a_gpu_does_not_tell_is_none():
    assert GpuReader(Nvml()).read() == [Reading(3000, 120.5), Reading(None, None)]


@pytest.mark.parametrize(
    ("nvml", "reason"),
    [(Nvml(fault="Driver Not Loaded"), "Driver Not Loaded"), (Nvml(count=0), "shows no GPU")],
)
def test_no_driver_and_no_gpu_are_reasons(nvml, reason):
    with pytest.raises(GpuUnreadableError, match=reason):
        GpuReader(nvml)


def test_missing_library_says_how_to_install_it(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(gpu, "import_module", missing)
    assert read_gpus() == (None, "not readable: pip install nvidia-ml-py")


def test_this_machine_s_gpus_are_told_or_a_reason_is():
    gpus, reason = read_gpus()
    assert (gpus is None) != (reason is None)


def test_watch_tells_peak_growth_and_mean_of_all_readings():
    readings = iter([(100.0, 50.0), (400.0, 150.0), (300.0, 100.0)])
    taken = threading.Event()

    def read():
        memory, power = next(readings, (300.0, 100.0))
        if memory == 300:
            taken.set()
        return [Reading(memory, power)]

    with GpuWatch(read, every_s=0.001) as watch:
        assert taken.wait(10)
    (use,) = watch.uses()
    assert (use.memory_peak_mb, use.memory_growth_mb, use.power_peak_w) == (400, 300, 150)
    assert 50 < use.power_w < 150


def test_watch_reads_before_and_after_however_short_it_is():
    readings = iter([Reading(1.0, None), Reading(5.0, None)])
    with GpuWatch(lambda: [next(readings)], every_s=60) as watch:
        pass
    (use,) = watch.uses()
    assert (use.memory_peak_mb, use.memory_growth_mb, use.power_w) == (5, 4, None)


def test_busiest_is_told_by_power_where_no_memory_is_told():
    uses = [
        GpuUse(memory_peak_mb=None, memory_growth_mb=None, power_w=watts, power_peak_w=watts)
        for watts in (20.0, 90.0, 30.0)
    ]
    assert busiest(uses).power_w == 90
