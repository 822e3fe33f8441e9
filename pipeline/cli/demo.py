"""`demoire demo`: see it work without a clip of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.commands import Debug
from pipeline.cli.options import even_size

EXAMPLES = (
    "demoire demo",
    "demoire demo --out /tmp/demo --seed 7",
    "demoire demo --seconds 1 --size 640x360",
)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the clips and the picture.")] = Path(
        "demoire-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another screen.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Length of the clip.")] = 3.0,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of the clip.")] = "960x540",
    engine: Annotated[str, typer.Option(metavar="NAME", help="Back end.")] = "auto",
    model: Annotated[str, typer.Option(metavar="NAME", help="Network.")] = "nano",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    debug: Debug = False,
) -> None:
    """Film a simulated screen, clean it, and say what changed.

    Everything is made here, nothing is downloaded: before.mp4 (with sound), after.mp4, both in one
    picture as after.compare.mp4 and after.compare.png, and a table. It takes a minute or two.
    """
    from pipeline.cli.demo_run import Demo, run_demo

    width, height = even_size(size)
    wanted = Demo(out=out, seed=seed, seconds=seconds, width=width, height=height)
    code = run_demo(wanted, engine=engine, model=model, overwrite=overwrite)
    if code:
        raise typer.Exit(code)
