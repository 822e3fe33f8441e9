"""`demoire train`: a network from simulated or real pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.commands import Debug, need_extra
from pipeline.cli.console import say

EXAMPLES = (
    "demoire train configs/train/nano.yaml --shards shards/ --out runs/nano",
    "demoire train runs/nano/config.yaml                     goes on after Ctrl-C",
    "demoire train mine.yaml --pairs UHDM/train --set steps=30000 --minutes 60",
)

_NEEDED = ("torch", "safetensors", "tensorboardX", "PIL")


ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file, e.g. configs/train/nano.yaml.")
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="RUN_FOLDER", help="Where to write; a run found there goes on."),
]
ShardFolder = Annotated[
    Path | None,
    typer.Option("--shards", metavar="DIR", help="Folder of simulated samples."),
]
PairFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--pairs",
        metavar="DIR",
        help="Folder of pictures and their truths, named as for `demoire evaluate`. Repeatable.",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(metavar="N", help="Save and end after so long, however far it got."),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting, e.g. steps=30000; wins over the file. Repeatable.",
    ),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Only print the merged settings as YAML.")
]


def train(
    config: ConfigFile,
    out: Out = None,
    shards: ShardFolder = None,
    pairs: PairFolders = None,
    minutes: Minutes = None,
    assignments: Assignments = None,
    print_config: PrintConfig = False,
    debug: Debug = False,
) -> None:
    """Train a network, or go on with a run.

    RUN_FOLDER holds best.safetensors (for `demoire export --model`), last.pt to go on from,
    log.csv, sheet.png and TensorBoard's events. Ctrl-C saves; the same command goes on.
    Several GPUs: torchrun --nproc-per-node N --no-python demoire train ...

    Needs torch: install demoire with its extra `train`.
    """
    from engines.train.config import TrainConfig
    from pipeline.layers import as_yaml, assignment_layer, file_layer, merge, option_layers

    options = {"out": out, "shards": shards, "pairs": pairs or None, "minutes": minutes}
    assigned = [assignment_layer(text, example="steps=30000") for text in assignments or ()]
    settings = merge([file_layer(config), *assigned, *option_layers(options)], TrainConfig)
    if print_config:
        say(as_yaml(settings).rstrip())
        return
    need_extra("train", _NEEDED, extra="train")
    from pipeline.cli.train_run import run_training

    code = run_training(settings)
    if code:
        raise typer.Exit(code)
