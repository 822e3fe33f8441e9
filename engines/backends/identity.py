"""The back end that changes nothing: what a pipeline costs without a network."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engines.backends.options import parse_options
from engines.engine import EngineInfo, PictureFormat, Planes, check_pictures


class IdentityOptions(BaseModel):
    """`engine.options` of the identity back end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(default=1, ge=1, le=64)
    """Most pictures per request."""


class IdentityRequest:
    """Pictures that are ready as they came."""

    def __init__(self, pictures: Sequence[Planes]) -> None:
        self._pictures = list(pictures)

    def result(self) -> list[Planes]:
        """Return the very planes that were submitted: views, not copies."""
        return self._pictures


class IdentitySession:
    """Takes and returns one picture format."""

    depth: ClassVar[int] = 1

    def __init__(self, picture_format: PictureFormat, batch: int) -> None:
        self.format = picture_format
        self.batch = batch

    def submit(self, pictures: Sequence[Planes], *, strength: float = 1.0) -> IdentityRequest:
        """See `Session.submit`; the inputs are the outputs, so do not write to them."""
        check_pictures(pictures, self.format, self.batch)
        return IdentityRequest(pictures)

    def close(self) -> None:
        """Nothing is held."""


class IdentityEngine:
    """Returns its input without copying it; whatever the model and the strength."""

    def __init__(self, *, model: str = "-", **options: object) -> None:
        self.options = parse_options(IdentityOptions, "identity", options)
        self.info = EngineInfo(
            backend="identity",
            model="-",
            device="CPU",
            precision="-",
            version=f"NumPy {np.__version__} on {platform.machine()}",
        )

    def open(self, picture_format: PictureFormat) -> IdentitySession:
        """See `Engine.open`."""
        return IdentitySession(picture_format, self.options.batch)

    def close(self) -> None:
        """Nothing is held."""
