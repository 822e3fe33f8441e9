"""A session that cleans pictures tile by tile, through one of tiles."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from engines.backends.padding import empty_planes, pad_into
from engines.engine import CHROMA_SHIFT, Moment, Planes, check_pictures
from engines.errors import EngineError

if TYPE_CHECKING:
    from engines.engine import Flicker, PictureFormat, Plane, Request, Session
    from engines.fitting.tiles import Grid, Span

_Tile = tuple["Span", "Span"]


def tile_format(picture_format: PictureFormat, grid: Grid) -> PictureFormat:
    """Return the format of a picture's tiles."""
    return replace(picture_format, width=grid.width, height=grid.height)


class TiledSession:
    """One picture at a time, its tiles in flight as the session of tiles allows; not smoothed.

    Args:
        inner: A session of tiles, see `tile_format`; closed with this one.
        picture_format: Of the pictures.
        grid: Its tiles.
    """

    batch = 1
    depth = 2
    """While the last tiles of a picture are computed, the first ones of the next are copied in."""

    def __init__(self, inner: Session, picture_format: PictureFormat, grid: Grid) -> None:
        self.format = picture_format
        self._inner = inner
        self._grid = grid
        shift_x, shift_y = CHROMA_SHIFT[picture_format.layout]
        planes = len(picture_format.plane_shapes)
        self._shifts = [(0, 0), (shift_x, shift_y), (shift_x, shift_y)][:planes]
        self._in_flight: deque[_Part] = deque()

    @property
    def flicker(self) -> Flicker | None:
        """Nothing is smoothed."""
        return None

    def submit(
        self,
        pictures: Sequence[Planes],
        *,
        strength: float = 1.0,
        moments: Sequence[Moment] = (),
    ) -> TiledRequest:
        """See `Session.submit`; waits for tiles before when too many are in flight."""
        check_pictures(pictures, self.format, self.batch)
        (planes,) = pictures
        request = TiledRequest(self, empty_planes(self.format, self.format.plane_shapes))
        left = self._grid.tiles
        while tiles := list(islice(left, self._inner.batch)):
            if len(self._in_flight) >= self._inner.depth:
                self.finish_oldest()
            cuts = [self._cut(planes, tile) for tile in tiles]
            part = self._inner.submit(cuts, strength=strength)
            self._in_flight.append(_Part(request, part, tiles))
            request.missing += 1
        return request

    def finish_oldest(self) -> None:
        """Wait for the oldest tiles in flight and put them in their picture's place."""
        part = self._in_flight.popleft()
        part.picture.missing -= 1
        try:
            cleaned = part.request.result()
        except EngineError as error:
            part.picture.error = error
            return
        for tile, planes in zip(part.tiles, cleaned, strict=True):
            self._paste(planes, part.picture.planes, tile)

    def close(self) -> None:
        """Wait for what is in flight and close the session of tiles; results stay valid."""
        while self._in_flight:
            self.finish_oldest()
        self._inner.close()

    def _cut(self, planes: Planes, tile: _Tile) -> Planes:
        """Return a tile of each plane: a view, but where the picture ends before the tile."""
        rows, columns = tile
        cut: list[Plane] = []
        wanted = self._inner.format.plane_shapes
        for plane, shape, (shift_x, shift_y) in zip(planes, wanted, self._shifts, strict=True):
            view = plane[
                rows.start >> shift_y : rows.stop >> shift_y,
                columns.start >> shift_x : columns.stop >> shift_x,
            ]
            if view.shape != shape:
                # As the back end mirrors the whole picture.
                (padded,) = empty_planes(self.format, [shape])
                pad_into(view, padded)
                view = padded
            cut.append(view)
        return tuple(cut)

    def _paste(self, tile_planes: Planes, planes: Planes, tile: _Tile) -> None:
        """Copy what a tile gives into its picture."""
        rows, columns = tile
        parts = zip(tile_planes, planes, self._shifts, strict=True)
        for source, target, (shift_x, shift_y) in parts:
            from_row, to_row = _scaled(rows, shift_y)
            from_column, to_column = _scaled(columns, shift_x)
            top, left = rows.start >> shift_y, columns.start >> shift_x
            target[from_row:to_row, from_column:to_column] = source[
                from_row - top : to_row - top, from_column - left : to_column - left
            ]


def _scaled(span: Span, shift: int) -> tuple[int, int]:
    """Return which samples of a subsampled plane are taken; odd sizes round up, as codecs do."""
    return span.first >> shift, -(-span.end >> shift)


class TiledRequest:
    """A picture whose tiles are on their way."""

    def __init__(self, session: TiledSession, planes: Planes) -> None:
        self._session = session
        self.planes = planes
        """Filled tile by tile."""
        self.missing = 0
        """Requests for its tiles that are in flight."""
        self.error: EngineError | None = None
        """Of one of them."""

    def result(self) -> list[Planes]:
        """See `Request.result`."""
        while self.missing:
            self._session.finish_oldest()
        if self.error is not None:
            raise self.error
        return [self.planes]


class _Part:
    """Tiles of a picture that are computed by one request."""

    def __init__(self, picture: TiledRequest, request: Request, tiles: list[_Tile]) -> None:
        self.picture, self.request, self.tiles = picture, request, tiles
