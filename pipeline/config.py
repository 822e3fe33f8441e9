"""Every setting of a run: defaults, then preset, then file, then `--set`, then options.

Each layer holds differences only and a later one wins. Settings of one back end sit under
`engine.options` and are checked by that back end, so a new one changes nothing here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from engines.engine import Smoothing
from pipeline.errors import ConfigError
from pipeline.layers import (
    Layer,
    as_yaml,
    assignment_layer,
    file_layer,
    merge,
    option_layers,
    read_yaml,
)
from pipeline.sinks.codecs import CodecName
from pipeline.sources.hardware import Decode
from pipeline.stages.compare import CompareLayout

_AUTO_S = 0.15
"""Steady within a blink, and too short for a ghost to be seen: chosen on simulated clips."""
_LONGEST_S = 10.0
_CHROMA_LASTS = 5 / 3
"""Times luma: colour flickers more than brightness, and its ghosts show less."""

_CLOCK = re.compile(r"(?:(?P<hours>\d+):)?(?P<minutes>[0-5]?\d):(?P<seconds>[0-5]?\d(?:\.\d*)?)")


def parse_time(value: object) -> object:
    """Return seconds for `hh:mm:ss.s` and `mm:ss.s`; anything else is left to the number check."""
    found = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return value
    return 3600 * int(found["hours"] or 0) + 60 * int(found["minutes"]) + float(found["seconds"])


Seconds = Annotated[float, BeforeValidator(parse_time)]
"""Seconds as a number, or a clock time as text."""


class Settings(BaseModel):
    """What all groups of settings share: immutable, no unknown keys, no NaN, no infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SourceConfig(Settings):
    """How an input is read."""

    start: Seconds | None = Field(default=None, ge=0)
    """First moment to clean; the start of the input where not given."""
    end: Seconds | None = Field(default=None, gt=0)
    """First moment left out again."""
    strict: bool = False
    """A frame that fails to decode ends the run instead of being counted."""
    deinterlace: Literal["refuse", "yadif", "bwdif"] = "refuse"
    """What to do with interlaced video: refuse it, or the filter that makes whole frames of it."""
    decode: Decode = "auto"
    """Who decodes: `cuda` insists on the GPU, `auto` takes it where the engine reads pictures from
    its memory and the first frame really decodes there."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValueError(f"end must be after start ({self.start:g} s), got {self.end:g} s")
        return self


def _devices(value: object) -> object:
    """Return `0` for what YAML makes of a bare 0, and `0,1` for a list."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value) if type(value) is int else value


class EngineConfig(Settings):
    """What computes."""

    name: str = "auto"
    """A back end, or `auto` for the first that really opens; see `demoire doctor`."""
    model: str = "nano"
    """The network."""
    device: Annotated[str | None, BeforeValidator(_devices)] = None
    """Where, as the back end names its devices: `1` for the second GPU; the back end's own choice
    where not given. Several, `0,1`, compute every so manieth frame each."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of that back end alone."""


class CleanConfig(Settings):
    """How much is taken away."""

    strength: float = Field(default=1.0, ge=0, le=1)
    """Share of the found fringes to remove; 0 changes nothing."""


def _switch(value: object) -> object:
    """Return `off` for what YAML makes of a bare `off`."""
    return "off" if value is False else value


def parse_smoothing(value: object) -> Literal["auto", "off"] | float:
    """Return `auto`, `off` or a time constant in seconds.

    Raises:
        ValueError: It is something else.
    """
    value = _switch(value)
    if value == "auto" or value == "off":
        return value
    try:
        seconds = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        seconds = math.nan
    if value is True or not 0 < seconds <= _LONGEST_S:
        raise ValueError(
            f"must be off, auto, or seconds above 0 and up to {_LONGEST_S:g}, got {value!r}"
        )
    return seconds


