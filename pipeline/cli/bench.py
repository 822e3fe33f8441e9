"""`demoire bench`: how fast each part of the work is on this machine, and all of it together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options
from pipeline.cli.commands import Debug, add_command, help_with

EXAMPLES = (
    "demoire bench                              1080p, the usual engine",
    "demoire bench --size 2160p --model base --json base.json",
    "demoire bench --input talk.mp4 --encoder-preset superfast --smooth off",
    "demoire bench --stages decode,infer --frames 60 --repeats 5",
    "demoire bench --engine openvino --set engine.options.precision=f32",
    "demoire bench compare before.json after.json",
)
COMPARE_EXAMPLES = ("demoire bench compare before.json after.json",)

_MEASURE = "What to measure"

Input = Annotated[
    Path | None,
    typer.Option("--input", metavar="FILE", help="A video. Default: a simulated one of --size."),
]
Size = Annotated[
    str | None,
    typer.Option(metavar="NAME|WxH", help="720p, 1080p, 2160p or WxH. Default: 1080p."),
]
Stages = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        help="all, or some of decode, transfer, infer, smooth, encode and whole, with commas.",
        rich_help_panel=_MEASURE,
    ),
]
Frames = Annotated[
    int,
    typer.Option(min=2, help="Frames measured in each repeat.", rich_help_panel=_MEASURE),
]
WarmUp = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Frames before those. Default: as many as fill an encoder, 60 and 1.5 a core.",
        rich_help_panel=_MEASURE,
    ),
]
Repeats = Annotated[
    int,
    typer.Option(min=1, help="Rounds through all parts.", rich_help_panel=_MEASURE),
]
Json = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="OUT",
        help="Also write everything to this file; - prints it in place of the tables.",
    ),
]


def bench(
    context: typer.Context,
    input_: Input = None,
    size: Size = None,
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    strength: options.Strength = None,
    smooth: options.Smooth = None,
    engine: options.Engine = None,
    model: options.Model = None,
    device: options.Device = None,
    decode: options.Decode = None,
    codec: options.Codec = None,
    crf: options.Crf = None,
    encoder_preset: options.EncoderPreset = None,
    stages: Stages = "all",
    frames: Frames = 120,
    warmup: WarmUp = None,
    repeats: Repeats = 3,
    json: Json = None,
    debug: Debug = False,
) -> None:
    """Measure decoding, transfer, inference, smoothing and encoding, each alone and all together.

    Each part runs in a process of its own, all in turn, so many times over; told are medians, with
    the least and the largest. The input is a simulated filmed screen, made once and kept in the
    user's cache folder. At 1080p on two cores all of it takes a few minutes.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    from pipeline.bench.plan import parse_stages
    from pipeline.cli.bench_run import Order, run_bench
    from pipeline.config import load_config

    given = {
        "clean.strength": strength,
        "smooth.seconds": smooth,
        "source.decode": decode,
        "engine.name": engine,
        "engine.model": model,
        "engine.device": device,
        "encoder.codec": codec,
        "encoder.crf": crf,
        "encoder.preset": encoder_preset,
    }
    merged = load_config(preset=preset, file=config, assignments=assignments or (), options=given)
    order = Order(
        input=input_,
        size=size,
        parts=parse_stages(stages),
        config=merged,
        frames=frames,
        warmup=warmup,
        repeats=repeats,
        json=json,
    )
    code = run_bench(order)
    if code:
        raise typer.Exit(code)


def compare(
    a: Annotated[Path, typer.Argument(metavar="A.json", help="Measured before, or there.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="Measured after, or here.")],
    debug: Debug = False,
) -> None:
    """Say how much faster B is than A, stage by stage, and what differs between them.

    A ratio is that of the medians; its spread reaches from B's least over A's largest to the
    reverse. Where that includes 1, no difference is shown.
    """
    from pipeline.cli.bench_run import run_compare

    run_compare(a, b)


def _refuse_options(context: typer.Context) -> None:
    """Raise where options of a measurement stand before a command that does not measure.

    Raises:
        ConfigError: They do.
    """
    from pipeline.errors import ConfigError

    sources = {name: context.get_parameter_source(name) for name in context.params}
    # Their type is click's or typer's own copy of it, by version of typer.
    given = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    if given := [name for name in given if name != "debug"]:
        raise ConfigError(
            f"bench {context.invoked_subcommand}: measures nothing, so --{given[0].strip('_')} says"
            " nothing to it; leave it out"
        )


app = typer.Typer(rich_markup_mode="rich", help=help_with(bench, EXAMPLES))
app.callback(invoke_without_command=True)(bench)
add_command(app, compare, COMPARE_EXAMPLES)
