"""What a measurement ran on, in words and versions; nothing that names the machine itself.

Imports nothing heavy: what is measured may be this process's own child.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

BUSY_LOAD = 0.5
"""Load of the last minute from which figures are too low."""

CPU_FEATURES: dict[str, tuple[str, ...]] = {
    "avx2": ("avx2",),
    "avx512": ("avx512f",),
    "avx512_bf16": ("avx512_bf16",),
    "amx_bf16": ("amx_bf16",),
    "vnni": ("avx512_vnni", "avx_vnni"),
}
"""Instruction sets that matter to inference, and the flags of which any one means it."""
_FLAGS = (
    *("avx2", "avx_vnni", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni"),
    *("amx_bf16", "amx_fp16", "amx_int8"),
)
_LIBRARIES = (
    *("demoire", "av", "numpy", "openvino", "opencv-python-headless"),
    *("torch", "tensorrt", "tensorrt-cu13", "tensorrt-rtx-cu13-libs", "onnx", "nvidia-ml-py"),
)
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """The processor as the system describes it."""

    model: str
    cores: int
    """Cores this process may use."""
    features: dict[str, bool] | None
    """Instruction sets that matter here; None where the system does not list them."""
    flags: tuple[str, ...] = ()
    """The system's own names of those that it has."""


def cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Cpu:
    """Return what the system says about its processor."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        model = platform.processor() or platform.machine()
        return Cpu(model=model, cores=usable_cores(), features=None)
    fields = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
    present = set(fields.get("flags", "").split())
    features = {name: not present.isdisjoint(any_of) for name, any_of in CPU_FEATURES.items()}
    return Cpu(
        model=fields.get("model name", platform.machine()),
        cores=usable_cores(),
        features=features if present else None,
        flags=tuple(flag for flag in _FLAGS if flag in present),
    )


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def load() -> float:
    """Return how many processes wanted a core during the last minute, on average."""
    return os.getloadavg()[0]


def library_versions() -> dict[str, str]:
    """Return versions of the libraries that are installed, by the names they install under."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine_card() -> dict[str, Any]:
    """Return processor, memory, system and versions, as JSON has them."""
    processor = cpu()
    return {
        "cpu": processor.model,
        "flags": list(processor.flags),
        "cores": processor.cores,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": library_versions(),
        "ffmpeg_in_av": _ffmpeg_in_av(),
        "commit": commit(),
    }


def commit(root: Path = _ROOT) -> str | None:
    """Return the commit that runs, marked when the code differs from it; None outside a clone."""
    git = ("git", "-C", str(root))
    try:
        # What is installed may lie within a clone of something else.
        top = subprocess.check_output(
            [*git, "rev-parse", "--show-toplevel"], text=True, stderr=subprocess.DEVNULL
        ).strip()
        if Path(top).resolve() != root.resolve():
            return None
        head = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
        changed = subprocess.check_output(
            [*git, "status", "--porcelain", "--", "pipeline", "engines"], text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head} with changes" if changed.strip() else head


def _ffmpeg_in_av() -> str:
    import av  # heavy: the card is made when all children are done

    return str(av.ffmpeg_version_info)
