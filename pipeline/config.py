"""Every setting of a run: defaults, then preset, then file, then `--set`, then options.

Each layer holds differences only and a later one wins. Settings of one back end sit under
`engine.options` and are checked by that back end, so a new one changes nothing here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pipeline.errors import ConfigError
from pipeline.sinks.codecs import CodecName
from pipeline.stages.compare import CompareLayout

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

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValueError(f"end must be after start ({self.start:g} s), got {self.end:g} s")
        return self


class EngineConfig(Settings):
    """What computes."""

    name: str = "auto"
    """A back end, or `auto` for the first that really opens; see `demoire doctor`."""
    model: str = "nano"
    """The network."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of that back end alone."""


class CleanConfig(Settings):
    """How much is taken away."""

    strength: float = Field(default=1.0, ge=0, le=1)
    """Share of the found fringes to remove; 0 changes nothing."""


class EncoderConfig(Settings):
    """How a video is written."""

    codec: CodecName = "h264"
    crf: int | None = Field(default=None, ge=0, le=63)
    """Constant quality, lower is better; the codec's usual value where not given."""
    preset: str | None = None
    """The encoder's own name for speed against size, e.g. `superfast`."""
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


class Config(Settings):
    """One run of `demoire clean`."""

    source: SourceConfig = SourceConfig()
    engine: EngineConfig = EngineConfig()
    clean: CleanConfig = CleanConfig()
    encoder: EncoderConfig = EncoderConfig()
    photo: PhotoConfig = PhotoConfig()
    compare: CompareConfig = CompareConfig()

    def as_yaml(self) -> str:
        """Return the whole configuration in a form that `--config` reads back."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        return text


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Differences from what is beneath, and where they come from (for messages)."""

    origin: str
    values: Mapping[str, Any]


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
        layers.append(Layer(origin=str(file), values=_read_yaml(file)))
    layers += [_assignment(text) for text in assignments]
    given = {key: value for key, value in (options or {}).items() if value is not None}
    layers += [
        Layer(origin="command line", values=nested(key, value)) for key, value in given.items()
    ]
    return merge(layers)


def merge(layers: Sequence[Layer]) -> Config:
    """Return the checked sum of the layers, later ones winning key by key.

    Raises:
        ConfigError: A key or value is wrong; all faults are named with their origin.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _overlay(merged, layer.values)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        faults = [_describe(fault, layers) for fault in error.errors()]
        raise ConfigError("; ".join(faults)) from error


def presets() -> Iterator[Preset]:
    """Yield the presets that ship with the program, by name.

    Raises:
        ConfigError: A preset file cannot be read.
    """
    for path in sorted(_preset_folder().glob("*.yaml")):
        values = dict(_read_yaml(path))
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


def nested(key: str, value: object) -> dict[str, Any]:
    """Return `{"a": {"b": value}}` for the key `a.b`."""
    head, _, rest = key.partition(".")
    return {head: nested(rest, value) if rest else value}


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield `("a.b", value)` for every value in nested mappings."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _preset_folder() -> Path:
    """Return `pipeline/configs` of an installed wheel, else `configs` of the clone."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "configs"


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold `group:` lines with settings, got {values!r}")
    return values


def _assignment(text: str) -> Layer:
    key, equals, value = text.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        raise ConfigError(f"--set {text}: must look like group.key=value, e.g. clean.strength=0.5")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is not valid YAML") from error
    return Layer(origin=f"--set {text}", values=nested(key.strip(), parsed))


def _overlay(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(lower)
    for key, value in upper.items():
        beneath = result.get(key)
        if isinstance(value, Mapping) and isinstance(beneath, Mapping):
            value = _overlay(beneath, value)
        result[key] = value
    return result


def _describe(fault: ErrorDetails, layers: Sequence[Layer]) -> str:
    """Return `key: what is wrong, got value (origin)`."""
    path = [str(part) for part in fault["loc"]]
    key, origin = ".".join(path), _origin(path, layers)
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key{_suggestion(path)} ({origin})"
    if fault["type"] == "value_error":
        return f"{key}: {fault['msg'].removeprefix('Value error, ')} ({origin})"
    wanted = _allowed(path) or fault["msg"].replace("Input should be", "must be")
    return f"{key}: {wanted}, got {fault['input']!r} ({origin})"


def _origin(path: Sequence[str], layers: Sequence[Layer]) -> str:
    """Return where the value at `path` was set last."""
    for layer in reversed(layers):
        values: object = layer.values
        for part in path:
            values = values.get(part, layer) if isinstance(values, Mapping) else layer
        if values is not layer:
            return layer.origin
    return "defaults"


def _suggestion(path: Sequence[str]) -> str:
    allowed = list(_group(path[:-1]).model_fields)
    close = difflib.get_close_matches(path[-1], allowed, n=1)
    return f"; did you mean {close[0]}?" if close else f"; allowed: {', '.join(allowed)}"


def _group(path: Sequence[str]) -> type[Settings]:
    """Return the model that holds the group at `path`."""
    model: type[Settings] = Config
    for part in path:
        annotation = model.model_fields[part].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, Settings)
        model = annotation
    return model


def _allowed(path: Sequence[str]) -> str | None:
    """Return "must be 0 to 1" where the field at `path` has numeric limits, else None."""
    if len(path) != 2:
        return None
    low, high = _limits(_group(path[:-1]).model_fields[path[-1]])
    if low is None:
        return None
    return f"must be a number from {low}" + (f" to {high}" if high is not None else " up")


def _limits(field: FieldInfo) -> tuple[str | None, str | None]:
    """Return the lower and upper limit of a numeric field in words."""
    low = high = None
    for constraint in field.metadata:
        if hasattr(constraint, "ge"):
            low = f"{constraint.ge:g}"
        elif hasattr(constraint, "gt"):
            low = f"more than {constraint.gt:g}"
        elif hasattr(constraint, "le"):
            high = f"{constraint.le:g}"
    return low, high
