"""What a child is told to do, and what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.bench.held import Kind
from pipeline.bench.result import PartName, Record, Sample
from pipeline.config import Config
from pipeline.media import picture_format
from pipeline.sources.file import FileSource

if TYPE_CHECKING:
    from engines.engine import PictureFormat, Smoothing
    from pipeline.sources.hardware import Decode

MODULE = "pipeline.bench.child"

PREPARE: Literal["prepare"] = "prepare"

WHOLE: dict[PartName, tuple[PartName, ...]] = {
    "whole_null": ("decode", "transfer", "infer", "smooth"),
    "whole_encoded": ("decode", "transfer", "infer", "smooth", "encode"),
}
"""The wholes, and the stages in each."""
KEPT: dict[PartName, Kind] = {"infer": "decoded", "smooth": "cleaned", "encode": "shown"}
"""Which pictures a part works on."""
COMPUTING: frozenset[PartName] = frozenset({"transfer", "infer", "smooth", *WHOLE})
"""Parts that may have a GPU at work."""


class Prepared(Record):
    """What is known once input and engine were opened."""

    width: int
    height: int
    pixel_format: str
    codec: str
    frame_rate: float | None
    frame_count: int | None
    """As the container says it."""
    mbit_s: float | None
    engine: dict[str, Any] | None
    """None where no part needs one."""
    smoothing: str | None
    """In words; None where no part needs an engine."""
    decoder: str
    """Where the whole's pictures are decoded: `cpu`, or `cuda:0` and so on."""


class Task(Record):
    """One part to measure, once."""

    part: PartName | Literal["prepare"]
    parts: tuple[PartName, ...] = ()
    """All that there will be; for `prepare`."""
    clip: Path
    folder: Path
    """For what is written meanwhile; the kept pictures are there."""
    config: Config
    frames: int
    warmup: int
    prepared: Prepared | None = None
    """What `prepare` found out."""

    @property
    def backend(self) -> str:
        """The one that opened, whatever `auto` was; for parts that compute."""
        assert self.prepared is not None
        assert self.prepared.engine is not None
        return str(self.prepared.engine["backend"])

    @property
    def picture_format(self) -> PictureFormat:
        """Of the clip's pictures; for all parts but `prepare`."""
        assert self.prepared is not None
        of = self.prepared
        return picture_format(of.pixel_format, of.width, of.height)

    def open_source(self, decode: Decode = "cpu", cuda_device: int = 0) -> FileSource:
        """Open the clip as `demoire clean` does.

        Args:
            decode: Who decodes.
            cuda_device: Number of the GPU that would.

        Raises:
            SourceError: It cannot be opened, or decoded there.
        """
        source = self.config.source
        return FileSource(
            self.clip,
            start_s=source.start,
            end_s=source.end,
            strict=source.strict,
            deinterlace=source.deinterlace,
            decode=decode,
            cuda_device=cuda_device,
        )

    def smoothing(self, backend: str) -> Smoothing | None:
        """Return what `demoire clean` would smooth with, on a back end."""
        cleaned = backend != "identity" and self.config.clean.strength > 0
        return self.config.smooth.chosen(cleaned=cleaned)


class Skipped(Record):
    """A part that there is nothing to measure of."""

    reason: str


class Failure(Record):
    """An error that the user can act on."""

    kind: str
    """Name of its class."""
    message: str


class Answer(Record):
    """Exactly one of these."""

    sample: Sample | None = None
    skipped: Skipped | None = None
    prepared: Prepared | None = None
    failure: Failure | None = None
