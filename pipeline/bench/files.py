"""Decoding alone, and encoding alone: what the pipeline's own source and sink take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline.bench.held import load, places
from pipeline.bench.meter import timed
from pipeline.sinks.file import FileSink
from pipeline.sources.folder import output_path

if TYPE_CHECKING:
    from engines.engine import Planes
    from pipeline.bench.result import Sample
    from pipeline.bench.task import Task
    from pipeline.frame import Frame
    from pipeline.media import SourceInfo

DEFAULT_RATE = Fraction(25)
"""Of an input that does not say."""


def measure_decode(task: Task) -> Sample:
    """Read and decode the clip where the whole does, and nothing else."""
    assert task.prepared is not None
    decoder, _, number = task.prepared.decoder.partition(":")
    with closing(
        task.open_source() if decoder == "cpu" else task.open_source("cuda", int(number))
    ) as source:
        return timed(source.frames(), warmup=task.warmup, frames=task.frames).sample()


def measure_encode(task: Task) -> Sample:
    """Encode kept pictures and write them to a file, and nothing else; its sound stays out.

    Draining the encoder is no part of a frame's cost.
    """
    pictures = load(task.folder, "shown")
    with closing(task.open_source()) as source:
        first = next(source.frames())
        # Without the streams, which end with the source.
        info = replace(source.info, streams=(), attachments=())
    sink = open_sink(task, info)
    try:
        steps = _written(sink, replace(first, packets=()), pictures)
        return timed(steps, warmup=task.warmup, frames=task.frames).sample()
    finally:
        sink.abort()


def open_sink(task: Task, info: SourceInfo) -> FileSink:
    """Open a file in the task's folder with the encoder that the configuration names.

    Raises:
        SinkError: It cannot be created, or the encoder does not take such pictures.
    """
    encoder = task.config.encoder
    path = output_path(task.folder / task.clip.name, codec=encoder.codec, overwrite=True)
    return FileSink(
        path,
        info,
        codec=encoder.codec,
        crf=encoder.crf,
        encoder_preset=encoder.preset,
        overwrite=True,
        drop_streams=encoder.drop_streams,
    )


def _written(sink: FileSink, template: Frame, pictures: list[Planes]) -> Iterator[None]:
    """Write pictures without end, one a step."""
    step = template.duration or max(1, round(1 / (DEFAULT_RATE * template.time_base)))
    for number, index in enumerate(places(len(pictures))):
        sink.write(replace(template, planes=pictures[index], pts=number * step))
        yield
