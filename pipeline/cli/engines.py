"""`demoire engines`: what was built for this machine's GPU, and building it ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options
from pipeline.cli.commands import Debug, add_command
from pipeline.cli.console import say

if TYPE_CHECKING:
    from engines.cache import CachedEngine
    from engines.engine import PictureFormat
    from pipeline.cli.building import BuildWatch

LIST_EXAMPLES = ("demoire engines list", "demoire engines list --json")
BUILD_EXAMPLES = (
    "demoire engines build --size 3840x2160",
    "demoire engines build --engine tensorrt --model base --pixel-format yuv420p10le",
)
CLEAR_EXAMPLES = ("demoire engines clear",)

app = typer.Typer(
    help="Engines that were built for this machine's GPU: list them, build ahead, clear.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


def list_engines(
    json: Annotated[bool, typer.Option("--json", help="Print an array of objects.")] = False,
    debug: Debug = False,
) -> None:
    """List the engines that are kept on disk, the newest first.

    The folder is $DEMOIRE_CACHE, else demoire/engines in the user's cache folder.
    """
    from engines.cache import EngineCache

    cache = EngineCache()
    entries = cache.entries()
    if json:
        _say_json(entries)
    elif entries:
        _say_table(entries)
        say(f"{_counted(entries)} in {cache.root}")
    else:
        say(f"no engine is kept in {cache.root}")


def build(
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="Back end; auto as for `demoire clean`.")
    ] = "auto",
    model: Annotated[str, typer.Option(metavar="NAME", help="Network.")] = "nano",
    device: options.Device = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Of the pictures.")] = "1920x1080",
    pixel_format: Annotated[
        str, typer.Option("--pixel-format", metavar="NAME", help="FFmpeg's name.")
    ] = "yuv420p",
    progress: options.Progress = options.ProgressMode.AUTO,
    debug: Debug = False,
) -> None:
    """Build the engines for pictures of one size, with smoothing and without.

    What is built is kept, so the first frame of a run does not wait for it.
    """
    import time
    from pathlib import Path

    from pipeline.cli.building import BuildWatch, summary
    from pipeline.cli.progress import create_display
    from pipeline.media import picture_format, planar_sibling

    width, height = options.even_size(size)
    form = picture_format(planar_sibling(pixel_format), width, height)
    display = create_display(progress)
    watch = BuildWatch(display.build)
    begun_s = time.monotonic()
    try:
        backend = _build(engine, form, watch, model=model, device=device)
    except BaseException as error:
        display.fail(Path(model), str(error))
        raise
    wall_s = time.monotonic() - begun_s
    record = {
        "engine": backend,
        "model": model,
        "built": [{"what": b.what, "seconds": round(b.elapsed_s, 3)} for b in watch.built],
        "wall_s": round(wall_s, 3),
    }
    done = summary(watch.built, wall_s=wall_s)
    display.succeed(f"{backend}, {model}, {size} {pixel_format}: {done}", record)


def clear(debug: Debug = False) -> None:
    """Remove the engines that are kept; they are built again when they are needed."""
    from engines.cache import EngineCache

    cache = EngineCache()
    entries = cache.entries()
    cache.clear()
    say(f"removed {_counted(entries)} from {cache.root}")


def _build(
    name: str, form: PictureFormat, watch: BuildWatch, *, model: str, device: str | None
) -> str:
    """Open what the pictures need and return the back end's name.

    Raises:
        ConfigError: The engine builds nothing.
        EngineError: It cannot be built.
    """
    from contextlib import closing

    from engines.backends import create_engine
    from pipeline.cli.building import refuse_unbuilt
    from pipeline.config import SmoothConfig

    if name != "auto":
        refuse_unbuilt(name)  # before anything is opened
    with closing(create_engine(name, model=model, device=device, on_build=watch)) as engine:
        refuse_unbuilt(engine.info.backend)
        for smoothing in (None, SmoothConfig().chosen(cleaned=True)):
            engine.open(form, smoothing=smoothing).close()
        return engine.info.backend


def _say_json(entries: list[CachedEngine]) -> None:
    import json

    listed = [
        {
            "key": entry.key,
            "what": entry.what,
            "size_bytes": entry.size,
            "made": entry.made.isoformat(timespec="seconds"),
            "origin": dict(entry.origin),
        }
        for entry in entries
    ]
    say(json.dumps(listed, indent=2, ensure_ascii=False))


def _say_table(entries: list[CachedEngine]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("engine", "MB", "built", "key", box=None, title_justify="left")
    for entry in entries:
        made = entry.made.astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(entry.what, f"{entry.size / 1e6:.1f}", made, entry.key)
    Console().print(table, markup=False)


def _counted(entries: list[CachedEngine]) -> str:
    plural = "" if len(entries) == 1 else "s"
    return f"{len(entries)} engine{plural} ({sum(e.size for e in entries) / 1e6:.1f} MB)"


add_command(app, list_engines, LIST_EXAMPLES, name="list")
add_command(app, build, BUILD_EXAMPLES)
add_command(app, clear, CLEAR_EXAMPLES)
