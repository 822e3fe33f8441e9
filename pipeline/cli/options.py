"""The options of `demoire clean`, one type each; ranges are checked where they are configured."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import ConfigError

_WHAT = "What to do"
_INPUT = "Input"
_ENGINE = "Engine"
_OUTPUT = "Output"
_REPORT = "Reporting"


class ProgressMode(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    JSON = "json"
    NONE = "none"


Inputs = Annotated[
    list[Path] | None,
    typer.Argument(metavar="INPUT...", help="Videos, photos, or folders of them."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="File, or folder for several inputs. Default: NAME.clean.mp4 beside each input;"
        " .mov, .mkv and photos keep their kind.",
        rich_help_panel=_OUTPUT,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace existing outputs.", rich_help_panel=_OUTPUT),
]
Preset = Annotated[
    str | None,
    typer.Option(help="Named settings; see `demoire presets`.", rich_help_panel=_WHAT),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file; wins over the preset.", rich_help_panel=_WHAT),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting, e.g. clean.strength=0.5; wins over the file. Repeatable.",
        rich_help_panel=_WHAT,
    ),
]
Strength = Annotated[
    float | None,
    typer.Option(
        help="Share of the found fringes to remove, 0 to 1. Default: 1.", rich_help_panel=_WHAT
    ),
]
Smooth = Annotated[
    str | None,
    typer.Option(
        metavar="off|auto|SECONDS",
        help="How long the past steadies the picture: after so many seconds it counts 1/e."
        " Default: auto, 0.15.",
        rich_help_panel=_WHAT,
    ),
]
Deband = Annotated[
    str | None,
    typer.Option(
        metavar="auto|off",
        help="Whether dark bands that roll over a filmed monitor are taken away where they are"
        " found. Default: auto.",
        rich_help_panel=_WHAT,
    ),
]
Compare = Annotated[
    str | None,
    typer.Option(
        metavar="LAYOUT",
        help="Also write NAME.compare.mp4 with before and after: split (halves), side (side by"
        " side) or wipe (moving divider).",
        rich_help_panel=_WHAT,
    ),
]
CompareOnly = Annotated[
    bool | None,
    typer.Option(
        "--compare-only",
        help="Write before and after in place of the clean picture.",
        rich_help_panel=_WHAT,
    ),
]
DebugMaps = Annotated[
    Path | None,
    typer.Option(
        "--debug-maps",
        metavar="DIR",
        help="Also write sheets into this folder, NAME.TIME.maps.png: before, after, what was"
        " removed, and maps of the moiré energy.",
        rich_help_panel=_WHAT,
    ),
]
MapsEvery = Annotated[
    str | None,
    typer.Option(
        "--maps-every",
        metavar="SECONDS",
        help="Of the clip, from one sheet to the next. Default: 1.",
        rich_help_panel=_WHAT,
    ),
]
Start = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Begin here: seconds or hh:mm:ss.s.", rich_help_panel=_INPUT),
]
End = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Leave out from here on.", rich_help_panel=_INPUT),
]
Strict = Annotated[
    bool | None,
    typer.Option(
        "--strict",
        help="Fail at the first frame that cannot be decoded, instead of counting it.",
        rich_help_panel=_INPUT,
    ),
]
Deinterlace = Annotated[
    bool | None,
    typer.Option(
        "--deinterlace",
        help="Accept interlaced video, by making whole frames of it first.",
        rich_help_panel=_INPUT,
    ),
]
Decode = Annotated[
    str | None,
    typer.Option(
        "--decode",
        metavar="auto|cpu|cuda",
        help="Who decodes video; auto takes an NVIDIA GPU where the network runs there, too, and it"
        " really decodes the file. Default: auto.",
        rich_help_panel=_INPUT,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Back end, of those `demoire doctor` lists. Default: auto, the first that opens, a"
        " GPU's before a CPU's.",
        rich_help_panel=_ENGINE,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N...]",
        help="GPU by its number in `demoire doctor`; several, as 0,1, share the frames. Default:"
        " the back end's own choice.",
        rich_help_panel=_ENGINE,
    ),
]
BuildOnly = Annotated[
    bool,
    typer.Option(
        "--build-only",
        help="Only build the engine that the inputs need, where the back end builds one; see"
        " `demoire engines`.",
        rich_help_panel=_ENGINE,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Network: nano; base, which takes away more moiré and takes several times as"
        " long; or an ONNX file of ours. Default: nano.",
        rich_help_panel=_ENGINE,
    ),
]
Codec = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="h264, hevc, av1, prores or ffv1. Default: h264.",
        rich_help_panel=_OUTPUT,
    ),
]
Crf = Annotated[
    int | None,
    typer.Option(
        "--crf",
        metavar="N",
        help="Constant quality, lower is better. Default: the codec's, 18 for h264.",
        rich_help_panel=_OUTPUT,
    ),
]
EncoderPreset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The software encoder's own speed, e.g. superfast or slow.",
        rich_help_panel=_OUTPUT,
    ),
]
Hardware = Annotated[
    str | None,
    typer.Option(
        metavar="auto|off|NAME",
        help="Hardware encoder, e.g. nvenc: faster, but larger files at the same quality; auto is"
        " the first that really encodes. Default: off.",
        rich_help_panel=_OUTPUT,
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Of JPEG and WebP photos, 1 to 100. Default: 97.",
        rich_help_panel=_OUTPUT,
    ),
]
DropStreams = Annotated[
    bool | None,
    typer.Option(
        "--drop-streams",
        help="Leave out sound and subtitles that the output cannot hold, instead of failing.",
        rich_help_panel=_OUTPUT,
    ),
]
Progress = Annotated[
    ProgressMode,
    typer.Option(
        "--progress",
        help="auto draws a bar on a terminal; json prints one object a line to stdout.",
        rich_help_panel=_REPORT,
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write what was done as JSON: an object, or a list for several inputs.",
        rich_help_panel=_REPORT,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Only say what would be done, with what.", rich_help_panel=_REPORT
    ),
]
PrintConfig = Annotated[
    bool,
    typer.Option(
        "--print-config", help="Only print the merged settings as YAML.", rich_help_panel=_REPORT
    ),
]


def even_size(text: str) -> tuple[int, int]:
    """Return the width and height of a `--size` like 960x540: even numbers from 96 to 9999.

    Raises:
        ConfigError: It is something else.
    """
    found = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if min(width, height) < 96 or width % 2 or height % 2:
        raise ConfigError(f"--size: must be two even numbers from 96 up, as 960x540; got {text}")
    return width, height
