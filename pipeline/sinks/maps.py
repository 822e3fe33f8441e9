"""Sheets that show what cleaning removed: one for a photo, one every so often for a video."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SinkError
from pipeline.frame import Frame
from pipeline.media import SourceInfo
from pipeline.sinks.maps_sheet import Measures, View, sheet, view
from pipeline.sinks.rgb import rgb_levels
from pipeline.sinks.target import Target
from pipeline.sources.photo_blocks import exif_orientation

if TYPE_CHECKING:
    import av

    from engines.engine import Planes

OPTION = "--debug-maps"
_SUFFIX = ".maps.png"
_COMPRESSION = 3
_SLACK = 1e-6
"""Of `every_s` or a millisecond: a rounding error before its time is not before it."""

# By EXIF orientation: mirrored left to right, then turned by quarters counter-clockwise.
_UPRIGHT = {
    2: (True, 0),
    3: (False, 2),
    4: (True, 2),
    5: (True, 1),
    6: (False, 3),
    7: (True, 3),
    8: (False, 1),
}


class MapsSink:
    """Writes sheets with before, after and their difference into a folder.

    Each is complete under its name at once, or never there. Frames between two sheets cost
    nothing.

    Args:
        path: The folder.
        info: The source; its rotation or orientation is applied.
        name: What files begin with.
        measures: What the maps show.
        every_s: Seconds from one sheet to the next, the first frame's being the first; None for a
            photo, whose sheet has no time in its name.
        start_s: Time of the first frame, for names.
        overwrite: Replace existing files.
    """

    def __init__(
        self,
        path: str | Path,
        info: SourceInfo,
        *,
        name: str,
        measures: Measures,
        every_s: float | None,
        start_s: float = 0.0,
        overwrite: bool = False,
    ) -> None:
        self._folder = Path(path)
        self._name = name
        self._measures = measures
        self._every_s = every_s
        self._start_s = start_s
        self._overwrite = overwrite
        self._turn = _turn(info)
        self._first_s: float | None = None
        self._due = 0
        self._last: Path | None = None

    def write(self, frame: Frame) -> None:
        """Write a sheet if one is due.

        Raises:
            ValueError: The frame does not carry the planes from before.
            SinkError: A file of that name exists, or it cannot be written.
        """
        if not frame.before:
            raise ValueError(f"{frame!r} does not carry its planes from before")
        since_s = self._since_first(frame)
        if not self._is_due(since_s):
            return
        # Cut to milliseconds, not rounded: what a player shows when it is sent there.
        time_s = None if self._every_s is None else _cut(self._start_s + since_s)
        path = sheet_path(self._folder, self._name, time_s)
        if path == self._last:
            return  # Less than a millisecond later.
        target = Target(path, overwrite=self._overwrite, option=OPTION)
        title = "" if time_s is None else f"at {time_s:.3f} s"
        before, after = (self._view(planes, frame) for planes in (frame.before, frame.planes))
        _, data = cv2.imencode(
            ".png", sheet(before, after, title=title), [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION]
        )
        with target.creating(OPTION):
            target.part.write_bytes(data.tobytes())
        target.complete()
        self._last = path

    def finish(self, tail: tuple[av.Packet[Any], ...]) -> None:
        """Do nothing: every sheet is complete."""

    def abort(self) -> None:
        """Do nothing: every sheet is complete."""

    def _since_first(self, frame: Frame) -> float:
        """Return the seconds since the first frame."""
        if self._first_s is None:
            self._first_s = frame.time_s
        return frame.time_s - self._first_s

    def _is_due(self, since_s: float) -> bool:
        if self._every_s is None:
            return True
        turn = math.floor(since_s / self._every_s + _SLACK)
        if turn < self._due:
            return False
        self._due = turn + 1
        return True

    def _view(self, planes: Planes, frame: Frame) -> View:
        levels = rgb_levels(planes, frame.format, frame.colour)
        return view(_turned(levels, self._turn), self._measures)


def sheet_path(folder: Path, name: str, time_s: float | None) -> Path:
    """Return where a sheet is written: NAME.SECONDS.maps.png, or NAME.maps.png without a time."""
    if time_s is None:
        return folder / f"{name}{_SUFFIX}"
    milliseconds = round(1000 * _cut(time_s))
    return folder / f"{name}.{milliseconds // 1000:05d}.{milliseconds % 1000:03d}{_SUFFIX}"


def _cut(time_s: float) -> float:
    return math.floor(1000 * time_s + _SLACK) / 1000


def refuse_existing(
    folder: Path, name: str, *, is_photo: bool, start_s: float = 0.0, end_s: float | None = None
) -> None:
    """Raise unless no sheet stands where one is going to be.

    Of a video, times of frames are not known beforehand: any sheet from `start_s` on and before
    `end_s` counts.

    Raises:
        SinkError: There is one, or the folder cannot be read.
    """
    if is_photo:
        found = [path for path in [sheet_path(folder, name, None)] if path.exists()]
    else:
        end_s = math.inf if end_s is None else end_s
        found = [path for time_s, path in _sheets(folder, name) if start_s <= time_s < end_s]
    if found:
        raise SinkError(f"{found[0]}: already exists; add --overwrite or give another {OPTION}")


def _sheets(folder: Path, name: str) -> list[tuple[float, Path]]:
    """Return time and path of each sheet of a video that is there."""
    named = re.compile(rf"{re.escape(name)}\.(\d{{5,}}\.\d{{3}}){re.escape(_SUFFIX)}")
    try:
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise SinkError(f"{OPTION} {folder}: cannot be read: {error.strerror}") from error
    times = [(named.fullmatch(path.name), path) for path in paths]
    return [(float(time[1]), path) for time, path in times if time is not None]


def _turn(info: SourceInfo) -> tuple[bool, int]:
    """Return what makes pictures upright: a mirror and quarter turns counter-clockwise."""
    if info.exif is not None:
        return _UPRIGHT.get(exif_orientation(info.exif), (False, 0))
    return False, round(info.rotation / 90) % 4


def _turned(levels: NDArray[np.float32], turn: tuple[bool, int]) -> NDArray[np.float32]:
    mirrored, quarters = turn
    upright = np.rot90(levels[:, ::-1] if mirrored else levels, quarters)
    return np.ascontiguousarray(upright)
