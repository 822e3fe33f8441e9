"""Every setting of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engines.models import MODELS


class TrainConfig(BaseModel):
    """One run of `demoire train`; paths are relative to the working directory."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str = "nano"
    """Size of the network: a tier's name."""
    start_from: str | None = None
    """Weights to begin with instead of random ones: a shipped model's name or a safetensors file,
    of this size or smaller in width and depth. A resumed run has its own."""
    out: Path | None = None
    """Folder of the run: everything is written there, and a run that is found there goes on."""

    shards: Path | None = None
    """Folder of simulated samples."""
    pairs: tuple[Path, ...] = ()
    """Folders of pictures with moiré and the same without; see `engines.pairs` for the names."""
    pairs_share: float = Field(default=0.5, ge=0, le=1)
    """Share of a batch that comes from the pairs where shards are given, too."""
    held_out: int = Field(default=10, ge=2)
    """Every so manieth pair of a folder is kept for validation, and never more than 64."""
    cache_mb: int = Field(default=2000, ge=0)
    """Memory for decoded pairs, of each process. Where all do not fit, pictures take turns and
    each is cut several times before the next is decoded."""

    device_cache_gb: float = Field(default=8.0, ge=0)
    """Memory of a GPU for shards, of each process: crops are cut there. When it is full, the newest
    shards take the place of the oldest. 0 cuts crops on the host."""

    steps: int = Field(default=20_000, ge=1)
    """Length of the learning-rate schedule; a resumed run keeps its own count."""
    minutes: float | None = Field(default=None, ge=0)
    """Validate, save and end after so long; until the schedule's end where not given."""
    batch: int = Field(default=16, ge=1)
    """Samples of a step, in each process."""
    crop: int = Field(default=320, ge=64, multiple_of=64)
    """Side of a crop."""
    rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate; then a cosine to a hundredth of it."""
    warm_up: int = Field(default=200, ge=1)
    """Steps in which the learning rate rises to its peak."""
    clip: float = Field(default=1.0, gt=0)
    """Largest gradient norm."""
    average: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the exponential moving average of the weights."""
    weighing: Literal["strength", "equal"] = "strength"
    """How samples count: those with weak moiré more than those with strong, or all alike."""

    harm: float = Field(default=0.1, ge=0)
    """Weight of what gets worse where nothing was wrong. 0.5 leaves fabrics and fences alone, and a
    third of the fringes, too."""

    copied: float = Field(default=0.35, ge=0, le=1)
    """Share of steps on smaller copies of both pictures: they lose the panel's own grid, which the
    network would otherwise take as the only sign of moiré, and keep the long fringes."""
    recoloured: float = Field(default=0.4, ge=0, le=1)
    """Share of steps with both pictures darkened and in other colours: few simulated screens show
    what a concert does."""
    squeezed: float = Field(default=0.2, ge=0, le=1)
    """Share of steps on pictures shrunk to fewer pixels, each axis by its own factor: photos as
    they are passed around."""

    overlaid: float = Field(default=0.1, ge=0, le=1)
    """Share of steps on which the detail of another picture is added to both: texture and text are
    to stay where fringes go."""
    grained: float = Field(default=0.2, ge=0, le=1)
    """Share of steps on which the same grain is added to both pictures: a network that sees noise
    only where its truth has none learns to smooth, and smooths fine texture, too."""

    validate_every: int = Field(default=500, ge=1)
    """Steps from one validation, and save, to the next."""
    seed: int = Field(default=1, ge=0)
    """Of weights, crops and variations."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What computes; `auto` is a GPU where there is one."""
    threads: int = Field(default=0, ge=0)
    """Threads of torch on the CPU; 0 leaves it to torch."""
    precision: Literal["auto", "bf16", "f32"] = "auto"
    """Arithmetic of the network; `auto` is bf16 unless a GPU lacks it. Weights are f32 always."""

    @field_validator("model")
    @classmethod
    def _is_a_tier(cls, model: str) -> str:
        if model not in MODELS:
            raise ValueError(f"must be one of {', '.join(MODELS)}, got {model!r}")
        return model
