"""`demoire export`: the network as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.commands import Debug, need_extra
from pipeline.cli.console import say

EXAMPLES = (
    "demoire export                                   writes nano.onnx",
    "demoire export --model my.safetensors -o my.onnx",
)

_NEEDED = ("torch", "safetensors", "onnx", "onnxscript")


def export(
    model: Annotated[
        str, typer.Option(help="A shipped model, or a safetensors file of ours.")
    ] = "nano",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: the model's name, .onnx.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    debug: Debug = False,
) -> None:
    """Write a network as ONNX, the one file that back ends without torch read.

    How far its values reach is measured on simulated screens first, for CPUs that multiply bytes:
    half a minute.

    Needs torch and onnx: install demoire with its extra `train`.
    """
    from pipeline.errors import SinkError

    need_extra("export", _NEEDED, extra="train")
    target = output or Path(f"{Path(model).stem}.onnx")
    if target.exists() and not overwrite:
        raise SinkError(f"{target}: exists already; choose another -o or give --overwrite")
    from engines.export import export_onnx
    from engines.models import load_network
    from engines.ranges import measure_ranges, simulated_pictures

    network = load_network(model)
    ranges = measure_ranges(network, simulated_pictures())
    try:
        export_onnx(network, target, ranges=ranges)
    except OSError as error:
        raise SinkError(f"{target}: cannot be written: {error.strerror}") from error
    say(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
