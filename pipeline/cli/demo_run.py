"""What `demoire demo` does: simulate, clean through the real pipeline, measure."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from engines.evaluate.metrics import moire_energy, psnr
from engines.rgb import Picture, to_rgb
from engines.simulate.clip import Hand, simulate_clip
from engines.simulate.conditions import Conditions
from engines.simulate.content import scene
from engines.simulate.film import content_size, match_colours
from engines.simulate.optics import Pose
from pipeline.cli.batch import INTERRUPTED
from pipeline.cli.console import say
from pipeline.cli.inputs import Job, create_folder
from pipeline.cli.interrupt import stop_on_interrupt
from pipeline.cli.job import Cleaner, run
from pipeline.cli.options import ProgressMode
from pipeline.cli.progress import create_display
from pipeline.config import Config, load_config
from pipeline.errors import SinkError
from pipeline.sinks.file import FileSink
from pipeline.sources.synthetic import SyntheticSource

if TYPE_CHECKING:
    import threading

    from pipeline.cli.progress import Display
    from pipeline.report import RunReport


FRAME_RATE = 30
_MEASURED_EVERY = 6
_ENCODER_PRESET = "veryfast"
"""Sensor noise is dear to encode; slower presets gain nothing that a demo shows."""
_SOUND_RATE = 48_000
_CHORD_HZ = (220.0, 277.18, 329.63)

# A screen two sensor pixels a pixel: there, screen grid and colour filters beat slowest, and their
# fringes are widest.
_CONDITIONS = Conditions(pose=Pose(ratio=2.06, roll_deg=1.2, tilt_x_deg=3, tilt_y_deg=-4))


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What to make, and where."""

    out: Path
    seed: int
    seconds: float
    width: int
    height: int

    @property
    def before(self) -> Path:
        """The filmed clip."""
        return self.out / "before.mp4"

    @property
    def after(self) -> Path:
        """The cleaned clip."""
        return self.out / "after.mp4"

    @property
    def still(self) -> Path:
        """Before and after in one picture."""
        return self.out / "after.compare.png"

    @property
    def frames(self) -> int:
        """Length of the clip."""
        return max(1, round(self.seconds * FRAME_RATE))


@dataclass
class Filming:
    """The simulated camera's pictures; keeps the truth of those that are measured."""

    demo: Demo
    truths: dict[int, Picture] = field(default_factory=dict)

    def pictures(self) -> Iterator[Picture]:
        """Yield what the camera sees, RGB."""
        demo, rng = self.demo, np.random.default_rng(self.demo.seed)
        rows, columns = content_size(_CONDITIONS, height=demo.height, width=demo.width)
        shown = scene(rng, max(96, rows), max(96, columns), kind="player")
        clip = simulate_clip(
            shown,
            _CONDITIONS,
            Hand(),
            seed=demo.seed,
            height=demo.height,
            width=demo.width,
            frame_rate=FRAME_RATE,
            frames=demo.frames,
        )
        for number, filmed in enumerate(clip):
            if number % _MEASURED_EVERY == 0:
                self.truths[number] = match_colours(filmed.truth, filmed.picture)
            yield filmed.picture


def run_demo(demo: Demo, *, engine: str, model: str, overwrite: bool) -> int:
    """Make and clean the clip, print the table, and return the exit code.

    Raises:
        DemoireError: A file exists or cannot be written, or no engine opens.
    """
    _make_folder(demo, overwrite=overwrite)
    config = load_config(
        options={
            "engine.name": engine,
            "engine.model": model,
            "encoder.preset": _ENCODER_PRESET,
            "compare.layout": "split",
        }
    )
    display = create_display(ProgressMode.AUTO)
    filming = Filming(demo)
    with stop_on_interrupt() as stop:
        _film(filming, stop, display, overwrite=overwrite)
        if not stop.is_set():
            report = _clean(demo, config, stop, display, overwrite=overwrite)
        if stop.is_set():
            return INTERRUPTED
    _tell(demo, filming.truths, report)
    return 0


