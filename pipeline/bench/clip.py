"""The input of a measurement: a simulated filmed screen, the same for everybody.

Made once and kept, as a phone would have recorded it. It is played there and back, so its end meets
its beginning: repeated, it has no cut.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

from pipeline.bench.held import HELD, there_and_back
from pipeline.errors import SinkError
from pipeline.media import LIMITED_RANGE, as_fraction
from pipeline.pyav import open_input, open_output

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from engines.engine import Planes

RATE = 30
_VERSION = 1
"""Raised with every change that alters the pictures or how they are coded."""
_SEED = 7
_FULL_HD = 1920 * 1080
_FULL_HD_MBIT_S = 16.0
_BT601 = 6
"""What the simulated camera's planes are in: FFmpeg's number of SMPTE 170M."""
_BT709 = 1
_THREADS = 1
"""With more, or with a macroblock tree, x264 does not write the same bytes everywhere."""

OnPicture = Callable[[int, int], None]
"""Told how many pictures are done, of how many; may raise to end it."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a clip is made from."""

    width: int
    height: int
    seed: int = _SEED
    version: int = _VERSION
    pictures: int = HELD

    @property
    def frames(self) -> int:
        """Length of the clip: there and back, its ends once."""
        return 2 * self.pictures - 2

    @property
    def name(self) -> str:
        """Of its file."""
        parts = f"{self.width}x{self.height}-{self.pictures}-seed{self.seed}-v{self.version}"
        return f"filmed-{parts}.mp4"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def cache_folder() -> Path:
    """Return where clips are kept: `demoire/bench` in the user's cache folder."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "demoire" / "bench"


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a folder for what a measurement writes, beside the clips, removed afterwards.

    Not the system's folder for such files: that is often in memory, which is measured here.

    Raises:
        SinkError: It cannot be created.
    """
    with _cannot_be_kept(folder):
        folder.mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(dir=folder, prefix="run-")
    with made as name:
        yield Path(name)


def make_clip(recipe: Recipe, folder: Path, on_picture: OnPicture) -> Path:
    """Return the recipe's clip, made unless it is in the folder already.

    Raises:
        SinkError: It cannot be written.
    """
    path = folder / recipe.name
    if path.exists():
        return path
    with _cannot_be_kept(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=path.stem, suffix=".part")
        os.close(descriptor)
        part = Path(name)
        try:
            _encode(part, recipe, on_picture)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return path


def repeat_clip(source: Path, target: Path, *, times: int) -> None:
    """Write the packets of a clip of ours several times, one after the other.

    Raises:
        SinkError: It cannot be written.
    """
    with (
        _cannot_be_kept(target.parent),
        open_input(source) as reader,
        open_output(target, "mp4") as writer,
    ):
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        unit = as_fraction(stream.time_base) or Fraction(1, RATE)
        length = round(Fraction(stream.frames, RATE) / unit)
        for turn in range(times):
            reader.seek(0)
            for packet in reader.demux(stream):
                if packet.pts is None or packet.dts is None:
                    continue  # PyAV's mark of the end
                packet.pts += turn * length
                packet.dts += turn * length
                packet.stream = copy
                writer.mux(packet)


def _encode(path: Path, recipe: Recipe, on_picture: OnPicture) -> None:
    with open_output(path, "mp4") as container:
        stream = _add_stream(container, recipe)
        for number, frame in enumerate(_frames(recipe)):
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
            on_picture(number + 1, recipe.frames)
        container.mux(stream.encode(None))


def _add_stream(container: av.container.OutputContainer, recipe: Recipe) -> VideoStream:
    area = recipe.width * recipe.height / _FULL_HD
    options = {"preset": "veryfast", "g": str(RATE), "x264-params": "mbtree=0"}
    stream = container.add_stream("libx264", rate=RATE, options=options)
    stream.width, stream.height, stream.pix_fmt = recipe.width, recipe.height, "yuv420p"
    stream.bit_rate = round(_FULL_HD_MBIT_S * 1e6 * area)
    context = stream.codec_context
    context.thread_count = _THREADS
    context.colorspace, context.color_range = _BT601, LIMITED_RANGE
    context.color_primaries = context.color_trc = _BT709
    return stream


def _frames(recipe: Recipe) -> Iterable[VideoFrame]:
    """Yield the clip's pictures for the encoder; each is simulated once."""
    from pipeline.live.sources.filmed import FilmedScreen

    width, height = recipe.width, recipe.height
    screen = FilmedScreen(width=width, height=height, seed=recipe.seed, motion="hand")
    made: list[Planes] = []
    for index in there_and_back(recipe.pictures, recipe.frames):
        if index == len(made):
            made.append(screen.picture(index, index / RATE))
        exported: Any = made[index]
        yield av.VideoFrame.from_dlpack(exported, format="yuv420p", width=width, height=height)


@contextmanager
def _cannot_be_kept(folder: Path) -> Iterator[None]:
    try:
        yield
    except (FFmpegError, OSError) as error:
        raise SinkError(
            f"{folder}: clips to measure on cannot be kept there ({error.strerror}); set"
            " XDG_CACHE_HOME to a folder that can be written to"
        ) from error
