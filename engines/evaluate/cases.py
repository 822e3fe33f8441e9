"""What is judged: pictures with a truth (pairs, simulated) or without one (photos), and clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import cv2
import numpy as np

from engines.evaluate.scenes import Ledger
from engines.pairs import CLIPS, PICTURES, PairsError, find_pairs
from engines.rgb import Picture, to_rgb
from engines.simulate.conditions import draw_conditions
from engines.simulate.content import draw_content
from engines.simulate.film import content_size, film, match_colours

SIMULATED_SIDE = 512
_USUAL_RATE = 30.0
"""Frames a second, where a file does not say."""
# Training numbers its samples from 0 up; nothing is judged that was learned from.
_HELD_OUT = 1 << 40


@dataclass(frozen=True)
class Case:
    """One picture, (H, W, 3) uint8 RGB, and what it should be, if that is known."""

    name: str
    picture: Picture
    truth: Picture | None = None


@dataclass(frozen=True)
class ClipCase:
    """Consecutive frames, (T, H, W, 3) uint8 RGB, and what they should be."""

    name: str
    clip: Picture
    truth: Picture
    frame_rate: float = _USUAL_RATE
    """Frames a second."""
    groups: tuple[str, ...] = ()
    """Which of `scenes.GROUPS` it belongs to, where that is known."""


class Recording(NamedTuple):
    """What is read of a file."""

    pictures: Picture
    """(T, H, W, 3) RGB."""
    frame_rate: float
    """Frames a second."""


class Cases:
    """A set to judge on: its size is known before anything is read."""

    def __init__(self, kind: str, names: list[str]) -> None:
        self.kind = kind
        self.names = names

    def __len__(self) -> int:
        return len(self.names)


class PairCases(Cases):
    """A folder of pairs; see `engines.pairs` for the names."""

    def __init__(self, folder: Path, limit: int | None) -> None:
        self._pairs = find_pairs(folder)[:limit]
        super().__init__("pairs", [pair.name for pair in self._pairs])

    def __iter__(self) -> Iterator[Case]:
        for pair in self._pairs:
            picture, truth = read_picture(pair.moire), read_picture(pair.clean)
            if picture.shape != truth.shape:
                raise PairsError(
                    f"{pair.moire} is {_size(picture)} but {pair.clean} is {_size(truth)};"
                    " pairs must be aligned and of one size"
                )
            yield Case(pair.name, picture, truth)


class PhotoCases(Cases):
    """Every picture of a folder, without truths: only moiré energy can be told."""

    def __init__(self, folder: Path, limit: int | None) -> None:
        if not folder.is_dir():
            raise PairsError(f"{folder}: no such folder; name one that holds pictures")
        paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURES]
        if not paths:
            raise PairsError(f"{folder}: no picture ({', '.join(sorted(PICTURES))})")
        self._paths = paths[:limit]
        super().__init__("photos", [str(path.relative_to(folder)) for path in self._paths])

    def __iter__(self) -> Iterator[Case]:
        for name, path in zip(self.names, self._paths, strict=True):
            yield Case(name, read_picture(path))


class SimulatedCases(Cases):
    """Filmed screens from seeds that training never uses, with content that needs no files."""

    def __init__(self, count: int) -> None:
        super().__init__("simulated", [f"seed {number}" for number in range(count)])

    def __iter__(self) -> Iterator[Case]:
        for number, name in enumerate(self.names):
            rng = np.random.default_rng(_HELD_OUT + number)
            conditions = replace(draw_conditions(rng), flicker=None)
            size = {"height": SIMULATED_SIDE, "width": SIMULATED_SIDE}
            filmed = film(
                draw_content(rng, *content_size(conditions, **size)), conditions, rng, **size
            )
            yield Case(name, filmed.picture, match_colours(filmed.truth, filmed.picture))


class ClipCases(Cases):
    """A folder of pairs of clips, named like pairs of pictures; the first frames of each count.

    What `demoire simulate` notes beside its clips says which scenes they are.
    """

    def __init__(self, folder: Path, limit: int | None, *, frames: int) -> None:
        self._pairs = find_pairs(folder, CLIPS)[:limit]
        self._frames = frames
        super().__init__("clips", [pair.name for pair in self._pairs])

    def __iter__(self) -> Iterator[ClipCase]:
        ledgers: dict[Path, Ledger] = {}
        for pair in self._pairs:
            (clip, frame_rate), (truth, _) = (
                read_clip(path, self._frames) for path in (pair.moire, pair.clean)
            )
            shared = min(len(clip), len(truth))
            if shared < 2 or clip.shape[1:] != truth.shape[1:]:
                raise PairsError(
                    f"{pair.moire} has {len(clip)} frames of {_size(clip[0])} and {pair.clean}"
                    f" {len(truth)} of {_size(truth[0])}; pairs need two frames of one size"
                )
            beside = pair.moire.parent
            if beside not in ledgers:
                ledgers[beside] = Ledger(beside)
            groups = ledgers[beside].groups(pair.moire)
            yield ClipCase(pair.name, clip[:shared], truth[:shared], frame_rate, groups)


def read_picture(path: Path) -> Picture:
    """Return a picture file as RGB, 8 bits.

    Raises:
        PairsError: It cannot be decoded.
    """
    data = np.frombuffer(path.read_bytes(), np.uint8)
    try:
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    except cv2.error as error:
        raise PairsError(f"{path}: cannot be decoded: {error.err}") from error
    if decoded is None:
        raise PairsError(f"{path}: cannot be decoded as a picture")
    return np.asarray(decoded, np.uint8)


def read_clip(path: Path, frames: int) -> Recording:
    """Return the first `frames` frames of a clip, and its rate: 30 where the file does not say.

    Raises:
        PairsError: It cannot be decoded, or has no video.
    """
    pictures: list[Picture] = []
    frame_rate = _USUAL_RATE
    try:
        with av.open(str(path), "r") as container:
            if not container.streams.video:
                raise PairsError(f"{path}: has no video stream")
            frame_rate = float(container.streams.video[0].average_rate or _USUAL_RATE)
            for frame in container.decode(video=0):
                pictures.append(to_rgb(frame))
                if len(pictures) == frames:
                    break
    except av.error.FFmpegError as error:
        raise PairsError(f"{path}: cannot be decoded: {error.strerror}") from error
    if not pictures:
        raise PairsError(f"{path}: has no frame that can be decoded")
    return Recording(np.stack(pictures), frame_rate)


def _size(picture: Picture) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