def _make_folder(demo: Demo, *, overwrite: bool) -> None:
    create_folder(demo.out)
    if demo.still.exists() and not overwrite:
        raise SinkError(f"{demo.still}: already exists; add --overwrite or give another --out")


def _film(filming: Filming, stop: threading.Event, display: Display, *, overwrite: bool) -> None:
    """Write the filmed clip with a soft chord as its sound."""
    demo = filming.demo
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "chord.m4a"
        _write_chord(sound, seconds=demo.frames / FRAME_RATE)
        source = SyntheticSource(
            filming.pictures(),
            width=demo.width,
            height=demo.height,
            frame_rate=Fraction(FRAME_RATE),
            frame_count=demo.frames,
            sound=sound,
        )
        try:
            sink = FileSink(
                demo.before, source.info, encoder_preset=_ENCODER_PRESET, overwrite=overwrite
            )
        except BaseException:
            source.close()
            raise
        display.start(source.info, demo.before)
        report = run(source, [], [sink], stop, on_frame=display.update)
        display.succeed(
            f"{demo.before}: {demo.frames} frames simulated", {"frames": report.frames_out}
        )


def _write_chord(path: Path, *, seconds: float) -> None:
    time = np.arange(round(seconds * _SOUND_RATE)) / _SOUND_RATE
    swell = 0.03 * np.sin(np.pi * time / seconds)
    wave = sum(np.sin(2 * np.pi * hz * time) for hz in _CHORD_HZ) * swell
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", _SOUND_RATE)
        for begin in range(0, len(time), 1024):
            part = np.asarray(wave[begin : begin + 1024], np.float32)
            frame = av.AudioFrame.from_ndarray(part[None], "fltp", "mono")
            frame.sample_rate, frame.pts = _SOUND_RATE, begin
            frame.time_base = Fraction(1, _SOUND_RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _clean(
    demo: Demo, config: Config, stop: threading.Event, display: Display, *, overwrite: bool
) -> RunReport:
    with closing(Cleaner(config, overwrite=overwrite, display=display)) as cleaner:
        report = cleaner.clean(Job(source=demo.before, target=demo.after), stop)
    display.succeed(f"{demo.after}: {report.one_line()}", {})
    return report


def _tell(demo: Demo, truths: dict[int, Picture], report: RunReport) -> None:
    """Write the picture and print what changed."""
    from rich.console import Console
    from rich.table import Table

    before, after = _decoded(demo.before, set(truths)), _decoded(demo.after, set(truths))
    middle = sorted(truths)[len(truths) // 2]
    _write_picture(demo.still, np.hstack([before[middle], after[middle]]))
    table = Table("", "before", "after")
    closeness = [_mean_psnr(clip, truths) for clip in (before, after)]
    ripple = [float(np.mean([moire_energy(x) for x in clip.values()])) for clip in (before, after)]
    table.add_row("PSNR to the truth (dB, higher is better)", *(f"{x:.2f}" for x in closeness))
    table.add_row("moiré energy (Lab, lower is better)", *(f"{x:.2f}" for x in ripple))
    table.add_row("speed (frames a second)", "", f"{report.fps:.1f}")
    Console().print(table)
    say(f"Look at {demo.still} and {demo.out / 'after.compare.mp4'}")


def _mean_psnr(clip: dict[int, Picture], truths: dict[int, Picture]) -> float:
    return float(np.mean([psnr(picture, truths[number]) for number, picture in clip.items()]))


def _decoded(path: Path, wanted: set[int]) -> dict[int, Picture]:
    """Return some frames of a clip as RGB, by number."""
    with av.open(str(path), "r") as container:
        return {
            number: to_rgb(frame)
            for number, frame in enumerate(container.decode(video=0))
            if number in wanted
        }


def _write_picture(path: Path, picture: Picture) -> None:
    import cv2

    written, data = cv2.imencode(".png", picture[..., ::-1])
    assert written
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise SinkError(f"{path}: cannot be written: {error.strerror}") from error
