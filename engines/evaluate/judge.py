"""Judging a network on a set of pictures or clips, beside doing nothing and simple filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.evaluate import BASELINES
from engines.evaluate.cases import Case, ClipCase
from engines.evaluate.metrics import (
    aligned_psnr,
    colour_fit,
    detail_kept,
    flicker,
    moire_band_error,
    moire_energy,
    psnr,
    relation_error,
    ssim,
)

Picture = NDArray[np.uint8]
Clean = Callable[[Picture], Picture]
Scores = dict[str, float]

INPUT = "input"
"""The method that does nothing: every figure stands beside that of the picture as it came."""

STRENGTHS = (("strong", 25.0), ("medium", 32.0), ("weak", float("inf")))
"""Name and upper end of the input's colour-aligned PSNR in dB: low where moiré is strong."""

HARM_CAP_DB = 80.0
"""A clean picture that comes back bit for bit counts as this much."""

_SOMETHING = 0.1
"""Least level, or Lab unit, of ripple that counts as there."""

_CROP = 256
_REMOVED_GAIN = 4


@dataclass(frozen=True)
class Crop:
    """Where most moiré was, (h, w, 3) uint8 RGB each."""

    before: Picture
    after: Picture
    removed: Picture
    """The residual, four times as strong, on grey."""
    truth: Picture | None


@dataclass
class Judgement:
    """Scores of one picture or clip by method, `INPUT` and `model` among them."""

    name: str
    scores: dict[str, Scores]
    harm_db: float | None = None
    """PSNR between the truth and what the model makes of it; None without a truth."""
    crop: Crop | None = field(default=None, repr=False)

    @property
    def strength(self) -> str | None:
        """Which of `STRENGTHS` the input's moiré has; None without a truth."""
        aligned = self.scores[INPUT].get("aligned_psnr")
        if aligned is None:
            return None
        return next(name for name, end in STRENGTHS if aligned <= end)


def load_baselines(names: Iterable[str] = BASELINES) -> dict[str, Clean]:
    """Return the filters of these names."""
    found = {}
    for name in names:
        module, _, attribute = BASELINES[name].partition(":")
        found[name] = getattr(import_module(module), attribute)
    return found


def judge_pictures(
    cases: Iterable[Case], model: Clean, baselines: Mapping[str, Clean]
) -> Iterator[Judgement]:
    """Yield a judgement for each picture, in order."""
    for case in cases:
        after = model(case.picture)
        outputs = {INPUT: case.picture, "model": after}
        outputs |= {name: clean(case.picture) for name, clean in baselines.items()}
        scores = {name: score_picture(output, case.truth) for name, output in outputs.items()}
        harm = None
        if case.truth is not None:
            harm = min(psnr(model(case.truth), case.truth), HARM_CAP_DB)
        yield Judgement(case.name, scores, harm, _crop(case, after))


def judge_clips(
    cases: Iterable[ClipCase], model: Clean, baselines: Mapping[str, Clean]
) -> Iterator[Judgement]:
    """Yield a judgement for each clip, in order; frames are cleaned one by one."""
    methods: dict[str, Clean] = {"model": model, **baselines}
    for case in cases:
        outputs = {INPUT: case.clip}
        for name, clean in methods.items():
            outputs[name] = np.stack([clean(frame) for frame in case.clip])
        scores = {name: score_clip(output, case.truth) for name, output in outputs.items()}
        middle = len(case.clip) // 2
        still = Case(case.name, case.clip[middle], case.truth[middle])
        yield Judgement(case.name, scores, crop=_crop(still, outputs["model"][middle]))


def score_picture(output: Picture, truth: Picture | None) -> Scores:
    """Return every measure that can be told of a picture."""
    scores = {"moire_energy": moire_energy(output)}
    if truth is not None:
        scores |= {
            "moire_band_error": moire_band_error(output, truth),
            "psnr": psnr(output, truth),
            "aligned_psnr": aligned_psnr(output, truth),
            "ssim": ssim(output, truth),
        }
        if truth.min() < truth.max():
            scores["detail_kept"] = detail_kept(output, truth)
    return scores


