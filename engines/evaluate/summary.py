"""What the judgements of a set add up to."""

from __future__ import annotations

from typing import Any

import numpy as np

from engines.evaluate.judge import HARM_CAP_DB, INPUT, STRENGTHS, Judgement
from engines.evaluate.scenes import GROUPS
from engines.evaluate.video import MODEL, SMOOTHED

RATIOS = ("moire_band_error", "moire_energy", "relation_error", "flicker")
"""Measures of what should go: told as output over input, the mean as mean over mean; below 1 is
better."""
KEPT = ("detail_kept", "text_kept")
"""Measures of what should stay: told as they are, against the truth, and as output over input,
which is what the method did; 1 is best."""
GAINS = ("psnr", "aligned_psnr", "ssim", "moving_psnr")
"""Measures of likeness: told as output minus input; above 0 is better."""

OVER_MODEL = ("relation_error", "flicker")
"""Measures by which smoothing is told as a ratio to the same frame by frame."""
LESS_MODEL = ("psnr", "moving_psnr", "ghosting")
"""Those by which it is told as a difference to that."""

_SOMETHING = 0.1
"""Least level, Lab unit or share that counts as there."""

_WORST = 6


def summarise(judgements: list[Judgement]) -> dict[str, Any]:
    """Return the set's figures: whole, by strength or scene, and what clean pictures lose.

    Each is a mean, median, least and most, over `count` cases: a measure is left out of those that
    it cannot be told of.
    """
    summary: dict[str, Any] = {"all": _by_method(judgements)}
    strengths = {
        name: _by_method(those)
        for name, _ in STRENGTHS
        if (those := [j for j in judgements if j.strength == name])
    }
    if strengths:
        summary["by_strength"] = strengths
    scenes = {
        name: _by_method(those)
        for name in GROUPS
        if (those := [j for j in judgements if name in j.groups])
    }
    if scenes:
        summary["by_scene"] = scenes
    if harms := [j.harm_db for j in judgements if j.harm_db is not None]:
        summary["do_no_harm_db"] = _spread(harms)
        worst = most_harmed(judgements)
        summary["do_no_harm_worst"] = [{"name": j.name, "db": j.harm_db} for j in worst]
    return summary


def badness(judgement: Judgement) -> float:
    """Return how badly the model did: what is left of the moiré, over what there was."""
    for measure in RATIOS:
        before = judgement.scores[INPUT].get(measure)
        if before is not None:
            return judgement.scores["model"][measure] / max(before, 1e-6)
    return 0.0


def most_harmed(judgements: list[Judgement]) -> list[Judgement]:
    """Return the few whose truth the model changed most, worst first; none that it left alone."""
    changed = [
        (j.harm_db, j) for j in judgements if j.harm_db is not None and j.harm_db < HARM_CAP_DB
    ]
    return [judgement for _, judgement in sorted(changed, key=lambda entry: entry[0])[:_WORST]]


def _by_method(judgements: list[Judgement]) -> dict[str, Any]:
    found: dict[str, Any] = {"count": len(judgements)}
    for method in judgements[0].scores if judgements else ():
        figures: dict[str, dict[str, float]] = {}
        for measure in dict.fromkeys(name for j in judgements for name in j.scores[method]):
            pairs = _pairs(judgements, measure, method, other=INPUT)
            figures[measure] = _spread([after for after, _ in pairs])
            if method != INPUT:
                figures |= _against_input(measure, pairs)
            if method == SMOOTHED:
                figures |= _against_model(measure, _pairs(judgements, measure, method, other=MODEL))
        found[method] = figures
    return found


def _pairs(
    judgements: list[Judgement], measure: str, method: str, *, other: str
) -> list[tuple[float, float]]:
    """Return a method's scores, each with that of another."""
    return [
        (j.scores[method][measure], j.scores[other][measure])
        for j in judgements
        if measure in j.scores[method]
    ]


def _against_input(measure: str, pairs: list[tuple[float, float]]) -> dict[str, dict[str, float]]:
    """Return the figures that compare (after, before)."""
    if measure in RATIOS or measure in KEPT:
        return {f"{measure}_ratio": _ratio(pairs)}
    if measure in GAINS:
        return {f"{measure}_gain": _spread([after - before for after, before in pairs])}
    return {}


def _against_model(measure: str, pairs: list[tuple[float, float]]) -> dict[str, dict[str, float]]:
    """Return the figures that compare (smoothed, frame by frame)."""
    if measure in OVER_MODEL:
        return {f"{measure}_over_model": _ratio(pairs)}
    if measure in LESS_MODEL:
        return {f"{measure}_less_model": _spread([after - before for after, before in pairs])}
    return {}


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
        "count": known.size,
        "mean": float(known.mean()),
        "median": float(np.median(known)),
        "min": float(known.min()),
        "max": float(known.max()),
    }
