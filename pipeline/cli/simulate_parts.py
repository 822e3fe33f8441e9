"""Pictures, clips and shards: what a data set is made of, each made step by step.

Every part yields once per step, for progress. Closed early, it leaves complete files only.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.simulate.arrays import Device
from engines.simulate.film import Filmed
from engines.simulate.takes import draw_clip, draw_picture, film_clip, film_picture, load_show
from engines.simulate.workers import in_order
from engines.train.shards import shard_path, writing_shards
from pipeline.cli.simulate_ledger import Ledger
from pipeline.sinks.file import FileSink
from pipeline.sources.synthetic import SyntheticSource

Steps = Generator[None, None, None]

_PICTURE_SEED, _CLIP_SEED = range(2)
_CRF = 12
"""Of the files: the loss that matters is the simulated recording's."""
_PRESET = "veryfast"


@dataclass(frozen=True, kw_only=True)
class Screen:
    """What all parts share."""

    out: Path
    seed: int
    photos: tuple[Path, ...]
    workers: int
    device: Device

    @property
    def settings(self) -> dict[str, object]:
        """What decides the bytes."""
        photos = [str(folder.absolute()) for folder in self.photos]
        settings: dict[str, object] = {"seed": self.seed, "photos": photos}
        # Not said of `cpu`: a folder made before there was a choice goes on.
        return settings if self.device == "cpu" else {**settings, "device": self.device}


class Part(Protocol):
    """One sort of files."""

    kind: str
    settings: dict[str, object]
    """What decides the bytes; a file made with others is not taken for one of ours."""
    names: dict[str, int]
    """Numbers by name, in order."""
    steps_each: int

    def files(self, name: str) -> tuple[Path, ...]:
        """Return the files of a name."""
        ...

    def make(self, names: Iterable[str], ledger: Ledger) -> Steps:
        """Make them and note each in the ledger once it is complete."""
        ...


class Pictures:
    """NNNNNN_moire.png and NNNNNN_gt.png."""

    kind = "picture"
    steps_each = 1

    def __init__(self, screen: Screen, count: int, *, width: int, height: int) -> None:
        self._screen, self._width, self._height = screen, width, height
        self.settings: dict[str, object] = {**screen.settings, "size": f"{width}x{height}"}
        self.names = {f"{number:06d}": number for number in range(count)}

    def files(self, name: str) -> tuple[Path, ...]:
        """Return picture and truth."""
        return _pair(self._screen.out, name, ".png")

    def make(self, names: Iterable[str], ledger: Ledger) -> Steps:
        """Film on all cores, write here."""
        work = partial(_encoded_pair, self._screen, height=self._height, width=self._width)
        names = list(names)
        numbers = (self.names[name] for name in names)
        with closing(in_order(work, numbers, workers=self._screen.workers)) as pairs:
            for name, pair in zip(names, pairs, strict=True):
                _write_all(dict(zip(self.files(name), pair, strict=True)))
                take = asdict(draw_picture(self._screen.seed, _PICTURE_SEED, self.names[name]))
                ledger.add(
                    {"name": name, "kind": self.kind, "settings": self.settings, "take": take}
                )
                yield


