"""OpenVINO, without its usage statistics: the only module that imports it.

`import openvino` reports itself to a web analytics service whenever `openvino_telemetry` can be
imported, and leaves a thread behind. Without that package it falls back to a stub of its own.
"""

import sys

# None makes the import fail; a program that has imported it already made its own choice.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402  (must follow the line above)
from openvino import opset13 as ops  # noqa: E402

__all__ = ["ops", "ov"]
