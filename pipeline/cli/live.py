"""`demoire live` and `demoire cameras`: a camera in, a clean stream out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options
from pipeline.cli.commands import Debug
from pipeline.cli.console import say

EXAMPLES = (
    "demoire live rtsp://user:password@camera/1 --serve rtsp://0.0.0.0:8554/clean",
    "demoire live usb:0 --size 1280x720 --rate 30 --web 127.0.0.1:8080",
    "demoire live test:// --web 127.0.0.1:8080            no camera at hand",
    "demoire live chaos:// --serve rtsp://127.0.0.1:8554/clean   rehearse faults",
    "demoire live talk.mp4 --loop --serve rtsp://127.0.0.1:8554/talk",
    "demoire live usb:0 --record monitor.mkv --segment 600 --keep 144",
    "demoire live usb:0 --publish rtmp://server/app/key --bitrate 4000",
    "demoire live --config cameras.yaml --metrics 127.0.0.1:9100 --log json",
)
CAMERAS_EXAMPLES = ("demoire cameras",)

_IN, _OUT, _CODE = "Input", "Output", "Encoder"

Source = Annotated[
    str | None,
    typer.Argument(
        metavar="SOURCE",
        help="rtsp://, rtsps://, rtmp://, http(s):// (HLS, MJPEG, MPEG-TS), udp://, rtp://,"
        " /dev/videoN or usb:N, screen:, a file, test:// (a simulated filmed screen) or chaos://"
        " (the same with faults).",
    ),
]
Transport = Annotated[
    str | None,
    typer.Option(metavar="tcp|udp", help="How RTSP comes in. Default: tcp.", rich_help_panel=_IN),
]
Size = Annotated[
    str | None,
    typer.Option(
        metavar="WxH",
        help="Asked of a camera or a screen, and size of the output. Default: the source's.",
        rich_help_panel=_IN,
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(help="Pictures a second, likewise.", rich_help_panel=_IN),
]
InputFormat = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Pixel format or codec asked of a camera: mjpeg, yuyv422, nv12, h264.",
        rich_help_panel=_IN,
    ),
]
Loop = Annotated[
    bool | None,
    typer.Option("--loop", help="A file begins again at its end.", rich_help_panel=_IN),
]
NoSound = Annotated[
    bool | None,
    typer.Option("--no-sound", help="Leave the source's sound out.", rich_help_panel=_IN),
]
Wait = Annotated[
    str | None,
    typer.Option(
        metavar="SECONDS",
        help="How long the source is waited for before the output begins without it. Default: 5.",
        rich_help_panel=_IN,
    ),
]
Serve = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Serve RTSP at rtsp://[USER:PASSWORD@]HOST:PORT/PATH; 0.0.0.0 for all networks.",
        rich_help_panel=_OUT,
    ),
]
Publish = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help="Send to a server: rtsp://, rtmp:// or whip:. Repeatable.",
        rich_help_panel=_OUT,
    ),
]
Record = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write along: .mp4 (fragmented, survives a kill) or .mkv.",
        rich_help_panel=_OUT,
    ),
]
Segment = Annotated[
    str | None,
    typer.Option(
        metavar="SECONDS",
        help="A new recording, its time in the name, after so long.",
        rich_help_panel=_OUT,
    ),
]
Keep = Annotated[
    int | None,
    typer.Option(metavar="N", help="Recordings kept; older ones go.", rich_help_panel=_OUT),
]
Web = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Page with both pictures, figures and controls, e.g. 127.0.0.1:8080.",
        rich_help_panel=_OUT,
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Prometheus metrics, /healthz and /readyz.",
        rich_help_panel=_OUT,
    ),
]
MaxDelay = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="From a picture's arrival to its encoded form; what would come later is left out, and"
        " when that goes on, less is computed. Default: 300ms.",
        rich_help_panel=_OUT,
    ),
]
Codec = Annotated[
    str | None,
    typer.Option(metavar="h264|hevc", help="Default: h264.", rich_help_panel=_CODE),
]
Bitrate = Annotated[
    int | None,
    typer.Option(metavar="KBPS", help="Constant bitrate.", rich_help_panel=_CODE),
]
Crf = Annotated[
    int | None, typer.Option(help="Constant quality, lower is better.", rich_help_panel=_CODE)
]
EncoderPreset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Speed of the software encoder. Default: superfast.",
        rich_help_panel=_CODE,
    ),
]
KeyInterval = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="From one key picture to the next; one is made for each player that joins, too."
        " Default: 2.",
        rich_help_panel=_CODE,
    ),
]
Hardware = Annotated[
    str | None,
    typer.Option(
        metavar="auto|off|NAME",
        help="Hardware encoder; auto takes the first that really encodes. Default: auto.",
        rich_help_panel=_CODE,
    ),
]
Log = Annotated[
    str | None,
    typer.Option(
        metavar="text|json", help="Form of the log on stderr. Default: text.", rich_help_panel=_OUT
    ),
]


def live(
    source: Source = None,
    serve: Serve = None,
    publish: Publish = None,
    record: Record = None,
    segment: Segment = None,
    keep: Keep = None,
    web: Web = None,
    metrics: Metrics = None,
    max_delay: MaxDelay = None,
    log: Log = None,
    transport: Transport = None,
    size: Size = None,
    rate: Rate = None,
    input_format: InputFormat = None,
    loop: Loop = None,
    no_sound: NoSound = None,
    wait: Wait = None,
    codec: Codec = None,
    bitrate: Bitrate = None,
    crf: Crf = None,
    encoder_preset: EncoderPreset = None,
    key_interval: KeyInterval = None,
    hardware: Hardware = None,
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    strength: options.Strength = None,
    smooth: options.Smooth = None,
    deband: options.Deband = None,
    engine: options.Engine = None,
    model: options.Model = None,
    device: options.Device = None,
    print_config: options.PrintConfig = False,
    debug: Debug = False,
) -> None:
    """Clean a camera's picture as it comes, and serve it.

    The source may be absent, stall, close or change: the output goes on with the last picture and
    a card, and the source is tried again. Ctrl-C or SIGTERM ends it.
    """
    from pipeline.live.config import load_live_config, parse_size

    parsed = parse_size(size)
    camera = {
        "source": source,
        "serve": serve,
        "publish": tuple(publish) if publish else None,
        "record.path": record,
        "record.segment": segment,
        "record.keep": keep,
        "size": parsed,
        "rate": rate,
        "options.size": parsed,
        "options.rate": rate,
        "options.transport": transport,
        "options.pixel_format": input_format,
        "options.loop": loop,
        "options.sound": False if no_sound else None,
    }
    given = {
        "web": web,
        "metrics": metrics,
        "max_delay": max_delay,
        "wait": wait,
        "log": log,
        "encode.codec": codec,
        "encode.bitrate_kbps": bitrate,
        "encode.crf": crf,
        "encode.preset": encoder_preset,
        "encode.key_interval_s": key_interval,
        "encode.hardware": hardware,
        "clean.strength": strength,
        "smooth.seconds": smooth,
        "smooth.deband": deband,
        "engine.name": engine,
        "engine.model": model,
        "engine.device": device,
    }
    merged = load_live_config(
        preset=preset, file=config, assignments=assignments or (), options=given, camera=camera
    )
    if print_config:
        say(merged.as_yaml().rstrip())
        return
    from pipeline.cli.live_run import run_live

    run_live(merged, debug=debug)


def cameras() -> None:
    """List the cameras of this machine, with sizes and rates where they tell."""
    from pipeline.live.sources.cameras import list_cameras

    found = list_cameras()
    if not found:
        say("no camera found; they appear as /dev/video0, /dev/video1, ...")
    for camera in found:
        say(f"{camera.device}  {camera.name}")
        for mode in camera.modes:
            rates = ", ".join(f"{float(rate):g}" for rate in mode.rates)
            say(f"  {mode.pixel_format} {mode.size[0]}x{mode.size[1]} {rates}".rstrip())
