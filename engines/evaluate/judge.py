"""Judging a network on a set of pictures or clips, beside doing nothing and simple filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.evaluate import BASELINES
from engines.evaluate.cases import Case, ClipCase
from engines.evaluate.crops import Crop, crop_at_most
from engines.evaluate.metrics import (
    aligned_psnr,
    colour_fit,
    detail_kept,
    flicker,
    ghosting,
    moire_band_error,
    moire_energy,
    moving_psnr,
    psnr,
    relation_error,
    ssim,
    text_kept,
)
from engines.evaluate.strips import Strips, strips_of
from engines.evaluate.text import Mask, find_text
from engines.evaluate.video import MODEL

Picture = NDArray[np.uint8]
Clean = Callable[[Picture], Picture]
CleanClip = Callable[[ClipCase], Mapping[str, Picture]]
"""Returns (T, H, W, 3) by method, `MODEL` among them."""
Scores = dict[str, float]

INPUT = "input"
"""The method that does nothing: every figure stands beside that of the picture as it came."""

STRENGTHS = (("strong", 25.0), ("medium", 32.0), ("weak", float("inf")))
"""Name and upper end of the input's colour-aligned PSNR in dB: low where moiré is strong."""

HARM_CAP_DB = 80.0
"""A clean picture that comes back bit for bit counts as this much."""


@dataclass
class Judgement:
    """Scores of one picture or clip by method, `INPUT` and `model` among them."""

    name: str
    scores: dict[str, Scores]
    harm_db: float | None = None
    """PSNR between the truth and what the model makes of it; None without a truth."""
    crop: Crop | None = field(default=None, repr=False)
    """Where most moiré was."""
    harm_crop: Crop | None = field(default=None, repr=False)
    """Where the model changed the truth most; None where it did not, or without a truth."""
    groups: tuple[str, ...] = ()
    """Of a clip: which of `scenes.GROUPS` it belongs to, where that is known."""
    strips: Strips | None = field(default=None, repr=False)
    """Of a clip: a column over time by method, the truth last."""

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
        outputs = {INPUT: case.picture, "model": model(case.picture)}
        outputs |= {name: clean(case.picture) for name, clean in baselines.items()}
        if case.truth is None:
            yield _judge_photo(case.name, outputs)
        else:
            yield _judge_pair(case.name, outputs, case.truth, model(case.truth))


def judge_clips(
    cases: Iterable[ClipCase], clean: CleanClip, baselines: Mapping[str, Clean]
) -> Iterator[Judgement]:
    """Yield a judgement for each clip, in order; baselines clean frame by frame."""
    for case in cases:
        outputs = {INPUT: case.clip, **clean(case)}
        scores = {name: score_clip(output, case.truth) for name, output in outputs.items()}
        for name, baseline in baselines.items():
            output = np.stack([baseline(frame) for frame in case.clip])
            scores[name] = score_clip(output, case.truth)
        middle = len(case.clip) // 2
        before, after, truth = (c[middle] for c in (case.clip, outputs[MODEL], case.truth))
        fringes = _fringes(colour_fit(before, truth) - truth)
        yield Judgement(
            case.name,
            scores,
            crop=crop_at_most(fringes, before, after, truth),
            groups=case.groups,
            strips=strips_of({**outputs, "truth": case.truth}, flickers=MODEL, truth="truth"),
        )


def _judge_photo(name: str, outputs: Mapping[str, Picture]) -> Judgement:
    scores = {method: {"moire_energy": moire_energy(output)} for method, output in outputs.items()}
    before = outputs[INPUT]
    colours = cv2.cvtColor(before, cv2.COLOR_RGB2LAB)[..., 1:].astype(np.float32)
    return Judgement(name, scores, crop=crop_at_most(_fringes(colours), before, outputs["model"]))


def _judge_pair(
    name: str, outputs: Mapping[str, Picture], truth: Picture, cleaned_truth: Picture
) -> Judgement:
    before, text = outputs[INPUT], find_text(truth)
    fitted = colour_fit(before, truth)
    fringes = _fringes(fitted - truth)
    scores = {INPUT: score_picture(before, truth, fitted=fitted, text=text)}
    for method, output in outputs.items():
        if method != INPUT:
            fitted = colour_fit(output, truth)
            scores[method] = score_picture(output, truth, fitted=fitted, text=text)
    changed = np.sum(np.square(cleaned_truth - truth.astype(np.float32)), axis=2)
    return Judgement(
        name,
        scores,
        min(psnr(cleaned_truth, truth), HARM_CAP_DB),
        crop_at_most(fringes, before, outputs["model"], truth),
        crop_at_most(changed, truth, cleaned_truth) if changed.any() else None,
    )


def score_picture(
    output: Picture, truth: Picture, *, fitted: NDArray[np.float32], text: Mask
) -> Scores:
    """Return every measure that can be told of a picture beside its truth.

    Args:
        output: (H, W, 3) uint8 RGB.
        truth: The same shape.
        fitted: `colour_fit(output, truth)`.
        text: `find_text(truth)`.
    """
    scores = {
        "moire_energy": moire_energy(output),
        "moire_band_error": moire_band_error(output, truth, fitted=fitted),
        "psnr": psnr(output, truth),
        "aligned_psnr": aligned_psnr(output, truth, fitted=fitted),
        "ssim": ssim(output, truth, fitted=fitted),
        "detail_kept": detail_kept(output, truth),
        "text_kept": text_kept(output, truth, text=text),
    }
    return {measure: score for measure, score in scores.items() if not np.isnan(score)}


def score_clip(output: Picture, truth: Picture) -> Scores:
    """Return every measure of a clip, (T, H, W, 3)."""
    return {
        "relation_error": relation_error(output, truth),
        "flicker": flicker(output, truth),
        "psnr": float(np.mean([psnr(a, b) for a, b in zip(output, truth, strict=True)])),
        "moving_psnr": moving_psnr(output, truth),
        "ghosting": ghosting(output, truth),
    }


def _fringes(error: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the energy of an error, (H, W, C), in the band of fringes, (H, W)."""
    band = cv2.GaussianBlur(error, (0, 0), 2) - cv2.GaussianBlur(error, (0, 0), 24)
    energy: NDArray[np.float32] = np.sum(band * band, axis=2)
    return energy
