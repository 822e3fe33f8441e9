"""`demoire simulate`: pairs with and without moiré, as many as wanted."""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.commands import Debug
from pipeline.cli.options import even_size

EXAMPLES = (
    "demoire simulate pairs/ --pictures 200",
    "demoire simulate pairs/ --pictures 50 --size 1280x720 --photos ~/Pictures",
    "demoire simulate clips/ --clips 14 --seconds 4 --camera tripod",
    "demoire simulate shards/ --shards 40          for demoire train",
)


class Device(StrEnum):
    """What computes light, lens and sensor."""

    CPU = "cpu"
    CUDA = "cuda"


class CameraHolding(StrEnum):
    """How a clip's camera is held."""

    ANY = "any"
    TRIPOD = "tripod"
    HAND = "hand"


def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder; made if it is missing.")],
    pictures: Annotated[int, typer.Option(metavar="N", min=0, help="Pairs of pictures.")] = 0,
    clips: Annotated[int, typer.Option(metavar="N", min=0, help="Pairs of clips.")] = 0,
    shards: Annotated[int, typer.Option(metavar="N", min=0, help="Shards for training.")] = 0,
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Size of pictures and clips.")
    ] = "960x540",
    seconds: Annotated[float, typer.Option(min=0.05, max=600, help="Length of a clip.")] = 3.0,
    frame_rate: Annotated[float, typer.Option(min=1, max=240, help="Of the clips.")] = 30.0,
    camera: Annotated[
        CameraHolding, typer.Option(help="How the clips' camera is held.")
    ] = CameraHolding.ANY,
    samples: Annotated[int, typer.Option(min=1, help="Samples of a shard.")] = 128,
    photos: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Folder of photographs for the screen; repeatable."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Another seed is another data set.")
    ] = 0,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Processes. Default: one a core.")
    ] = None,
    device: Annotated[
        Device,
        typer.Option(
            help="What computes light, lens and sensor: OpenCV, or torch on a GPU (a seed then"
            " makes other noise). Content and codecs stay on the CPU."
        ),
    ] = Device.CPU,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make anew what is there.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Make filmed screens with moiré, and what they should have looked like.

    Pictures are NNNNNN_moire.png and NNNNNN_gt.png, clips NAME_moire.mp4 and NAME_gt.mp4, shards
    shard-NNNNN.npy; conditions.jsonl says how each was filmed. A second run with the same settings
    goes on where the first one stopped. Nothing is downloaded.
    """
    from pipeline.cli.simulate_run import Request, run_simulation

    width, height = even_size(size)
    request = Request(
        out=out,
        pictures=pictures,
        clips=clips,
        shards=shards,
        width=width,
        height=height,
        seconds=seconds,
        frame_rate=Fraction(frame_rate).limit_denominator(1001),
        camera=camera.value,
        samples=samples,
        photos=tuple(photos or ()),
        seed=seed,
        workers=workers,
        device=device.value,
        overwrite=overwrite,
    )
    code = run_simulation(request)
    if code:
        raise typer.Exit(code)
