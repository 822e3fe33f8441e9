"""`demoire evaluate`: how well a network does on pairs, photos, clips or simulated pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.commands import Debug

EXAMPLES = (
    "demoire evaluate --simulated 100",
    "demoire evaluate --pairs UHDM/test --limit 50 -o uhdm/",
    "demoire evaluate --model mine.onnx --photos holiday/ --no-baselines",
    "demoire evaluate --clips recordings/ --frames 60 --smooth 0.3",
)


def evaluate(
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of pictures and their truths; the naming of LCDMoiré, FHDMi, UHDM, VDmoire"
            " and TIP2018 is known.",
        ),
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of pictures without a truth.")
    ] = None,
    clips: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of clips and their truths.")
    ] = None,
    simulated: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Simulate N filmed screens.")
    ] = None,
    model: Annotated[str, typer.Option(metavar="NAME", help="Network, or an .onnx file.")] = "nano",
    engine: Annotated[str, typer.Option(metavar="NAME", help="Back end.")] = "auto",
    out: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the reports.")
    ] = Path("evaluation"),
    limit: Annotated[int | None, typer.Option(min=1, help="Judge the first so many only.")] = None,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each clip.")] = 30,
    smooth: Annotated[
        str,
        typer.Option(
            metavar="off|auto|SECONDS",
            help="Judge clips smoothed too: after so many seconds the past counts 1/e. auto is what"
            " `demoire clean` does, off leaves it out.",
        ),
    ] = "auto",
    baselines: Annotated[
        bool,
        typer.Option(help="Also judge what people do without a network: chroma blur, FFT notch."),
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    debug: Debug = False,
) -> None:
    """Judge a network, and write evaluation.json, .md and .html (crops, worst first).

    Clips go through it as videos do, frame by frame (model) and with smoothing (smoothed), which is
    told over, or less, the former too: flicker, PSNR, and where the truth moves PSNR and ghosting,
    the share of the picture before that is still seen. Clips by `demoire simulate` are also told by
    scene. NAME.row.png shows a column of each over time.

    Moiré-band error and energy are told as output over input, below 1 is better; PSNR and SSIM as
    gains; what is kept of text and detail against the truth and over the input, 1 is best. Clean
    pictures that changed most are named. `engines/evaluate/metrics.py` defines every measure and
    names its source.
    """
    from pipeline.cli.evaluate_run import Request, run_evaluation
    from pipeline.config import load_config

    smoothing = load_config(options={"smooth.seconds": smooth}).smooth
    request = Request(
        pairs=pairs,
        photos=photos,
        clips=clips,
        simulated=simulated,
        limit=limit,
        frames=frames,
        baselines=baselines,
        # With any engine: what it would do to what is judged here.
        smoothing=smoothing.chosen(cleaned=True),
    )
    run_evaluation(request, model=model, engine=engine, out=out, overwrite=overwrite)
