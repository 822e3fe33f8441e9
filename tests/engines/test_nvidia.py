"""Asking NVIDIA's driver, with a library in its place: the calls really cross into C."""

import shutil
import subprocess

import pytest

from engines.backends.nvidia import gpu_names
from engines.errors import EngineError

DRIVER = """
#include <stdio.h>
int cuInit(unsigned flags) { return INIT; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDeviceGet(int *device, int number) { *device = 40 + number; return 0; }
int cuDeviceGetName(char *name, int length, int device) {
    snprintf(name, length, "NVIDIA %d", device);
    return 0;
}
int cuGetErrorString(int error, const char **text) {
    *text = error == 100 ? "no CUDA-capable device is detected" : NULL;
    return 0;
}
"""


@pytest.fixture
def driver(tmp_path):
    """Return a function that makes a driver."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")

    def make(*, init=0, count=0):
        source, library = tmp_path / "cuda.c", tmp_path / f"cuda{init}-{count}.so"
        source.write_text(f"#define INIT {init}\n#define COUNT {count}\n{DRIVER}")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
        return str(library)

    return make


def test_gpus_are_named_in_the_order_of_their_numbers(driver):
    assert gpu_names(driver(count=2)) == ("NVIDIA 40", "NVIDIA 41")


def test_a_missing_driver_is_named():
    with pytest.raises(EngineError, match=r"^no NVIDIA driver \(libnothing.so.9 is not there\)$"):
        gpu_names("libnothing.so.9")


def test_what_the_driver_says_is_passed_on(driver):
    words = r"cannot be used \(cuInit: error 100, no CUDA-capable device is detected\)"
    with pytest.raises(EngineError, match=words):
        gpu_names(driver(init=100))
    with pytest.raises(EngineError, match=r"\(cuInit: error 999, unknown to it\)"):
        gpu_names(driver(init=999))


def test_a_driver_without_a_gpu_is_said_to_be_one(driver):
    with pytest.raises(EngineError, match="finds no GPU"):
        gpu_names(driver(count=0))
