"""What smoothing costs per frame, and where: on a tripod, in a hand, and under rolling bands.

Smooths made-up pictures as a session does, without a network, decoder or encoder. Several clips
take turns, so that a busy moment of the machine falls on all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import cv2
import harness
import numpy as np
from numpy.typing import NDArray

from engines.engine import Moment, PictureFormat, Planes
from engines.smooth.bands import BandEstimator
from engines.smooth.course import Course
from engines.smooth.host import HostBlender
from engines.smooth.smoother import Smoother
from pipeline.config import SmoothConfig

BARS_MS = {"tripod": 3.0, "hand": 5.0}
"""Wall time of a 1080p frame on two cores."""

_RATE = 30.0
_HELD = 16
"""Pictures of a clip, shown there and back."""
_PARTS: dict[str, tuple[type, str]] = {
    "look": (HostBlender, "look"),
    "motion": (Course, "next"),
    "bands": (BandEstimator, "follow"),
    "relight": (HostBlender, "relit"),
    "warp and compare": (HostBlender, "compare"),
    "blend": (HostBlender, "blend"),
}


def main() -> None:
    """Measure, print and write."""
    parser = harness.parser(__doc__, name="smoothing")
    parser.add_argument("--frames", type=int, default=120, help="of each clip and repeat")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    load = harness.warn_if_busy()
    cv2.setNumThreads(1)  # as `demoire clean` does
    width, height = map(int, options.size.split("x"))
    picture_format = PictureFormat("420", 8, width, height)
    clips = {name: list(_pictures(picture_format, name)) for name in ("tripod", "hand", "bands")}
    runs = [
        {name: _run(picture_format, clip, options.frames) for name, clip in clips.items()}
        for _ in range(options.repeats)
    ]
    summary = {
        name: {key: harness.summary([run[name][key] for run in runs]) for key in runs[0][name]}
        for name in clips
    }
    _print(summary)
    content = {"runs": runs, "summary": summary, "bar": {"wall_ms": BARS_MS}}
    harness.write_result(options.out, settings=vars(options), load=load, content=content)


def _pictures(picture_format: PictureFormat, kind: str) -> Iterator[Planes]:
    """Yield pictures of a textured plane under noise, padded as a network's are."""
    rng = np.random.default_rng(1)
    textures = [_texture(rng, shape) for shape in picture_format.plane_shapes]
    for number in range(_HELD):
        x, y = (0.9 * number, 0.4 * number) if kind == "hand" else (0.0, 0.0)
        planes = []
        for index, (texture, shape) in enumerate(
            zip(textures, picture_format.plane_shapes, strict=True)
        ):
            scale = 2 if index else 1
            view = np.array([[1, 0, 16 + x / scale], [0, 1, 16 + y / scale]])
            plane = cv2.warpAffine(
                texture, view, shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            )
            if kind == "bands" and not index:
                wave = np.sin(2 * np.pi * (2.3 * np.arange(shape[0]) / shape[0] + 0.11 * number))
                plane *= (1 + 0.05 * wave)[:, None].astype(np.float32)
            noisy = plane + rng.normal(0, 1.5, shape)
            codes = np.clip(noisy, 0, 255).astype(np.uint8)
            below, right = (-side % (64 // scale) for side in shape)
            planes.append(
                np.asarray(
                    cv2.copyMakeBorder(codes, 0, below, 0, right, cv2.BORDER_REFLECT), np.uint8
                )
            )
        yield tuple(planes)


def _texture(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    height, width = shape[0] + 64, shape[1] + 64
    total = np.full((height, width), 120, np.float32)
    for cell in (10, 40, 160):
        small = rng.normal(0, 14, (height // cell + 2, width // cell + 2)).astype(np.float32)
        total += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def _run(picture_format: PictureFormat, clip: list[Planes], frames: int) -> dict[str, float]:
    """Return milliseconds per frame: wall and CPU of all, wall of each part."""
    smoothing = SmoothConfig().chosen(cleaned=True)
    assert smoothing is not None
    shapes = [(plane.shape[0], plane.shape[1]) for plane in clip[0]]
    smoother = Smoother(picture_format, smoothing, HostBlender(picture_format, shapes))
    spent = dict.fromkeys(_PARTS, 0.0)
    walls: list[float] = []
    with ExitStack() as patched:
        for part, (owner, name) in _PARTS.items():
            timed = _timed(getattr(owner, name), spent, part)
            patched.enter_context(patch.object(owner, name, timed))
        for number, index in enumerate(_there_and_back(len(clip), 40 + frames)):
            if number == 40:  # bands have been found
                spent.update(dict.fromkeys(_PARTS, 0.0))
                walls.clear()
                cpu_s = time.process_time()
            began = time.perf_counter()
            smoother.smooth(clip[index], Moment(number / _RATE, reset=number == 0))
            walls.append(1000 * (time.perf_counter() - began))
    cpu_ms = 1000 * (time.process_time() - cpu_s) / frames
    parts = {f"{part}_ms": 1000 * seconds / frames for part, seconds in spent.items()}
    return {"wall_ms": float(np.median(walls)), "cpu_ms": cpu_ms, **parts}


def _timed(method: Callable[..., Any], spent: dict[str, float], part: str) -> Callable[..., Any]:
    def timed(*words: Any, **named: Any) -> Any:  # noqa: ANN401  # stands in for any method
        began = time.perf_counter()
        try:
            return method(*words, **named)
        finally:
            spent[part] += time.perf_counter() - began

    return timed


def _there_and_back(count: int, frames: int) -> Iterator[int]:
    """Yield indices 0, 1, .. count - 1, count - 2, .. 0, 1, ..: no jump is a cut."""
    period = 2 * (count - 1)
    for number in range(frames):
        yield min(number % period, period - number % period)


def _print(summary: dict[str, dict[str, dict[str, float]]]) -> None:
    rows = [("ms per frame, median (min to max)", *summary)]
    rows += [
        (key, *(harness.spread(found[key]) for found in summary.values()))
        for key in summary["tripod"]
    ]
    rows.append(("bar, wall", *(str(BARS_MS.get(name, "")) for name in summary)))
    harness.print_table(rows)


if __name__ == "__main__":
    main()
