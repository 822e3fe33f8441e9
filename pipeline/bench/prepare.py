"""What comes before the first measurement: does everything open, and which pictures are there?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from pipeline.bench.computing import engine_card, open_engine
from pipeline.bench.held import HELD, Kind, keep
from pipeline.bench.task import COMPUTING, KEPT, Prepared
from pipeline.sources.hardware import who_decodes
from pipeline.stages.clean import clean

if TYPE_CHECKING:
    from engines.engine import Engine, EngineInfo, Smoothing
    from pipeline.bench.task import Task
    from pipeline.frame import Frame
    from pipeline.media import SourceInfo

_BITS_PER_MEGABIT = 1e6


def prepare(task: Task) -> Prepared:
    """Open the clip and the engine, and keep the pictures that the task's parts work on alone."""
    needed = {KEPT[part] for part in task.parts if part in KEPT}
    with closing(task.open_source()) as source:
        info = source.info
        frames = list(islice(source.frames(), HELD)) if needed else []
    # Some files change the picture's size on their way; what is kept has one.
    frames = [frame for frame in frames if frame.format == info.picture_format]
    if "decoded" in needed or "cleaned" in needed:
        # On a device, smoothing is told by sessions that clean.
        _keep(task, "decoded", frames)
    if not (COMPUTING & set(task.parts) or needed & {"cleaned", "shown"}):
        return _prepared(task, info, _decoder(task, None))
    with closing(open_engine(task.config)) as engine:
        smoothing = task.smoothing(engine.info.backend)
        hows: dict[Kind, Smoothing | None] = {"cleaned": None, "shown": smoothing}
        for kind, how in hows.items():
            if kind in needed:
                stage = clean(engine, strength=task.config.clean.strength, smoothing=how)
                _keep(task, kind, list(stage(iter(frames))))
        return _prepared(
            task, info, _decoder(task, engine), engine=engine.info, smoothing=smoothing
        )


def _decoder(task: Task, engine: Engine | None) -> str:
    """Return where the whole's pictures are decoded."""
    decode, device = who_decodes(task.config.source.decode, engine)
    if decode == "cpu":
        return decode
    with closing(task.open_source(decode, device)) as source:
        return source.decoder


def _keep(task: Task, kind: Kind, frames: Sequence[Frame]) -> None:
    keep(task.folder, kind, [frame.planes for frame in frames])


def _prepared(
    task: Task,
    info: SourceInfo,
    decoder: str,
    *,
    engine: EngineInfo | None = None,
    smoothing: Smoothing | None = None,
) -> Prepared:
    duration_s = info.duration_s
    bits = 8 * task.clip.stat().st_size
    return Prepared(
        width=info.width,
        height=info.height,
        pixel_format=info.pixel_format,
        codec=info.codec,
        frame_rate=None if info.frame_rate is None else float(info.frame_rate),
        frame_count=info.frame_count,
        mbit_s=bits / duration_s / _BITS_PER_MEGABIT if duration_s else None,
        engine=None if engine is None else engine_card(engine),
        smoothing=None if engine is None else _in_words(smoothing),
        decoder=decoder,
    )


def _in_words(smoothing: Smoothing | None) -> str:
    return "off" if smoothing is None else f"{smoothing.luma_s:g} s"
