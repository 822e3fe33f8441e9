"""How a back end reads its own options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from engines.errors import EngineError

Options = TypeVar("Options", bound=BaseModel)


def parse_options(model: type[Options], backend: str, values: Mapping[str, object]) -> Options:
    """Return `values` as a back end's options model.

    Raises:
        EngineError: An option does not exist or its value is out of range.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}, got {fault['input']!r}"
            for fault in error.errors()
        )
        known = ", ".join(model.model_fields)
        raise EngineError(f"engine.options of {backend}: {faults} (options: {known})") from error
