"""`demoire doctor`: what this machine can do, found out by trying."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

from pipeline.cli.commands import Debug
from pipeline.cli.console import say

if TYPE_CHECKING:
    from engines.engine import EngineInfo
    from pipeline.cli.machine import Attempt, Cpu

EXAMPLES = ("demoire doctor", "demoire doctor > report.txt")

Probes = Sequence[tuple[str, "EngineInfo | str"]]


def doctor(debug: Debug = False) -> None:
    """Try every back end, encoder and hardware decoder, and suggest a command.

    Exit code 1 when nothing can be cleaned on this machine.
    """
    from engines.backends import probe_backends
    from pipeline.cli import machine

    processor = machine.cpu()
    _section("Versions", machine.versions().items())
    _section("Processor", _cpu_rows(processor))
    _section("GPUs", _gpu_rows())
    backends = probe_backends()
    _section("Back ends", [(name, _backend(found)) for name, found in backends])
    names = (*machine.SOFTWARE_ENCODERS, *machine.HARDWARE_ENCODERS)
    encoders = [machine.try_encoder(name) for name in names]
    _section("Encoders", _attempt_rows(encoders))
    decoders = [machine.try_hardware_decoder(name) for name in machine.hardware_devices()]
    _section("Hardware decoders", _attempt_rows(decoders))
    notes = traps(processor, backends, encoders + decoders)
    _section("Good to know", [("-", note) for note in notes])
    command = suggestion(processor, backends, encoders)
    if command is None:
        say("Nothing can be cleaned here: no back end opens; see above for the reasons.")
        raise typer.Exit(1)
    say(f"Suggested: {command}")


def suggestion(processor: Cpu, backends: Probes, encoders: Sequence[Attempt]) -> str | None:
    """Return the command that fits this machine, None when no back end opens."""
    opened = [name for name, found in backends if not isinstance(found, str)]
    if not set(opened) - {"identity"}:
        return None
    options = []
    working = {encoder.name for encoder in encoders if encoder.fault is None}
    codecs = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "av1", "ffv1": "ffv1"}
    if "libx264" not in working:
        options += [f"--codec {codecs[name]}" for name in codecs if name in working][:1]
    elif processor.cores <= 2:
        options.append("--preset fast")
    return " ".join(["demoire clean FILE", *options])


def traps(processor: Cpu, backends: Probes, codecs: Sequence[Attempt]) -> list[str]:
    """Return what is known to go wrong or slow on a machine like this, one sentence each."""
    import av

    found = []
    if int(av.__version__.partition(".")[0]) < 19:
        found.append(
            f"PyAV {av.__version__} stops every Python thread while it connects to an RTSP server"
            " to publish (PyAV 19, for Python 3.12 and later, does not)."
        )
    features = processor.features or {}
    if features and not (features["avx512_bf16"] or features["amx_bf16"]):
        found.append(
            "This CPU has no bf16 arithmetic: inference runs in f32, two to three times slower."
        )
    if processor.cores == 1:
        found.append("With one core, decoding, inference and encoding take turns.")
    working = {codec.name for codec in codecs if codec.fault is None}
    if "cuda" in working and "h264_nvenc" not in working:
        found.append("The GPU has no video encoder (data-centre GPUs do not): the CPU encodes.")
    opened = [name for name, reason in backends if not isinstance(reason, str)]
    kinds = {name.partition(" ")[0] for name in opened}
    on_gpu = {"tensorrt", "torch on cuda"}.intersection(opened)
    if "torch" in kinds and "openvino" not in kinds and not on_gpu:
        found.append("OpenVINO does not open; torch stands in for it, more slowly on a CPU.")
    return found


def _section(title: str, rows: Iterable[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    if table.rows:
        # The reasons are other programs' words; square brackets in them are no markup.
        Console().print(table, "", markup=False)


def _cpu_rows(processor: Cpu) -> list[tuple[str, str]]:
    rows = [("model", processor.model), ("usable cores", str(processor.cores))]
    if processor.features is None:
        return [*rows, ("features", "this system does not list them")]
    return rows + [(name, "yes" if has else "no") for name, has in processor.features.items()]


def _gpu_rows() -> list[tuple[str, str]]:
    """Return the numbers that `--device` takes."""
    from engines.backends.nvidia import gpu_names
    from engines.errors import EngineError

    try:
        return [(str(number), name) for number, name in enumerate(gpu_names())]
    except EngineError as error:
        return [("none", str(error))]


def _backend(found: EngineInfo | str) -> str:
    if isinstance(found, str):
        return f"no: {' '.join(found.split())}"
    return f"yes: {found.device}, {found.precision}, version {found.version}"


def _attempt_rows(attempts: Sequence[Attempt]) -> list[tuple[str, str]]:
    return [(x.name, "yes" if x.fault is None else f"no: {x.fault}") for x in attempts]
