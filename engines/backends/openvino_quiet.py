"""OpenVINO, without its usage statistics: the only module that imports it.

`import openvino` reports itself to a web analytics service whenever `openvino_telemetry` can be
imported, and leaves a thread behind. Without that package it falls back to a stub of its own.
"""

import sys
from functools import cache

# None makes the import fail; a program that has imported it already made its own choice.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402  (must follow the line above)
from openvino import opset13 as ops  # noqa: E402
from openvino.passes import ConstantFolding, Manager  # noqa: E402

__all__ = ["ConstantFolding", "Manager", "core", "ops", "ov"]


@cache
def core() -> ov.Core:
    """Return the process's one Core, made at the first call and never released.

    The CPU plug-in gives the thread that loads it a stack for signals, and unmaps it with the last
    Core. With several Cores, or one that another thread releases, a stack that is gone stays in
    place, and the next Ctrl-C ends the process with a segmentation fault.
    """
    return ov.Core()