def score_clip(output: Picture, truth: Picture) -> Scores:
    """Return every measure of a clip, (T, H, W, 3)."""
    return {
        "relation_error": relation_error(output, truth),
        "flicker": flicker(output, truth),
        "psnr": float(np.mean([psnr(a, b) for a, b in zip(output, truth, strict=True)])),
    }


RATIOS = ("moire_band_error", "moire_energy", "relation_error", "flicker")
"""Measures of what should go: told as output over input, the mean as mean over mean; below 1 is
better."""
GAINS = ("psnr", "aligned_psnr", "ssim")
"""Measures of likeness: told as output minus input; above 0 is better."""


def summarise(judgements: list[Judgement]) -> dict[str, Any]:
    """Return the set's figures: whole, by strength, and what clean pictures lose."""
    summary: dict[str, Any] = {"all": _by_method(judgements)}
    strengths = {
        name: _by_method(those)
        for name, _ in STRENGTHS
        if (those := [j for j in judgements if j.strength == name])
    }
    if strengths:
        summary["by_strength"] = strengths
    if harms := [j.harm_db for j in judgements if j.harm_db is not None]:
        summary["do_no_harm_db"] = _spread(harms)
    return summary


def badness(judgement: Judgement) -> float:
    """Return how badly the model did: what is left of the moiré, over what there was."""
    for measure in RATIOS:
        before = judgement.scores[INPUT].get(measure)
        if before is not None:
            return judgement.scores["model"][measure] / max(before, 1e-6)
    return 0.0


def _by_method(judgements: list[Judgement]) -> dict[str, Any]:
    found: dict[str, Any] = {"count": len(judgements)}
    for method in judgements[0].scores if judgements else ():
        figures = {}
        for measure in judgements[0].scores[method]:
            pairs = [
                (j.scores[method][measure], j.scores[INPUT][measure])
                for j in judgements
                if measure in j.scores[method]
            ]
            figures[measure] = _spread([after for after, _ in pairs])
            if method == INPUT:
                continue
            if measure in RATIOS:
                figures[f"{measure}_ratio"] = _ratio(pairs)
            elif measure in GAINS:
                figures[f"{measure}_gain"] = _spread(
                    [a - b for a, b in pairs if np.isfinite(a - b)]
                )
        found[method] = figures
    return found


def _ratio(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """Return what is left of what was there: of the sums, and of each where there was something.

    A mean of ratios would be that of the one picture which had next to nothing to remove.
    """
    known = [(after, before) for after, before in pairs if np.isfinite(after + before)]
    spread = _spread([after / before for after, before in known if before >= _SOMETHING])
    total = sum(before for _, before in known)
    if spread and total > 0:
        spread["mean"] = sum(after for after, _ in known) / total
    return spread


def _spread(values: list[float]) -> dict[str, float]:
    known = np.array([value for value in values if np.isfinite(value)])
    if not known.size:
        return {}
    return {
        "mean": float(known.mean()),
        "median": float(np.median(known)),
        "min": float(known.min()),
        "max": float(known.max()),
    }


def _crop(case: Case, after: Picture) -> Crop:
    """Return the square of the picture with the most moiré."""
    if case.truth is None:
        error = cv2.cvtColor(case.picture, cv2.COLOR_RGB2LAB)[..., 1:].astype(np.float32)
    else:
        error = colour_fit(case.picture, case.truth) - case.truth
    band = cv2.GaussianBlur(error, (0, 0), 2) - cv2.GaussianBlur(error, (0, 0), 24)
    height, width = case.picture.shape[:2]
    energy = cv2.boxFilter(
        np.sum(band * band, axis=2), -1, (_CROP, _CROP), borderType=cv2.BORDER_CONSTANT
    )
    row, column = np.unravel_index(int(energy.argmax()), energy.shape)
    top = int(np.clip(row - _CROP // 2, 0, max(0, height - _CROP)))
    left = int(np.clip(column - _CROP // 2, 0, max(0, width - _CROP)))
    here = (slice(top, top + _CROP), slice(left, left + _CROP))
    removed = (case.picture[here].astype(np.int16) - after[here]) * _REMOVED_GAIN + 128
    return Crop(
        case.picture[here].copy(),
        after[here].copy(),
        np.clip(removed, 0, 255).astype(np.uint8),
        None if case.truth is None else case.truth[here].copy(),
    )
