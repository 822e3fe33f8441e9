"""`demoire clean`: a filmed screen in, a clean picture out."""

from __future__ import annotations

import typer

from pipeline.cli import options
from pipeline.cli.commands import Debug
from pipeline.cli.console import say

EXAMPLES = (
    "demoire clean talk.mp4                            writes talk.clean.mp4",
    "demoire clean photo.jpg -o better.jpg",
    "demoire clean holiday/ -o cleaned/                every video and photo of a folder",
    "demoire clean talk.mp4 --start 1:30 --end 2:00 --compare split",
    "demoire clean talk.mp4 --smooth 0.5              steadier, where little moves",
    "demoire clean talk.mp4 --debug-maps maps/         shows what was removed",
    "demoire clean talk.mp4 --codec hevc --crf 22 --encoder-preset slow",
    "demoire clean talk.mp4 --preset quality --set clean.strength=0.8 --dry-run",
    "demoire clean talk.mp4 --device 0,1               two GPUs share the frames",
    "demoire clean talk.mp4 --build-only               now, so that no run has to wait for it",
    "demoire clean talk.mp4 --progress json --report report.json",
)


def clean(
    inputs: options.Inputs = None,
    output: options.Output = None,
    overwrite: options.Overwrite = False,
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    strength: options.Strength = None,
    smooth: options.Smooth = None,
    deband: options.Deband = None,
    compare: options.Compare = None,
    compare_only: options.CompareOnly = None,
    debug_maps: options.DebugMaps = None,
    maps_every: options.MapsEvery = None,
    start: options.Start = None,
    end: options.End = None,
    strict: options.Strict = None,
    deinterlace: options.Deinterlace = None,
    decode: options.Decode = None,
    engine: options.Engine = None,
    model: options.Model = None,
    device: options.Device = None,
    build_only: options.BuildOnly = False,
    codec: options.Codec = None,
    crf: options.Crf = None,
    encoder_preset: options.EncoderPreset = None,
    hardware: options.Hardware = None,
    quality: options.Quality = None,
    drop_streams: options.DropStreams = None,
    progress: options.Progress = options.ProgressMode.AUTO,
    report: options.Report = None,
    dry_run: options.DryRun = False,
    print_config: options.PrintConfig = False,
    debug: Debug = False,
) -> None:
    """Remove moiré from videos and photos.

    Sound, subtitles, chapters, times, colours and bit depth stay as they are. Ctrl-C ends early
    with a valid, shorter file; a second one aborts and leaves NAME.part.
    """
    from pipeline.cli.batch import clean_all, describe_all
    from pipeline.cli.inputs import make_folder, make_maps_folder, plan_jobs, refuse_shared_maps
    from pipeline.config import load_config
    from pipeline.errors import ConfigError

    given = {
        "clean.strength": strength,
        "smooth.seconds": smooth,
        "smooth.deband": deband,
        "compare.layout": compare,
        "compare.only": compare_only,
        "maps.folder": debug_maps,
        "maps.every": maps_every,
        "source.start": start,
        "source.end": end,
        "source.strict": strict,
        "source.deinterlace": "bwdif" if deinterlace else None,
        "source.decode": decode,
        "engine.name": engine,
        "engine.model": model,
        "engine.device": device,
        "encoder.codec": codec,
        "encoder.crf": crf,
        "encoder.preset": encoder_preset,
        "encoder.hardware": hardware,
        "encoder.drop_streams": drop_streams,
        "photo.quality": quality,
    }
    merged = load_config(preset=preset, file=config, assignments=assignments or (), options=given)
    if print_config:
        say(merged.as_yaml().rstrip())
        return
    if not inputs:
        raise ConfigError("no INPUT given; name videos, photos or folders: demoire clean talk.mp4")
    if maps_every is not None and merged.maps.folder is None:
        raise ConfigError("--maps-every: needs --debug-maps DIR, where to write the sheets")
    jobs = plan_jobs(inputs, output, codec=merged.encoder.codec)
    refuse_shared_maps(jobs, merged.maps.folder)
    if build_only:
        from pipeline.cli.building import build_all

        build_all(jobs, merged, progress=progress)
        return
    if dry_run:
        describe_all(jobs, merged, overwrite=overwrite)
        return
    make_folder(jobs, output)
    make_maps_folder(merged.maps.folder)
    code = clean_all(jobs, merged, overwrite=overwrite, progress=progress, report=report)
    if code:
        raise typer.Exit(code)
