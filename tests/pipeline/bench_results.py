"""Results as `demoire bench` has them, made by hand."""

from pipeline.bench.result import Input, Milliseconds, Part, Result, Sample
from pipeline.bench.verdict import summary, verdicts

SIMULATED = {"width": 192, "height": 128, "seed": 7, "version": 1, "pictures": 24}
ENGINE = {"backend": "openvino", "model": "nano", "device": "CPU: one", "precision": "bf16"}


def sample(fps, *, cpu_s=0.01, **changes):
    ms = None if fps is None else 1000 / fps
    times = Milliseconds(mean=ms or 0, p50=ms or 0, p95=ms or 0, p99=ms or 0)
    fields = {"frames": 10, "memory_peak_mb": 100, "memory_growth_mb": 10} | changes
    return Sample(fps=fps, cpu_s=cpu_s, frame_ms=times, **fields)


def part(*fps, cpu_s=0.01, skipped=None):
    samples = [sample(each, cpu_s=cpu_s) for each in fps]
    told = summary(samples) if samples else None
    return Part(about="", samples=samples, summary=told, skipped=skipped)


def result(stages, **changes):
    fields = {
        "version": "1.0",
        "made": "2026-01-01 00:00 UTC",
        "settings": {"smoothing": "0.15 s", "encoder": {"codec": "h264"}, "frames": 10},
        "input": clip(),
        "engine": ENGINE,
        "machine": {"cpu": "one", "cores": 2, "flags": ["avx2"], "libraries": {"av": "18.1"}},
        "gpus": None,
        "gpus_reason": "not readable: pip install nvidia-ml-py",
        "load_before": 0.1,
    }
    return Result(**(fields | changes), stages=stages, whole=verdicts(stages, cores=2))


def clip(**changes):
    fields = {
        "name": "clip.mp4",
        "simulated": SIMULATED,
        "sha256": "ab" * 32,
        "width": 192,
        "height": 128,
        "pixel_format": "yuv420p",
        "codec": "h264",
        "frame_rate": 30.0,
        "mbit_s": 0.5,
    }
    return Input(**(fields | changes))
