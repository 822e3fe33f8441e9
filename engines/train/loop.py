"""The training loop: resumable, averaged, validated, logged.

`python -m engines.train.loop RUN_FOLDER --shards FOLDER --minutes 60` starts a run or goes on with
it. The folder then holds `last.pt` (everything needed to resume), `best.safetensors` (the averaged
weights with the lowest validation loss), `log.csv` and `sheet.png` (fixed samples: input, output,
truth).
"""

from __future__ import annotations

import argparse
import csv
import logging
import math
import random
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engines.models import MODELS, load_network
from engines.models.checkpoint import save_checkpoint
from engines.models.network import BLOCK, Network, NetworkConfig
from engines.train.losses import demoire_loss, weights_by_strength
from engines.train.optimiser import Muon

log = logging.getLogger(__name__)

# Half of it, less an offset, still holds the loss's widest pool of chroma.
_LEAST_SIDE = 64


@dataclass(frozen=True)
class TrainConfig:
    """One run."""

    model: str = "nano"
    steps: int = 20_000
    """Length of the learning-rate schedule; a resumed run keeps its own count."""
    batch: int = 16
    crop: int = 320
    """Side of a crop, a multiple of 64."""
    rate: float = 1e-3
    """Peak learning rate of AdamW; warm-up over 200 steps, then a cosine to a hundredth."""
    average: float = 0.999
    """Decay of the exponential moving average of the weights."""
    copied: float = 0.35
    """Share of steps on smaller copies of both pictures: they lose the panel's own grid, which the
    network would otherwise take as the only sign of moiré, and keep the long fringes."""
    recoloured: float = 0.4
    """Share of steps with both pictures darkened and in other colours: few simulated screens show
    what a concert does."""
    squeezed: float = 0.2
    """Share of steps on pictures shrunk to fewer pixels, each axis by its own factor: photos as
    they are passed around."""
    clip: float = 1.0
    """Largest gradient norm."""
    validate_every: int = 500
    seed: int = 1


