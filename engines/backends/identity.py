"""The back end that changes nothing: what a pipeline costs without a network."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engines.backends.options import parse_options
from engines.backends.padding import empty_planes, pad_into, padded_shapes
from engines.engine import (
    DoneRequest,
    EngineInfo,
    Flicker,
    Moment,
    PictureFormat,
    Planes,
    Smoothing,
    check_moments,
    check_pictures,
)
from engines.smooth.host import HostBlender
from engines.smooth.smoother import Smoother
from engines.smooth.trust import BLOCK


class IdentityOptions(BaseModel):
    """`engine.options` of the identity back end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(default=1, ge=1, le=64)
    """Most pictures per request."""


class IdentitySession:
    """Takes and returns one picture format."""

    depth: ClassVar[int] = 1

    def __init__(
        self, picture_format: PictureFormat, batch: int, smoothing: Smoothing | None
    ) -> None:
        self.format = picture_format
        self.batch = batch
        self._smoothing = smoothing
        self._smoother: Smoother[Planes] | None = None
        if smoothing is not None:
            self._shapes = padded_shapes(picture_format, BLOCK)
            blender = HostBlender(picture_format, self._shapes)
            self._smoother = Smoother(picture_format, smoothing, blender)

    @property
    def flicker(self) -> Flicker | None:
        """See `Session.flicker`."""
        return self._smoother.flicker if self._smoother else None

    def submit(
        self,
        pictures: Sequence[Planes],
        *,
        strength: float = 1.0,
        moments: Sequence[Moment] = (),
    ) -> DoneRequest:
        """See `Session.submit`; unsmoothed, the inputs are the outputs: do not write to them."""
        check_pictures(pictures, self.format, self.batch)
        check_moments(pictures, moments, self._smoothing)
        if self._smoother is None:
            return DoneRequest(pictures)
        return DoneRequest(
            [
                self._smoothed(self._smoother, planes, moment)
                for planes, moment in zip(pictures, moments, strict=True)
            ]
        )

    def _smoothed(self, smoother: Smoother[Planes], planes: Planes, moment: Moment) -> Planes:
        padded = empty_planes(self.format, self._shapes)
        for plane, target in zip(planes, padded, strict=True):
            pad_into(plane, target)
        shapes = self.format.plane_shapes
        smooth = smoother.smooth(padded, moment)
        return tuple(
            plane[:rows, :columns] for plane, (rows, columns) in zip(smooth, shapes, strict=True)
        )

    def close(self) -> None:
        """Nothing is held."""


class IdentityEngine:
    """Returns its input without copying it; whatever the model and the strength."""

    multiple = 2  # chroma lies on whole samples

    def __init__(self, *, model: str = "-", **options: object) -> None:
        self.options = parse_options(IdentityOptions, "identity", options)
        self.info = EngineInfo(
            backend="identity",
            model="-",
            device="CPU",
            precision="-",
            version=f"NumPy {np.__version__} on {platform.machine()}",
        )

    def open(
        self,
        picture_format: PictureFormat,
        *,
        smoothing: Smoothing | None = None,
        batch: int | None = None,
    ) -> IdentitySession:
        """See `Engine.open`."""
        return IdentitySession(picture_format, batch or self.options.batch, smoothing)

    def close(self) -> None:
        """Nothing is held."""
