"""What a GPU makes of it: the networks alone at three sizes, and the whole from file to file.

In one process, so that libraries load once. Needs PyTorch or TensorRT with CUDA; each figure names
the back end and how it computed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import harness
import numpy as np

from engines.backends import create_engine
from engines.engine import DeviceTimed, Engine, PictureFormat, Plane, Planes
from engines.evaluate.metrics import psnr
from pipeline.bench.clip import Recipe, cache_folder, make_clip, repeat_clip
from pipeline.bench.computing import in_flight
from pipeline.bench.held import HELD
from pipeline.bench.meter import timed
from pipeline.bench.plan import IN_FLIGHT, SIZES, usual_warmup
from pipeline.bench.session import read_gpus
from pipeline.bench.task import Task
from pipeline.bench.whole import measure_whole
from pipeline.config import load_config
from pipeline.errors import SourceError
from pipeline.sources.file import FileSource

_PARITY_PICTURES = 3


def main() -> None:
    """Measure, print and write."""
    parser = harness.parser(__doc__, name="gpu")
    harness.add_engine_options(parser, engine="torch")
    parser.add_argument("--models", default="nano,base")
    parser.add_argument("--sizes", default="720p,1080p,2160p", help=f"some of {', '.join(SIZES)}")
    parser.add_argument("--parts", default="alone,whole")
    parser.add_argument("--options", nargs="*", default=["device=cuda"], help="of the back end")
    parser.add_argument("--frames", type=int, default=240, help="of each whole")
    options = parser.parse_args()
    load = harness.warn_if_busy()
    cv2.setNumThreads(1)  # as `demoire clean` does
    chosen = dict(pair.split("=", 1) for pair in options.options)
    found: dict[str, Any] = {}
    gpus, _ = read_gpus()
    for size in options.sizes.split(","):
        clip = _clip(size, frames=usual_warmup(harness.usable_cores()) + options.frames + IN_FLIGHT)
        for model in options.models.split(","):
            name = f"{model} {size}"
            if "alone" in options.parts:
                found[name] = _alone(options.engine, model, chosen, clip, parity=size == "1080p")
            if "whole" in options.parts:
                found.setdefault(name, {})["whole"] = _wholes(options, model, chosen, clip)
            print(name, found[name], flush=True)
    harness.write_result(
        options.out,
        settings=vars(options),
        load=load,
        content={"gpus": [gpu.model_dump() for gpu in gpus or ()], "runs": found},
    )


def _clip(size: str, *, frames: int) -> Path:
    width, height = map(int, SIZES[size].split("x"))
    recipe = Recipe(width=width, height=height)
    origin = make_clip(recipe, cache_folder(), lambda done, of: None)
    long = harness.CACHE / f"{size}-{frames}.mp4"
    harness.CACHE.mkdir(parents=True, exist_ok=True)
    if not long.exists():
        repeat_clip(origin, long, times=-(-frames // recipe.frames))
    return long


def _pictures(clip: Path, count: int) -> tuple[PictureFormat, list[Planes]]:
    with closing(FileSource(clip)) as source:
        frames = source.frames()
        pictures = [tuple(map(np.array, next(frames).planes)) for _ in range(count)]
        return source.info.picture_format, pictures


def _alone(
    backend: str, model: str, chosen: dict[str, str], clip: Path, *, parity: bool
) -> dict[str, Any]:
    """Return times of the network by the device's clock, and of a session from and to the host."""
    picture_format, pictures = _pictures(clip, HELD)
    began = time.perf_counter()
    engine = create_engine(backend, model=model, options=chosen)
    with closing(engine), closing(engine.open(picture_format)) as session:
        opened_s = time.perf_counter() - began
        assert isinstance(session, DeviceTimed)
        times = session.device_times(repeats=100)
        meter = timed(in_flight(session, pictures), warmup=60, frames=240)
        found = {
            "opened_s": opened_s,
            "engine": f"{engine.info}",
            "copy_in_ms": harness.summary(times.copy_in_ms),
            "infer_ms": harness.summary(times.infer_ms),
            "copy_out_ms": harness.summary(times.copy_out_ms),
            "session_fps": meter.fps,
        }
        if parity:
            some = pictures[:: len(pictures) // _PARITY_PICTURES][:_PARITY_PICTURES]
            found["against_f32"] = _parity(engine, picture_format, some, model)
        return found


def _parity(
    engine: Engine, picture_format: PictureFormat, pictures: list[Planes], model: str
) -> dict[str, float]:
    """Return PSNR in dB and the largest difference in codes from float32 on the CPU."""
    found: list[Plane] = []
    exact_codes: list[Plane] = []
    with (
        closing(create_engine("torch", model=model, options={"device": "cpu"})) as reference,
        closing(reference.open(picture_format)) as exact,
        closing(engine.open(picture_format)) as session,
    ):
        for planes in pictures:
            (wanted,), (got,) = (s.submit([planes]).result() for s in (exact, session))
            for codes, planes_of in ((found, got), (exact_codes, wanted)):
                codes += [plane.ravel() for plane in planes_of]
    one, other = np.concatenate(found), np.concatenate(exact_codes)
    largest = np.abs(np.subtract(one, other, dtype=np.int16)).max()
    return {"psnr_db": psnr(one, other), "largest": float(largest)}


def _wholes(
    options: argparse.Namespace, model: str, chosen: dict[str, str], clip: Path
) -> dict[str, Any]:
    """Return fps of `demoire clean`'s pipeline, by what decodes, steadies and encodes."""
    found: dict[str, Any] = {}
    for decode, smooth, part in _variants():
        config = load_config(
            options={
                "engine.name": options.engine,
                "engine.model": model,
                "engine.options": chosen,
                "source.decode": decode,
                "smooth.seconds": smooth,
                "encoder.preset": "superfast",
            }
        )
        with harness.scratch() as folder:
            task = Task(
                part=part,
                clip=clip,
                folder=folder,
                config=config,
                frames=options.frames,
                warmup=usual_warmup(harness.usable_cores()),
            )
            try:
                sample = measure_whole(task)
            except SourceError as error:
                found[f"{decode} {smooth} {part}"] = {"error": str(error)}
                continue
        found[f"{decode} {smooth} {part}"] = {
            "fps": sample.fps,
            "cpu_ms": 1000 * sample.cpu_s if sample.cpu_s is not None else None,
            "latency_ms": sample.latency_ms.model_dump() if sample.latency_ms else None,
        }
    return found


def _variants() -> Iterator[tuple[str, str, Any]]:
    for decode in ("cpu", "cuda"):
        for smooth in ("off", "auto"):
            yield decode, smooth, "whole_null"
    yield "cuda", "off", "whole_encoded"
    yield "cuda", "auto", "whole_encoded"


if __name__ == "__main__":
    main()