class Shards:
    """Samples of a folder that may still be growing; the first shard is kept for validation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[Path, NDArray[np.uint8]] = {}
        self.refresh()
        if len(self._open) < 2:
            raise FileNotFoundError(f"{folder}: needs two shards or more; see engines.train.shards")

    def refresh(self) -> None:
        """Take up shards written since."""
        for path in sorted(self._folder.glob("shard-*.npy")):
            if path not in self._open:
                self._open[path] = np.load(path, mmap_mode="r")

    @property
    def validation(self) -> NDArray[np.uint8]:
        """The held-out samples."""
        return next(iter(self._open.values()))

    def batch(self, rng: random.Random, count: int, crop: int) -> NDArray[np.uint8]:
        """Return random crops, turned and mirrored: (count, 2, 3/2 crop, crop) uint8."""
        shards = list(self._open.values())[1:]
        return np.stack([_augment(_pick(shards, rng), rng, crop) for _ in range(count)])


def _pick(shards: list[NDArray[np.uint8]], rng: random.Random) -> NDArray[np.uint8]:
    shard = rng.choice(shards)
    return cast(NDArray[np.uint8], shard[rng.randrange(len(shard))])


def _augment(sample: NDArray[np.uint8], rng: random.Random, crop: int) -> NDArray[np.uint8]:
    """Cut a crop at even coordinates and turn it; planes as in a shard, (2, 3/2 crop, crop)."""
    size = sample.shape[-1]
    x, y = (2 * rng.randrange((size - crop) // 2 + 1) for _ in range(2))
    turns, mirror = rng.randrange(4), rng.random() < 0.5

    def cut(plane: NDArray[np.uint8], left: int, top: int, side: int) -> NDArray[np.uint8]:
        part = np.rot90(plane[:, top : top + side, left : left + side], turns, axes=(1, 2))
        return part[..., ::-1] if mirror else part

    half, c = size // 2, crop // 2
    luma, chroma = sample[:, :size], sample[:, size:]
    parts = [cut(chroma[..., i * half : (i + 1) * half], x // 2, y // 2, c) for i in (0, 1)]
    return np.concatenate([cut(luma, x, y, crop), np.concatenate(parts, axis=2)], axis=1)


def split_planes(batch: Tensor) -> tuple[Tensor, ...]:
    """(N, 3/2 H, W) uint8 to Y (N, 1, H, W), U and V (N, 1, H/2, W/2), float32 in 0..1."""
    size = batch.shape[-1]
    unit = batch[:, None].float() / 255
    chroma = unit[:, :, size:]
    return unit[:, :, :size], chroma[..., : size // 2], chroma[..., size // 2 :]


def copy_smaller(planes: tuple[Tensor, ...], factor: float) -> tuple[Tensor, ...]:
    """Shrink planes (N, 1, H, W) by `factor` and enlarge them again."""

    def copy(plane: Tensor) -> Tensor:
        height, width = plane.shape[-2:]
        small = functional.interpolate(
            plane, (round(height / factor), round(width / factor)), mode="area"
        )
        return functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)

    return tuple(copy(plane) for plane in planes)


def squeeze(planes: tuple[Tensor, ...], height: int, width: int) -> tuple[Tensor, ...]:
    """Shrink a picture to (height, width) luma samples, both even; (N, 1, H, W) planes."""
    sizes = ((height, width), (height // 2, width // 2), (height // 2, width // 2))
    return tuple(
        functional.interpolate(plane, size, mode="area")
        for plane, size in zip(planes, sizes, strict=True)
    )


def recolour(
    planes: tuple[Tensor, ...], truth: tuple[Tensor, ...], rng: random.Random
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Dim both pictures, strengthen or weaken their chroma and turn their hue, alike."""
    dim, gain, angle = rng.uniform(0.3, 1), rng.uniform(0.7, 2), rng.uniform(-math.pi, math.pi)
    a, b = dim * gain * math.cos(angle), dim * gain * math.sin(angle)

    def change(picture: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        y, u, v = picture[0], picture[1] - 0.5, picture[2] - 0.5
        return y * dim, (a * u - b * v + 0.5).clamp(0, 1), (b * u + a * v + 0.5).clamp(0, 1)

    return change(planes), change(truth)


def clean(network: nn.Module, planes: tuple[Tensor, ...]) -> list[Tensor]:
    """Return planes minus their predicted residuals, unclamped."""
    device = planes[0].device.type
    with torch.autocast(device, dtype=torch.bfloat16):
        residuals = network(*planes)
    return [plane - r.float() for plane, r in zip(planes, residuals, strict=True)]


class Training:
    """State of one run."""

    def __init__(self, folder: Path, shards: Shards, config: TrainConfig, device: str) -> None:
        self.folder, self.shards, self.config, self.device = folder, shards, config, device
        torch.manual_seed(config.seed)
        self.network = Network(NetworkConfig(**MODELS[config.model]))
        # A step on a CPU with bf16 takes 0.87 of the time that it takes in torch's default.
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = deepcopy(self.network).requires_grad_(False)
        self.optimiser = Muon(self.network.parameters(), config.rate, weight_decay=1e-2)
        self.step, self.best, self.seconds = 0, math.inf, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "last.pt").exists():
            self._resume()
        self._random = random.Random(config.seed + self.step)

    def start_from(self, model: str) -> None:
        """Begin with the weights of another model instead of random ones."""
        state = load_network(model).state_dict()
        self.network.load_state_dict(state)
        self.average.load_state_dict(state)

    def run(self, minutes: float) -> None:
        """Train until the schedule ends or the time is over; validate and save on the way."""
        deadline = time.monotonic() + 60 * minutes
        started, losses = time.monotonic(), []
        for batch in self._batches():
            losses.append(self._train_step(batch))
            done = self.step >= self.config.steps or time.monotonic() > deadline
            if self.step % self.config.validate_every == 0 or done:
                self.seconds += time.monotonic() - started
                self._validate(float(np.mean(losses)))
                self.save()
                started, losses = time.monotonic(), []
            if done:
                return

    def _batches(self) -> Iterator[Tensor]:
        while True:
            batch = self.shards.batch(self._random, self.config.batch, self.config.crop)
            yield torch.from_numpy(batch).to(self.device)

    def _rate(self) -> float:
        warm_up = min(1.0, (self.step + 1) / 200)
        cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, self.step / self.config.steps))
        return self.config.rate * warm_up * (0.01 + 0.99 * cosine)

    def _train_step(self, batch: Tensor) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        planes, truth = split_planes(batch[:, 0]), split_planes(batch[:, 1])
        planes, truth = self._vary(planes, truth)
        offset = self._random.randrange(BLOCK), self._random.randrange(BLOCK)
        losses = demoire_loss(clean(self.network, planes), truth, offset=offset)
        loss = (losses * weights_by_strength(planes, truth)).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimiser.step()
        self.step += 1
        # The average follows faster at the start, when the weights are still far off.
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for a, b in zip(self.average.parameters(), self.network.parameters(), strict=True):
                a.lerp_(b, 1 - decay)
        return float(loss.detach())

    def _vary(
        self, planes: tuple[Tensor, ...], truth: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return a batch as other people's copies of it might look, both pictures alike."""
        chance, config = self._random.random, self.config
        if chance() < config.squeezed:
            multiple = self.network.config.multiple
            least = math.ceil(max(config.crop * 3 / 8, _LEAST_SIDE) / multiple)
            height, width = (
                multiple * self._random.randint(least, config.crop // multiple) for _ in range(2)
            )
            planes, truth = (squeeze(p, height, width) for p in (planes, truth))
        elif chance() < config.copied:
            factor = self._random.uniform(1.5, 4)
            planes, truth = (copy_smaller(p, factor) for p in (planes, truth))
        if chance() < config.recoloured:
            planes, truth = recolour(planes, truth, self._random)
        return planes, truth

    @torch.no_grad()
    def _validate(self, train_loss: float) -> None:
        samples = self.shards.validation
        pairs, rows, loss = [], [], 0.0
        for start in range(0, len(samples), 16):
            batch = torch.from_numpy(np.array(samples[start : start + 16])).to(self.device)
            planes, truth = split_planes(batch[:, 0]), split_planes(batch[:, 1])
            outputs = [o.clamp(0, 1) for o in clean(self.average, planes)]
            loss += float(demoire_loss(outputs, truth).sum()) / len(samples)
            pairs += _psnr_pairs(planes, outputs, truth)
            if start < 32:
                rows += [_strip(planes, outputs, truth, i) for i in range(0, len(batch), 4)]
        cv2.imwrite(str(self.folder / "sheet.png"), _sheet(rows))
        if loss < self.best:
            self.best = loss
            save_checkpoint(self.average, self.folder / "best.safetensors")
        self._log(train_loss, loss, np.array(pairs))
        self.shards.refresh()

    def _log(self, train_loss: float, loss: float, pairs: NDArray[np.float64]) -> None:
        """Write one CSV line; gains by the strength of the input's moiré, in dB of luma+chroma."""
        before, after = pairs[:, 0], pairs[:, 1]
        strong, weak = before < 25, (before >= 25) & (before < 60)
        row = {
            "step": self.step,
            "minutes": round(self.seconds / 60, 1),
            "rate": round(self._rate(), 6),
            "train_loss": round(train_loss, 5),
            "validation_loss": round(loss, 5),
            "gain_strong_db": _mean((after - before)[strong]),
            "gain_weak_db": _mean((after - before)[weak]),
            "identity_db": _mean(after[before >= 60]),
        }
        path = self.folder / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        log.info("%s", row)

    def save(self) -> None:
        """Write `last.pt`, complete or not at all."""
        partial = self.folder / "last.part"
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": [self.step, self.best, self.seconds],
        }
        torch.save(state, partial)
        partial.rename(self.folder / "last.pt")

    def _resume(self) -> None:
        state = torch.load(self.folder / "last.pt", weights_only=True, map_location=self.device)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best, self.seconds = state["progress"]
        log.info("resumed at step %d", self.step)


def _mean(decibels: NDArray[np.float64]) -> float | None:
    """Return the mean, rounded for the log; None where the held-out samples have no such kind."""
    return round(float(decibels.mean()), 3) if decibels.size else None


def _psnr_pairs(
    planes: tuple[Tensor, ...], outputs: list[Tensor], truth: tuple[Tensor, ...]
) -> list[tuple[float, float]]:
    """Return (before, after) PSNR of each sample over Y, U and V, capped at 80 dB."""

    def psnr(candidate: list[Tensor]) -> NDArray[np.float64]:
        errors = [((a - b) ** 2).mean((1, 2, 3)) for a, b in zip(candidate, truth, strict=True)]
        mse = (errors[0] * 4 + errors[1] + errors[2]) / 6
        result: NDArray[np.float64] = -10 * np.log10(np.maximum(mse.cpu().numpy(), 1e-8))
        return result

    return list(zip(psnr(list(planes)), psnr(outputs), strict=True))


def _strip(
    planes: tuple[Tensor, ...], outputs: list[Tensor], truth: tuple[Tensor, ...], i: int
) -> NDArray[np.uint8]:
    """Return input, output and truth of sample i side by side, BGR."""
    return np.concatenate([_to_bgr([p[i, 0] for p in v]) for v in (planes, outputs, truth)], axis=1)


def _to_bgr(planes: list[Tensor]) -> NDArray[np.uint8]:
    y, u, v = ((p.cpu().numpy() * 255 + 0.5).astype(np.uint8) for p in planes)
    stacked = np.concatenate([y, u.reshape(-1, y.shape[1]), v.reshape(-1, y.shape[1])])
    return cast(NDArray[np.uint8], cv2.cvtColor(stacked, cv2.COLOR_YUV2BGR_I420))


def _sheet(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    half = len(rows) // 2
    return np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half : 2 * half])], 1)


def main() -> None:
    """Start or resume a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=TrainConfig.steps)
    parser.add_argument("--batch", type=int, default=TrainConfig.batch)
    parser.add_argument("--crop", type=int, default=TrainConfig.crop)
    parser.add_argument("--rate", type=float, default=TrainConfig.rate)
    parser.add_argument("--model", choices=list(MODELS), default="nano")
    parser.add_argument("--start-from", help="a shipped model's name or a safetensors file")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: its own choice")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    config = TrainConfig(
        model=options.model,
        steps=options.steps,
        batch=options.batch,
        crop=options.crop,
        rate=options.rate,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    training = Training(options.run, Shards(options.shards), config, device)
    if options.start_from and training.step == 0:
        training.start_from(options.start_from)
    training.run(options.minutes)


if __name__ == "__main__":
    main()
