"""The `demoire` command.

Everything heavy is imported inside the commands: asking for help costs no NumPy, no FFmpeg and no
network.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline import __version__
from pipeline.cli import (
    bench,
    clean,
    demo,
    doctor,
    engines,
    evaluate,
    export,
    live,
    presets,
    simulate,
    train,
)
from pipeline.cli.commands import Commands, add_command
from pipeline.cli.console import say

app = typer.Typer(
    name="demoire",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    # Tracebacks with local variables would print whole pictures.
    pretty_exceptions_enable=False,
)

for _module, _command in (
    (clean, clean.clean),
    (live, live.live),
    (demo, demo.demo),
    (doctor, doctor.doctor),
    (presets, presets.presets),
    (evaluate, evaluate.evaluate),
    (export, export.export),
    (simulate, simulate.simulate),
    (train, train.train),
):
    add_command(app, _command, _module.EXAMPLES)
add_command(app, live.cameras, live.CAMERAS_EXAMPLES)
app.add_typer(engines.app, name="engines")
app.add_typer(bench.app, name="bench")


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"demoire {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    """Remove moiré, the rainbow fringes of a filmed screen, from video and photos."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    app(prog_name="demoire")
