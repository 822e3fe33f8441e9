"""What comes of a measurement, and the JSON file that it is kept in."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import ConfigError, SinkError

SCHEMA = 1
"""Raised when a field gets another meaning or goes; fields that are added do not count."""
KIND = "demoire bench"

PartName = Literal["decode", "transfer", "infer", "smooth", "encode", "whole_null", "whole_encoded"]


class Record(BaseModel):
    """What all records share: immutable; fields of a later release are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Spread(Record):
    """Of the repeats."""

    median: float
    min: float
    max: float


class Ratio(Spread):
    """One figure over another."""

    @property
    def includes_one(self) -> bool:
        """Whether the spread allows that nothing differs."""
        return self.min <= 1 <= self.max


class Milliseconds(Record):
    """Of the frames of one repeat."""

    mean: float
    p50: float
    p95: float
    p99: float


class Gpu(Record):
    """A GPU as its driver describes it."""

    name: str
    memory_mb: float | None
    """None where it has no memory of its own to tell of."""
    driver: str


class GpuUse(Record):
    """What one GPU was at during one repeat, all its programs together."""

    memory_peak_mb: float | None
    """None where the GPU does not tell."""
    memory_growth_mb: float | None
    """Of the peak over what was held before the engine was opened."""
    power_w: float | None
    """Mean; None where the GPU does not measure it."""
    power_peak_w: float | None


class Sample(Record):
    """One repeat of one part."""

    frames: int
    fps: float | None
    """None where a difference came out as nothing or less."""
    frame_ms: Milliseconds
    cpu_s: float | None = None
    """CPU seconds of a frame, of all threads; None for what a device's clock timed."""
    memory_peak_mb: float
    """Of the whole process, in 10^6 bytes."""
    memory_growth_mb: float
    """Of the peak over what the process held before its first frame."""
    latency_ms: Milliseconds | None = None
    """From leaving the source to having been written; of the whole only."""
    overlapped_fps: float | None = None
    """Of a device's `infer`: with transfers, as many requests in flight as the pipeline has."""
    copy_in_ms: Milliseconds | None = None
    copy_out_ms: Milliseconds | None = None
    gpus: list[GpuUse] | None = None
    engine: dict[str, Any] | None = None
    """`EngineInfo` once the picture's format was opened: the precision that really ran."""


class Summary(Record):
    """All repeats of one part."""

    fps: Spread | None
    p50_ms: Spread | None
    p95_ms: Spread | None
    p99_ms: Spread | None
    cpu_s: Spread | None
    memory_peak_mb: Spread | None
    memory_growth_mb: Spread | None
    gpu_memory_peak_mb: Spread | None = None
    """Of the GPU whose memory grew most."""
    gpu_power_w: Spread | None = None


class Part(Record):
    """One part of the work, or why it was not measured."""

    about: str
    """What was done, in words."""
    skipped: str | None = None
    summary: Summary | None = None
    samples: list[Sample] = []


class Verdict(Record):
    """One whole against its parts, repeat by repeat."""

    slowest_stage: PartName
    of_slowest: Spread
    """Frames per second over those of the slowest stage alone."""
    bar: float
    """What `of_slowest` should reach."""
    bound_fps: Spread | None
    """Were the CPU time of all stages spread over all cores, with nothing idle."""
    of_bound: Spread | None


class Input(Record):
    """What was cleaned."""

    name: str
    simulated: dict[str, Any] | None
    """What it is made from (size, seed, version, frames); None for a file of the user's."""
    sha256: str
    width: int
    height: int
    pixel_format: str
    codec: str
    frame_rate: float | None
    mbit_s: float | None


class Result(Record):
    """Everything that one `demoire bench` found."""

    kind: Literal["demoire bench"] = "demoire bench"
    # `schema` is a method of pydantic's models.
    schema_number: int = SCHEMA
    version: str
    """Of demoire."""
    made: str
    settings: dict[str, Any]
    input: Input
    engine: dict[str, Any] | None
    """None where no part needed one."""
    machine: dict[str, Any]
    gpus: list[Gpu] | None
    gpus_reason: str | None
    """Why there are none to tell of."""
    load_before: float
    stages: dict[PartName, Part]
    whole: dict[PartName, Verdict]

    def to_json(self) -> str:
        """Return the JSON that `read_result` reads back."""
        content = self.model_dump(mode="json")
        # In front, for whoever opens the file.
        head = {"kind": content.pop("kind"), "schema": content.pop("schema_number")}
        return json.dumps(head | content, indent=2, ensure_ascii=False, allow_nan=False)


def read_result(path: Path) -> Result:
    """Return a result that was written earlier.

    Raises:
        ConfigError: The file cannot be read, is no result, or is one of a later release.
    """
    no_result = f"{path}: is no result of `demoire bench --json`"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise ConfigError(f"{no_result}: {error}") from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise ConfigError(f'{no_result}: it has no "kind": "{KIND}"')
    number = content.pop("schema", None)
    if number != SCHEMA:
        raise ConfigError(
            f"{path}: has schema {number}, and this release reads {SCHEMA}; measure again, or"
            " compare with the release that wrote it"
        )
    try:
        return Result.model_validate(content | {"schema_number": number})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{no_result}: {where}: {first['msg']}") from error


def check_writable(path: Path) -> None:
    """Raise unless a result can be written there, before minutes are spent on it.

    Raises:
        SinkError: It is a folder, or the folder it is in does not exist or is not to be written to.
    """
    if path.is_dir():
        raise SinkError(f"--json {path}: is a folder; add a file name")
    if not path.parent.is_dir():
        raise SinkError(f"--json {path}: its folder does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise SinkError(f"--json {path}: you may not write there; give another folder")


def write_result(result: Result, path: Path) -> None:
    """Write a result; what was at `path` is replaced once the new one is complete.

    Raises:
        SinkError: It cannot be written.
    """
    part: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        part = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(result.to_json() + "\n")
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)  # a temporary file is its owner's alone
        part.replace(path)
    except OSError as error:
        raise SinkError(f"--json {path}: cannot be written: {error.strerror}") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