class SmoothConfig(Settings):
    """How frames are blended with those before them."""

    seconds: Annotated[Literal["auto", "off"] | float, PlainValidator(parse_smoothing)] = "auto"
    """How long the past of luma lasts, that of chroma five thirds of it: after so long it counts
    1/e. `auto` is 0.15, and off where nothing is cleaned (strength 0, engine identity)."""
    deband: Annotated[Literal["auto", "off"], BeforeValidator(_switch)] = "auto"
    """Whether bands that roll over a filmed monitor are taken away where they are found; only where
    frames are blended."""

    def chosen(self, *, cleaned: bool) -> Smoothing | None:
        """Return what an engine is told.

        Args:
            cleaned: Whether there is a network at work.
        """
        if self.seconds == "off" or (self.seconds == "auto" and not cleaned):
            return None
        luma_s = self.seconds if isinstance(self.seconds, float) else _AUTO_S
        return Smoothing(luma_s, luma_s * _CHROMA_LASTS, deband=self.deband == "auto")


class EncoderConfig(Settings):
    """How a video is written."""

    codec: CodecName = "h264"
    crf: int | None = Field(default=None, ge=0, le=63)
    """Constant quality, lower is better; the codec's usual value where not given."""
    preset: str | None = None
    """The software encoder's own name for speed against size, e.g. `superfast`."""
    hardware: Annotated[str, BeforeValidator(_switch)] = "off"
    """A hardware encoder, whose files are larger at the same quality: `auto` takes the first that
    really encodes, a name (`nvenc`) that one, `off` none."""
    drop_streams: bool = False
    """Leave out streams that the output's container cannot hold, instead of refusing."""


class PhotoConfig(Settings):
    """How a photo is written; PNG and TIFF are lossless and need no settings."""

    quality: int = Field(default=97, ge=1, le=100)
    """Of JPEG and WebP."""


class CompareConfig(Settings):
    """A clip that shows before and after."""

    layout: CompareLayout | None = None
    only: bool = False
    """Write it in place of the clean clip instead of beside it."""

    @model_validator(mode="after")
    def _has_layout(self) -> Self:
        if self.only and self.layout is None:
            raise ValueError("compare.only needs compare.layout: split, side or wipe")
        return self


class MapsConfig(Settings):
    """Sheets that show what was removed, and where moiré was and is."""

    folder: Path | None = None
    """Where to write them; none are written where not given."""
    every: Seconds = Field(default=1.0, ge=0.001)
    """Seconds of the clip from one to the next."""


class Config(Settings):
    """One run of `demoire clean`."""

    source: SourceConfig = SourceConfig()
    engine: EngineConfig = EngineConfig()
    clean: CleanConfig = CleanConfig()
    smooth: SmoothConfig = SmoothConfig()
    encoder: EncoderConfig = EncoderConfig()
    photo: PhotoConfig = PhotoConfig()
    compare: CompareConfig = CompareConfig()
    maps: MapsConfig = MapsConfig()

    def as_yaml(self) -> str:
        """Return the whole configuration in a form that `--config` reads back."""
        return as_yaml(self)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named layer that ships with the program."""

    name: str
    about: str
    values: Mapping[str, Any]


def load_config(
    *,
    preset: str | None = None,
    file: Path | None = None,
    assignments: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
) -> Config:
    """Merge the layers and check the result.

    Args:
        preset: Name of a preset.
        file: YAML file with differences.
        assignments: `group.key=value` each, the value in YAML.
        options: Values by `group.key`; those that are None were not given.

    Raises:
        ConfigError: A layer cannot be read, or a key or value is wrong; all faults are named.
    """
    layers = []
    if preset is not None:
        layers.append(Layer(origin=f"preset {preset}", values=load_preset(preset).values))
    if file is not None:
        layers.append(file_layer(file))
    layers += [assignment_layer(text, example="clean.strength=0.5") for text in assignments]
    layers += option_layers(options or {})
    return merge(layers, Config)


def presets() -> Iterator[Preset]:
    """Yield the presets that ship with the program, by name.

    Raises:
        ConfigError: A preset file cannot be read.
    """
    for path in sorted(_preset_folder().glob("*.yaml")):
        values = dict(read_yaml(path))
        yield Preset(name=path.stem, about=str(values.pop("about", "")), values=values)


def load_preset(name: str) -> Preset:
    """Return one preset.

    Raises:
        ConfigError: There is none of that name.
    """
    found = {preset.name: preset for preset in presets()}
    if name not in found:
        raise ConfigError(f"no preset named {name!r}; there are: {', '.join(found)}")
    return found[name]


def _preset_folder() -> Path:
    """Return `pipeline/configs` of an installed wheel, else `configs` of the clone."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "configs"