class Clips:
    """NAME_moire.mp4 and NAME_gt.mp4, the kinds of scenes in turn."""

    kind = "clip"

    def __init__(
        self,
        screen: Screen,
        count: int,
        *,
        width: int,
        height: int,
        frame_rate: Fraction,
        frames: int,
        camera: Literal["any", "tripod", "hand"],
    ) -> None:
        self._screen, self._width, self._height = screen, width, height
        self._frame_rate, self.steps_each = frame_rate, frames
        self.settings: dict[str, object] = {
            **screen.settings,
            "size": f"{width}x{height}",
            "frame_rate": str(frame_rate),
            "frames": frames,
            "camera": camera,
        }
        self._takes = {
            number: draw_clip(screen.seed, _CLIP_SEED, number, holding=camera)
            for number in range(count)
        }
        self.names = {f"{number:04d}-{take.scene}": number for number, take in self._takes.items()}

    def files(self, name: str) -> tuple[Path, ...]:
        """Return clip and truth."""
        return _pair(self._screen.out, name, ".mp4")

    def make(self, names: Iterable[str], ledger: Ledger) -> Steps:
        """Film and encode one clip after the other, its frames on all cores."""
        for name in names:
            yield from self._make_one(name)
            take = asdict(self._takes[self.names[name]])
            ledger.add({"name": name, "kind": self.kind, "settings": self.settings, "take": take})

    def _make_one(self, name: str) -> Steps:
        clip = film_clip(
            self._takes[self.names[name]],
            load_show(self._screen.photos),
            height=self._height,
            width=self._width,
            frame_rate=self._frame_rate,
            frames=self.steps_each,
            workers=self._screen.workers,
            device=self._screen.device,
        )
        with closing(clip):
            yield from self._encode(clip, self.files(name))

    def _encode(self, clip: Iterable[Filmed], files: tuple[Path, ...]) -> Steps:
        """Encode both sides frame by frame; both files or none."""
        for_picture, for_truth = tee(clip)
        sides = (
            (filmed.picture for filmed in for_picture),
            (filmed.truth for filmed in for_truth),
        )
        sources = [self._source(side) for side in sides]
        sinks: list[FileSink] = []
        try:
            for path, source in zip(files, sources, strict=True):
                # What is there may be replaced: the caller has asked.
                sinks.append(
                    FileSink(path, source.info, crf=_CRF, encoder_preset=_PRESET, overwrite=True)
                )
            for frames in zip(*(source.frames() for source in sources), strict=True):
                for sink, frame in zip(sinks, frames, strict=True):
                    sink.write(frame)
                yield
            for sink in sinks:
                sink.finish(())
        finally:
            for sink in sinks:
                sink.abort()
                _part_of(sink.path).unlink(missing_ok=True)

    def _source(self, pictures: Iterable[NDArray[np.uint8]]) -> SyntheticSource:
        return SyntheticSource(
            pictures,
            width=self._width,
            height=self._height,
            frame_rate=self._frame_rate,
            frame_count=self.steps_each,
        )


class Shards:
    """shard-NNNNN.npy, see `engines.train.shards`."""

    kind = "shard"

    def __init__(self, screen: Screen, count: int, *, samples: int) -> None:
        self._screen, self.steps_each = screen, samples
        self.settings: dict[str, object] = {**screen.settings, "samples": samples}
        self.names = {shard_path(screen.out, number).stem: number for number in range(count)}

    def files(self, name: str) -> tuple[Path, ...]:
        """Return the shard."""
        return (shard_path(self._screen.out, self.names[name]),)

    def make(self, names: Iterable[str], ledger: Ledger) -> Steps:
        """Make the samples on all cores."""
        names = list(names)
        steps = writing_shards(
            self._screen.out,
            [self.names[name] for name in names],
            samples=self.steps_each,
            photo_folders=self._screen.photos,
            workers=self._screen.workers,
            seed=self._screen.seed,
            device=self._screen.device,
        )
        with closing(steps):
            for done, _ in enumerate(steps, 1):
                if done % self.steps_each == 0:
                    name = names[done // self.steps_each - 1]
                    ledger.add({"name": name, "kind": self.kind, "settings": self.settings})
                yield


def _pair(folder: Path, name: str, suffix: str) -> tuple[Path, Path]:
    return folder / f"{name}_moire{suffix}", folder / f"{name}_gt{suffix}"


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _encoded_pair(screen: Screen, number: int, *, height: int, width: int) -> tuple[bytes, bytes]:
    """Film a picture and return it and its truth as PNG files; runs in a worker."""
    take = draw_picture(screen.seed, _PICTURE_SEED, number)
    show = load_show(screen.photos)
    filmed = film_picture(take, show, height=height, width=width, device=screen.device)
    return _png(filmed.picture), _png(filmed.truth)


def _png(rgb: NDArray[np.uint8]) -> bytes:
    written, data = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))
    assert written
    return bytes(data)


def _write_all(contents: dict[Path, bytes]) -> None:
    """Write files, all of them under their names or none."""
    try:
        for path, data in contents.items():
            _part_of(path).write_bytes(data)
        for path in contents:
            _part_of(path).replace(path)
    except BaseException:
        for path in contents:
            _part_of(path).unlink(missing_ok=True)
        raise
