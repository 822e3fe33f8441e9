"""Make the benchmarks' clip: 1080p30 H.264 with camera movement, texture and grain; seeded.

The picture is a "dead leaves" model, overlapping shapes whose sizes follow a power law, with 1/f
texture: edges at every scale, as photographs have. Camera and things move along closed paths, so
that repeats of the clip join without a cut. Prints the path of the clip, made once and then kept.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from harness import CACHE
from numpy.typing import NDArray

from pipeline.bench.clip import RATE, repeat_clip
from pipeline.media import BT709, LIMITED_RANGE

Plane = NDArray[np.uint8]

_VERSION = 1  # part of the file name: raise it with every change that alters the pictures
_MARGIN = 1.3  # the scene is larger than the picture by this factor
_LEAVES = 9000  # about three layers
_THINGS = 6
_LENS_PX = 0.8
_GRAIN_LEVELS = 2.4
_BANK_MARGIN = 256


class Picture(NamedTuple):
    """Y, U and V planes in limited range, 4:2:0."""

    y: Plane
    u: Plane
    v: Plane


def main() -> None:
    """Make the clip that the options ask for and print its path."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--size", default="1920x1080", help="even width and height")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--loop-s", type=int, default=10, help="drawn once, then repeated")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    width, _, height = options.size.partition("x")
    if not (width.isdigit() and height.isdigit()) or int(width) % 2 or int(height) % 2:
        parser.error(f"--size: must be even, such as 1920x1080, got {options.size}")
    if options.loop_s < 1 or options.seconds < 1 or options.seconds % options.loop_s:
        parser.error("--seconds: must be a multiple of --loop-s, and both at least 1")
    name = f"clip-v{_VERSION}-{options.size}-seed{options.seed}"
    drawn = _cached(f"{name}-{options.loop_s}s.mp4")
    if not drawn.exists():
        draw_clip(drawn, int(width), int(height), seconds=options.loop_s, seed=options.seed)
    repeated = _cached(f"{name}-{options.loop_s}s-x{options.seconds // options.loop_s}.mp4")
    if options.seconds > options.loop_s and not repeated.exists():
        part = repeated.with_suffix(".part")
        repeat_clip(drawn, part, times=options.seconds // options.loop_s)
        os.replace(part, repeated)
    print(repeated if options.seconds > options.loop_s else drawn)


def draw_clip(path: Path, width: int, height: int, *, seconds: int, seed: int) -> None:
    """Draw and encode the clip, as a phone would record it: about 15 Mbit/s at 1080p."""
    part = path.with_suffix(".part")
    options = {"preset": "fast", "crf": "21", "g": str(RATE)}
    with av.open(str(part), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.thread_type, context.thread_count = "FRAME", 4  # x264's bytes depend on the count
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        for number, picture in enumerate(pictures(width, height, seconds * RATE, seed=seed)):
            frame = av.VideoFrame.from_dlpack(picture, format="yuv420p", width=width, height=height)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
            if number % RATE == 0:
                print(f"drawing the clip: second {number // RATE + 1}/{seconds}", file=sys.stderr)
        container.mux(stream.encode(None))
    os.replace(part, path)


def pictures(width: int, height: int, count: int, *, seed: int) -> Iterator[Picture]:
    """Yield `count` pictures that end where they began."""
    rng = np.random.default_rng(seed)
    scene = _scene(rng, round(height * _MARGIN), round(width * _MARGIN))
    things = [_scene(rng, height // 3, height // 3) for _ in range(_THINGS)]
    ways = rng.uniform(0, 2 * math.pi, _THINGS)
    grain = _grain(rng, height, width)
    for number in range(count):
        turn = 2 * math.pi * number / count
        planes = _filmed(scene, width, height, turn)
        for index, (thing, way) in enumerate(zip(things, ways, strict=True)):
            _place(planes, thing, turn * (1 + index % 3) + way, radius=height // (8 + 2 * index))
        yield Picture(*(_grained(rng, *pair) for pair in zip(planes, grain, strict=True)))


def _scene(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Return overlapping shapes with texture, softened as a lens does."""
    luma = np.full((height, width), 110, np.uint8)
    chroma = np.full((2, height, width), 128, np.uint8)
    roughness = np.full((height, width), 40, np.uint8)
    smallest, largest = height / 180, height / 2
    # Radii by the inverse of the cumulative distribution of r^-3.
    share = rng.uniform(0, 1, _LEAVES)
    radii = (largest**-2 + share * (smallest**-2 - largest**-2)) ** -0.5
    for radius in radii:
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (math.ceil(radius), math.ceil(radius * rng.uniform(0.3, 1)))
        shape = (centre, axes, float(rng.uniform(0, 180)), 0.0, 360.0)
        cv2.ellipse(luma, *shape, int(rng.integers(35, 215)), -1, cv2.LINE_AA)
        for plane in chroma:
            cv2.ellipse(plane, *shape, int(rng.normal(128, 14)), -1, cv2.LINE_AA)
        cv2.ellipse(roughness, *shape, int(rng.integers(0, 120)), -1)
    rough = luma + _pink(rng, height, width) * (roughness / 8.0)
    small = ((width + 1) // 2, (height + 1) // 2)
    u, v = (
        np.asarray(cv2.resize(p, small, interpolation=cv2.INTER_AREA), np.uint8) for p in chroma
    )
    soft = cv2.GaussianBlur(np.clip(rough, 20, 230).astype(np.uint8), (0, 0), _LENS_PX)
    return Picture(np.asarray(soft, np.uint8), u, v)


def _pink(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Return noise with a 1/f spectrum and standard deviation 1, (height, width)."""
    total = np.zeros((height, width), np.float32)
    octave = 1
    while octave < height // 2:
        shape = (height // octave + 2, width // octave + 2)
        coarse = rng.standard_normal(shape, np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        octave *= 2
    return np.asarray(total / total.std(), np.float32)


def _filmed(scene: Picture, width: int, height: int, turn: float) -> Picture:
    """Return what a hand-held camera sees at `turn` (0 to 2 pi) of its closed path."""
    zoom = 1 + 0.05 * math.sin(turn)
    roll = 0.02 * math.sin(2 * turn + 1)
    cosine, sine = zoom * math.cos(roll), zoom * math.sin(roll)
    rows, columns = scene.y.shape
    pan_x = 0.09 * width * math.sin(turn + 2) + 1.5 * math.sin(23 * turn)
    pan_y = 0.07 * height * math.sin(2 * turn) + 1.5 * math.sin(31 * turn + 1)
    x = columns / 2 + pan_x - cosine * width / 2 + sine * height / 2
    y = rows / 2 + pan_y - sine * width / 2 - cosine * height / 2
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def warp(plane: Plane, scale: int) -> Plane:
        matrix = np.array([[cosine, -sine, x / scale], [sine, cosine, y / scale]])
        size = (width // scale, height // scale)
        seen = cv2.warpAffine(plane, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(seen, np.uint8)

    return Picture(warp(scene.y, 1), warp(scene.u, 2), warp(scene.v, 2))


def _place(planes: Picture, thing: Picture, angle: float, *, radius: int) -> None:
    """Draw a disc of `thing` into the planes, somewhere on an ellipse around their middle."""
    height, width = planes.y.shape
    x = int(width * (0.5 + 0.32 * math.cos(angle))) // 2 * 2
    y = int(height * (0.5 + 0.30 * math.sin(angle))) // 2 * 2
    for plane, patch, scale in zip(planes, thing, (1, 2, 2), strict=True):
        side = radius // scale
        around = plane[y // scale - side : y // scale + side, x // scale - side : x // scale + side]
        disc = np.zeros(around.shape, np.uint8)
        cv2.circle(disc, (side, side), side - 1, 255, -1)
        cv2.copyTo(patch[: 2 * side, : 2 * side], disc, around)


def _grain(rng: np.random.Generator, height: int, width: int) -> list[NDArray[np.int16]]:
    """Return sensor noise as a camera leaves it, one field per plane, larger than the plane."""
    fields = []
    for scale, levels in ((1, _GRAIN_LEVELS), (2, _GRAIN_LEVELS / 2), (2, _GRAIN_LEVELS / 2)):
        shape = (height // scale + _BANK_MARGIN, width // scale + _BANK_MARGIN)
        soft = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), 0.6)
        fields.append(np.asarray(np.round(soft * (levels / soft.std())), np.int16))
    return fields


def _grained(rng: np.random.Generator, plane: Plane, field: NDArray[np.int16]) -> Plane:
    """Add a piece of the field, cut elsewhere every time."""
    top, left = rng.integers(0, _BANK_MARGIN, 2)
    piece = field[top : top + plane.shape[0], left : left + plane.shape[1]]
    return np.asarray(cv2.add(plane, piece, dtype=cv2.CV_8U), np.uint8)


def _cached(name: str) -> Path:
    """Return where a file of the cache lies; git ignores all of it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n", encoding="utf-8")
    return CACHE / name


if __name__ == "__main__":
    main()
