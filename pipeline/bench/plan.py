"""What to measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.bench.result import PartName
from pipeline.config import Config
from pipeline.errors import ConfigError

STAGES: dict[str, tuple[PartName, ...]] = {
    "decode": ("decode",),
    "transfer": ("transfer",),
    "infer": ("infer",),
    "smooth": ("smooth",),
    "encode": ("encode",),
    "whole": ("whole_null", "whole_encoded"),
}
"""Parts by the names that `--stages` takes, in the order in which they are measured."""


ABOUT: dict[PartName, str] = {
    "decode": "the file source alone, on the GPU where the whole decodes there",
    "transfer": "copies to the device and back, by its own clock",
    "infer": "the network alone",
    "smooth": "smoothing alone; on a device, a session with it less one without",
    "encode": "the file sink alone, on cleaned pictures",
    "whole_null": "the pipeline of `demoire clean`, its pictures dropped",
    "whole_encoded": "the pipeline of `demoire clean`, with the encoder",
}
"""What is done for each part, in words."""

SIZES = {"720p": "1280x720", "1080p": "1920x1080", "2160p": "3840x2160"}
"""Of simulated clips, by name."""

IN_FLIGHT = 32
"""Frames beyond the window: more than a pipeline holds when the last one of it is written."""
_LOOK_AHEAD = 60
_THREADS_PER_CORE = 1.5


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to measure."""

    input: Path | None
    """A file of the user's; None for the simulated clip."""
    width: int
    height: int
    parts: tuple[PartName, ...]
    config: Config
    frames: int
    warmup: int
    repeats: int

    @property
    def clip_frames(self) -> int:
        """Frames that the clip must have: a part may go through it, or work on kept pictures."""
        reading = {"decode", "whole_null", "whole_encoded"} & set(self.parts)
        return self.warmup + self.frames + IN_FLIGHT if reading else 1


def parse_stages(text: str) -> tuple[PartName, ...]:
    """Return the parts that `--stages` names.

    Raises:
        ConfigError: One is unknown.
    """
    words = [word.strip() for word in text.split(",")]
    if words == ["all"]:
        words = list(STAGES)
    unknown = [word for word in words if word not in STAGES]
    if unknown:
        raise ConfigError(
            f"--stages: must be all or some of {','.join(STAGES)}, got {unknown[0]!r}"
        )
    return tuple(part for name, parts in STAGES.items() if name in words for part in parts)


def usual_warmup(cores: int) -> int:
    """Return how many frames a pipeline needs until it is as fast as it stays.

    Encoders take pictures for nothing until they are full: x264 looks up to 60 ahead, and works on
    one and a half for each core.
    """
    return _LOOK_AHEAD + round(_THREADS_PER_CORE * cores)
