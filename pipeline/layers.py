"""Settings in layers: a file, `--set`, options; a later one wins, and faults name where they are.

What the settings are is told by a pydantic model; groups are models within it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pipeline.errors import ConfigError

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Differences from what is beneath, and where they come from (for messages)."""

    origin: str
    values: Mapping[str, Any]


def file_layer(path: Path) -> Layer:
    """Return what a YAML file holds.

    Raises:
        ConfigError: It cannot be read or is no mapping.
    """
    return Layer(origin=str(path), values=read_yaml(path))


def assignment_layer(text: str, *, example: str) -> Layer:
    """Return what `--set` was given, `key=value` with the value in YAML.

    Raises:
        ConfigError: It looks otherwise; the message shows the example.
    """
    key, equals, value = text.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        form = "group.key=value" if "." in example.partition("=")[0] else "key=value"
        raise ConfigError(f"--set {text}: must look like {form}, e.g. {example}")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is not valid YAML") from error
    return Layer(origin=f"--set {text}", values=nested(key.strip(), parsed))


def option_layers(options: Mapping[str, object]) -> list[Layer]:
    """Return a layer for every `key: value` whose value is not None, that is, was given."""
    return [
        Layer(origin="command line", values=nested(key, value))
        for key, value in options.items()
        if value is not None
    ]


def merge(layers: Sequence[Layer], model: type[_Model]) -> _Model:
    """Return the checked sum of the layers, later ones winning key by key.

    Raises:
        ConfigError: A key or value is wrong; all faults are named with their origin.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _overlay(merged, layer.values)
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        faults = [_describe(fault, layers, model=model) for fault in error.errors()]
        raise ConfigError("; ".join(faults)) from error


def as_yaml(settings: BaseModel) -> str:
    """Return all settings in a form that `file_layer` reads back."""
    text: str = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
    return text


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


def read_yaml(path: Path) -> Mapping[str, Any]:
    """Return the mapping in a YAML file; an empty file is an empty one.

    Raises:
        ConfigError: It cannot be read or is no mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold `key:` lines with settings, got {values!r}")
    return values


def _overlay(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(lower)
    for key, value in upper.items():
        beneath = result.get(key)
        if isinstance(value, Mapping) and isinstance(beneath, Mapping):
            value = _overlay(beneath, value)
        result[key] = value
    return result


def _describe(fault: ErrorDetails, layers: Sequence[Layer], *, model: type[BaseModel]) -> str:
    """Return `key: what is wrong, got value (origin)`."""
    path = [str(part) for part in fault["loc"]]
    key, origin = ".".join(path), _origin(path, layers)
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key{_suggestion(path, model)} ({origin})"
    if fault["type"] == "value_error":
        message = fault["msg"].removeprefix("Value error, ")
        # A fault between several settings is the whole model's and lies under no key.
        return f"{key}: {message} ({origin})" if path else message
    limits = None if fault["type"] == "multiple_of" else _allowed(path, model)
    wanted = limits or fault["msg"].replace("Input should be", "must be")
    return f"{key}: {wanted}, got {fault['input']!r} ({origin})"


def _origin(path: Sequence[str], layers: Sequence[Layer]) -> str:
    """Return where the value at `path`, or what contains it, was set last."""
    for layer in reversed(layers):
        values: object = layer.values
        for part in path:
            if not isinstance(values, Mapping):  # an element of a list
                break
            values = values.get(part, layer)
        if values is not layer:
            return layer.origin
    return "defaults"


def _suggestion(path: Sequence[str], model: type[BaseModel]) -> str:
    allowed = list(_group(path[:-1], model).model_fields)
    close = difflib.get_close_matches(path[-1], allowed, n=1)
    return f"; did you mean {close[0]}?" if close else f"; allowed: {', '.join(allowed)}"


def _group(path: Sequence[str], model: type[BaseModel]) -> type[BaseModel]:
    """Return the model that holds the group at `path`; entries of a mapping count as groups.

    Raises:
        KeyError: There is a value.
    """
    here: Any = model
    for part in path:
        if get_origin(here) is dict:
            here = get_args(here)[1]
        else:
            here = _some(here.model_fields[part].annotation)
        if get_origin(here) is not dict and not _is_model(here):
            raise KeyError(part)
    if not _is_model(here):
        raise KeyError(path[-1])
    found: type[BaseModel] = here
    return found


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _some(annotation: Any) -> Any:  # noqa: ANN401 (types have no common one)
    """Return `Model` of `Model | None`."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    left = [one for one in get_args(annotation) if one is not NoneType]
    return left[0] if len(left) == 1 else annotation


def _allowed(path: Sequence[str], model: type[BaseModel]) -> str | None:
    """Return "must be a number from 0 to 1" where the field at `path` has limits, else None."""
    *groups, name = path or [""]
    try:
        field = _group(groups, model).model_fields.get(name)
    except KeyError:
        return None
    low, high = _limits(field) if field else (None, None)
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
        elif hasattr(constraint, "lt"):
            high = f"less than {constraint.lt:g}"
    return low, high
