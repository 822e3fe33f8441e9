"""An engine that answers too little memory: fewer pictures at a time, then tiles."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engines.engine import WHOLE, cuda_device
from engines.errors import DeviceMemoryError, EngineError
from engines.fitting.tiles import Grid, plan_grids

if TYPE_CHECKING:
    from engines.engine import Engine, EngineInfo, PictureFormat, Session, Smoothing

_log = logging.getLogger(__name__)


class FittingEngine:
    """Opens sessions of another engine, in parts where its device has too little memory.

    Args:
        engine: Belongs to this one from now on.
        batch: Most pictures per request of `engine` where `open` is told nothing.
    """

    info: EngineInfo
    """Of the engine, and how the pictures of the session opened last go through it."""

    def __init__(self, engine: Engine, *, batch: int) -> None:
        self._engine = engine
        self._batch = batch
        self.info = engine.info

    @property
    def multiple(self) -> int:
        """See `Engine.multiple`."""
        return self._engine.multiple

    @property
    def cuda_device(self) -> int | None:
        """See `OnCuda.cuda_device`; a session of tiles takes no pictures from there."""
        return cuda_device(self._engine)

    def open(
        self,
        picture_format: PictureFormat,
        *,
        smoothing: Smoothing | None = None,
        batch: int | None = None,
    ) -> Session:
        """See `Engine.open`; a session of whole pictures, as many as asked for, is the engine's.

        Raises:
            EngineError: Not even the smallest tiles fit; or what `Engine.open` raises, except for
                `DeviceMemoryError`.
        """
        failures: list[DeviceMemoryError] = []
        for way in self._ways(picture_format, batch):
            try:
                session = way.open(self._engine, picture_format, smoothing)
            except DeviceMemoryError as error:
                _log.debug("%s of %s do not fit: %s", way, _words(picture_format), error)
                failures.append(error)
            else:
                self.info = replace(self._engine.info, fit=str(way))
                if failures:
                    self._tell(picture_format, failures[0])
                return session
        raise self._nothing_fits(picture_format, failures) from failures[-1]

    def close(self) -> None:
        """See `Engine.close`."""
        self._engine.close()

    def _ways(self, picture_format: PictureFormat, batch: int | None) -> Iterator[_Way]:
        """Yield what to try, the fastest first."""
        yield _Whole(batch)
        most = count = batch or self._batch
        while count > 1:
            count //= 2
            yield _Whole(count, of=most)
        for grid in plan_grids(picture_format, multiple=self.multiple):
            yield _Tiles(grid)

    def _tell(self, picture_format: PictureFormat, error: DeviceMemoryError) -> None:
        _log.warning(
            "%s has too little memory for %s at once: %s; slower now, the picture is the same (%s)",
            self.info.device,
            _words(picture_format),
            self.info.fit,
            error,
        )

    def _nothing_fits(
        self, picture_format: PictureFormat, failures: list[DeviceMemoryError]
    ) -> EngineError:
        info = self._engine.info
        *_, last = self._ways(picture_format, 1)
        return EngineError(
            f"{info.backend}: {info.device} has too little memory for {_words(picture_format)}, as"
            f" {'a whole' if isinstance(last, _Whole) else f'{last}'} too ({failures[-1]}); close"
            " other programs that use it, take a smaller network (--model nano) or fewer requests"
            " at a time (--set engine.options...), or compute on the CPU: --engine openvino"
        )


@dataclass(frozen=True)
class _Whole:
    """Whole pictures, `batch` per request; None leaves that to the engine."""

    batch: int | None
    of: int | None = None

    def open(
        self, engine: Engine, picture_format: PictureFormat, smoothing: Smoothing | None
    ) -> Session:
        return engine.open(picture_format, smoothing=smoothing, batch=self.batch)

    def __str__(self) -> str:
        return WHOLE if self.of is None else f"batch {self.batch} of {self.of}"


@dataclass(frozen=True)
class _Tiles:
    """Tiles, one per request."""

    grid: Grid

    def open(
        self, engine: Engine, picture_format: PictureFormat, smoothing: Smoothing | None
    ) -> Session:
        # Imported only where it is needed: it imports `engines.backends`, which imports this.
        from engines.fitting.tiled import TiledSession, tile_format

        inner = engine.open(tile_format(picture_format, self.grid), batch=1)
        session = TiledSession(inner, picture_format, self.grid)
        if smoothing is None:
            return session
        # Motion is of the whole picture: no session of tiles can find it.
        from engines.hosted import HostedSession

        return HostedSession(session, smoothing)

    def __str__(self) -> str:
        return str(self.grid)


_Way = _Whole | _Tiles


def _words(picture_format: PictureFormat) -> str:
    """Return a format as people write it."""
    form = picture_format
    return f"{form.width}x{form.height} {form.layout} of {form.bits} bits"
