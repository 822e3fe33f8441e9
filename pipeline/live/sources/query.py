"""Parameters of simulated sources: `test://?size=640x480&rate=25`."""

from __future__ import annotations

import re
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from pipeline.errors import ConfigError

_SIZE = re.compile(r"(\d+)x(\d+)")


class Query(BaseModel):
    """What all sets of parameters share: immutable, no unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def parse_size(value: object) -> object:
    """Return (width, height) of `1280x720`.

    Raises:
        ValueError: It is none, odd, or not within 64..8192.
    """
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value)
    sides = (int(found[1]), int(found[2])) if found else (0, 0)
    if any(side % 2 or not 64 <= side <= 8192 for side in sides):
        raise ValueError("a size is WIDTHxHEIGHT, both even and within 64..8192, e.g. 1280x720")
    return sides


Size = Annotated[tuple[int, int], BeforeValidator(parse_size)]

_Parameters = TypeVar("_Parameters", bound=Query)


def parameters(spec: str, kind: type[_Parameters]) -> _Parameters:
    """Return the parameters of an address.

    Raises:
        ConfigError: One is unknown or wrong.
    """
    given = dict(parse_qsl(spec.partition("?")[2], keep_blank_values=True))
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "parameters"
        known = ", ".join(kind.model_fields)
        raise ConfigError(
            f"{spec}: {name}: {first['msg'].removeprefix('Value error, ')}; there are {known}"
        ) from None
