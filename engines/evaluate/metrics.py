"""Measures of pictures, (H, W, 3) uint8 RGB, and of clips, (T, H, W, 3).

PSNR between a filmed screen and its content is mostly a score of colour and shading, so the
measures that count fit colours first or look only at the band in which fringes live. Those that
fit colours take `fitted`, what `colour_fit` gave for the same two pictures, where it is at hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.evaluate.text import Mask, find_text

Picture = NDArray[np.uint8]
Clip = NDArray[np.uint8]
_Real = NDArray[np.float32]

_RELATION_POOLS = (1, 4, 16)
_CELL = 16
_MOVES = 2.0
"""Levels by which the luma of a cell's pixels changes, on average, where something moves: above the
noise of a coded truth, and no more than what smoothing may take for noise."""
_NEXT_COSTS = 1e-3
"""Where past and next picture are alike, as in what blinks, a ghost counts as the past's."""


def psnr(picture: Picture, truth: Picture) -> float:
    """Return the peak signal-to-noise ratio in dB over all samples; infinite for equal pictures.

    Raises:
        ValueError: The shapes differ.
    """
    _check_shapes(picture, truth)
    return _psnr_of(picture.astype(np.float32) - truth)


def aligned_psnr(picture: Picture, truth: Picture, *, fitted: _Real | None = None) -> float:
    """Return the PSNR in dB after `colour_fit`: what is left once colours agree."""
    return _psnr_of(_fitted(picture, truth, fitted) - truth)


def ssim(picture: Picture, truth: Picture, *, fitted: _Real | None = None) -> float:
    """Return the structural similarity of luma after `colour_fit`: 1 for equal pictures.

    Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment: from error visibility to structural
    similarity" (2004), with its 11x11 Gaussian window of sigma 1.5 and constants .01 and .03.
    """
    a, b = _luma(_fitted(picture, truth, fitted)), _luma(truth.astype(np.float32))
    mean_a, mean_b = _window(a), _window(b)
    var_a, var_b = _window(a * a) - mean_a**2, _window(b * b) - mean_b**2
    covariance = _window(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    )
    return float(np.mean(likeness))


def detail_kept(picture: Picture, truth: Picture) -> float:
    """Return how much of the truth's luma gradients a picture has where there is text or texture.

    1 means all of it, less means softer, more means sharpened. The picture's gradients are
    projected onto the truth's, so that fringes and noise, which lie anywhere, add nothing; regions
    are the fifth of the pixels around which the truth's gradients are strongest. NaN where the
    truth is flat.

    Raises:
        ValueError: The shapes differ.
    """
    _check_shapes(picture, truth)
    found, wanted = (_gradient(_luma(p.astype(np.float32))) for p in (picture, truth))
    energy = np.sum(wanted * wanted, axis=0)
    if not energy.any():
        return float("nan")
    local = cv2.blur(energy, (15, 15))
    return _projection(found, wanted, local >= np.quantile(local, 0.8))


def text_kept(picture: Picture, truth: Picture, *, text: Mask | None = None) -> float:
    """Return how much of the truth's luma gradients a picture has in its text.

    Projected as in `detail_kept`, but only where `find_text` finds letters in the truth. 1 means
    strokes as steep as the truth's, on average. It does not say that they are the same: a picture
    that is softer and of more contrast, or sharpened here and smeared there, can score 1 too. A
    camera's own blur, sharpening and contrast are in its picture and not in the truth, so what a
    method did to the text is its score over that of its input. Fringes add nothing to either, on
    average over their periods; where a picture has but a few letters, those that lie in phase with
    strokes raise the input's score and those in antiphase lower it, and taking them away undoes
    that.

    Args:
        picture: (H, W, 3) uint8 RGB.
        truth: The same shape.
        text: `find_text(truth)`, where it is at hand.

    Returns:
        NaN where the truth shows no text.

    Raises:
        ValueError: The shapes differ.
    """
    _check_shapes(picture, truth)
    where = find_text(truth) if text is None else text
    if not where.any():
        return float("nan")
    found, wanted = (_gradient(_luma(p.astype(np.float32))) for p in (picture, truth))
    return _projection(found, wanted, where)


def moire_band_error(picture: Picture, truth: Picture, *, fitted: _Real | None = None) -> float:
    """Return the RMS error, in 8-bit levels, of periods of about 12 to 150 pixels.

    The colour-fitted difference is band-passed as Gauss(3 px) - Gauss(24 px): the band of visible
    fringes, between texture and shading.
    """
    difference = _fitted(picture, truth, fitted) - truth
    band = _blur(difference, 3.0) - _blur(difference, 24.0)
    return float(np.sqrt(np.mean(band * band)))


def moire_energy(picture: Picture) -> float:
    """Return the chroma ripple of a picture without a truth: 0 is none, rainbow fringes 2 and more.

    RMS, in Lab units, of `moire_map` in the half of the picture with the flattest luma (there a
    ripple in colour is fringe rather than content).
    """
    lab = _lab(picture)
    energy = _chroma_ripple(lab)
    smooth = _blur(lab[..., 0], 3.0)
    slope = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(smooth, cv2.CV_32F, 0, 1) ** 2
    flat = _blur(np.sqrt(slope), 8.0)
    return float(np.sqrt(np.mean(energy[flat <= np.median(flat)])))


def moire_map(picture: Picture) -> NDArray[np.float32]:
    """Return where the chroma of a picture ripples: local energy, (H, W), in squared Lab units.

    The sum of squares of a* and b* band-passed from sigma 1.2 to 14 px. Without a truth nothing
    tells fringes from the edges of coloured content: both are in it.
    """
    return _chroma_ripple(_lab(picture))


def relation_error(clip: Clip, truth: Clip) -> float:
    """Return how differently clip and truth change from frame to frame, in 8-bit levels.

    Mean absolute difference between their temporal differences, averaged over block means of 1, 4
    and 16 pixels: the relation loss of Dai et al., "Video demoireing with relation-based temporal
    consistency" (2022). Needs no motion estimate; 0 for a clip that moves as the truth does.

    Args:
        clip: (T, H, W, 3) uint8, T >= 2.
        truth: The same shape.

    Raises:
        ValueError: The shapes differ, or there are fewer than two frames.
    """
    errors = [
        np.mean([np.abs(_pooled(step, pool)).mean() for pool in _RELATION_POOLS])
        for step in _relative_steps(clip, truth)
    ]
    return float(np.mean(errors))


def flicker(clip: Clip, truth: Clip) -> float:
    """Return how much regions pulse beyond the truth, in 8-bit levels.

    Mean absolute frame-to-frame change of luma in cells of 16 pixels where the truth stands still
    (its own change is below one level). A still region that pulses by one level every frame scores
    1; NaN where nothing stands still.

    Args:
        clip: (T, H, W, 3) uint8, T >= 2.
        truth: The same shape.

    Raises:
        ValueError: The shapes differ, or there are fewer than two frames.
    """
    _check_clips(clip, truth)
    pulses = []
    for number in range(1, len(clip)):
        change, wanted = (
            _pooled(_luma(c[number].astype(np.float32) - c[number - 1]), _CELL)
            for c in (clip, truth)
        )
        pulses.append(np.abs(change)[np.abs(wanted) < 1])
    still = np.concatenate(pulses)
    return float(still.mean()) if still.size else float("nan")


def ghosting(clip: Clip, truth: Clip) -> float:
    """Return how much of the picture before is seen where the truth moves, as a share of it.

    Looks at cells of 16 pixels in which the truth's luma changes by two levels or more, on average
    over their pixels. There the error of each picture, `clip[t] - truth[t]`, is explained by least
    squares as `past * (truth[t - 1] - truth[t]) + next * (truth[t + 1] - truth[t])`, one pair of
    shares for the whole clip; the score is `past - next`. A lack of sharpness or contrast looks as
    much like the next picture as like the one before and cancels out, where the truth goes on
    moving; so the last picture counts only if there are but two. A cell weighs as much as the root
    mean square of its change, so that faint ghosts of faint things count too.

    0 is no ghost; `(1 - a) * truth[t] + a * truth[t - 1]` scores `a`. What is left of older
    pictures of a steady motion counts for more, since they are further away: the score is then by
    how many pictures the clip lags, and may be above 1. Chance brings it below 0.

    Args:
        clip: (T, H, W, 3) uint8, T >= 2.
        truth: The same shape.

    Returns:
        NaN where nothing moves.

    Raises:
        ValueError: The shapes differ, or there are fewer than two frames.
    """
    _check_clips(clip, truth)
    whole, shared, later_whole, *wanted = _ghost_sums(clip, truth)
    if not whole:
        return float("nan")
    matrix = [[whole, shared], [shared, later_whole + _NEXT_COSTS * whole]]
    of_past, of_next = np.linalg.solve(matrix, wanted)
    return float(of_past - of_next)


def moving_psnr(clip: Clip, truth: Clip) -> float:
    """Return the PSNR in dB over the cells in which the truth moves, those of `ghosting`.

    Of all their samples in all pictures together, so that it is that of the mean square error;
    infinite where they are equal.

    Args:
        clip: (T, H, W, 3) uint8, T >= 2.
        truth: The same shape.

    Returns:
        NaN where nothing moves.

    Raises:
        ValueError: The shapes differ, or there are fewer than two frames.
    """
    _check_clips(clip, truth)
    squares = [np.zeros(0, np.float32)]
    for number, _, moving in _movements(truth):
        error = clip[number].astype(np.float32) - truth[number]
        squares.append(_pooled(np.mean(error * error, axis=2), _CELL)[moving])
    found = np.concatenate(squares)
    return _decibels(float(found.mean(dtype=np.float64))) if found.size else float("nan")


def colour_fit(picture: Picture, truth: Picture) -> _Real:
    """Return `picture` under the affine 3x4 colour map that brings it closest to `truth`.

    Least squares over all pixels, levels 0..255, unclamped float32.

    Raises:
        ValueError: The shapes differ.
    """
    _check_shapes(picture, truth)
    source = np.column_stack([picture.reshape(-1, 3), np.ones(picture.size // 3)])
    source = source.astype(np.float64)
    # Normal equations: 4x4, against a least-squares solver's copy of the whole picture.
    matrix = np.linalg.lstsq(source.T @ source, source.T @ truth.reshape(-1, 3), rcond=None)[0]
    fitted: _Real = (source @ matrix).reshape(picture.shape).astype(np.float32)
    return fitted


def _fitted(picture: Picture, truth: Picture, fitted: _Real | None) -> _Real:
    return colour_fit(picture, truth) if fitted is None else fitted


def _projection(found: _Real, wanted: _Real, where: Mask) -> float:
    """Return the component of `found` along `wanted`, both (2, H, W), over the length of that."""
    along, whole = (np.sum(v * wanted, axis=0)[where].sum() for v in (found, wanted))
    return float(along / whole)


def _lab(picture: Picture) -> _Real:
    return cast(_Real, cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


def _chroma_ripple(lab: _Real) -> _Real:
    band = _blur(lab[..., 1:], 1.2) - _blur(lab[..., 1:], 14.0)
    return cast(_Real, np.sum(band * band, axis=2))


def _blur(values: _Real, sigma: float) -> _Real:
    return cast(_Real, cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def _window(values: _Real) -> _Real:
    return cast(_Real, cv2.GaussianBlur(values, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT))


def _luma(rgb: _Real) -> _Real:
    """BT.601 luma of (H, W, 3): what the papers that report SSIM use."""
    return cast(_Real, cv2.transform(rgb, np.array([[0.299, 0.587, 0.114]], np.float32)))


def _gradient(luma: _Real) -> _Real:
    """Central differences across and down, (2, H, W)."""
    kernel = np.array([[-0.5, 0, 0.5]], np.float32)
    return np.stack([cv2.filter2D(luma, -1, kernel), cv2.filter2D(luma, -1, kernel.T)])


def _pooled(values: _Real, pool: int) -> _Real:
    """Means of pool x pool cells; what is left at the right and below is dropped."""
    if pool == 1:
        return values
    height, width = (max(1, side // pool) for side in values.shape[:2])
    whole = values[: height * pool, : width * pool]
    return cast(_Real, cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))


def _relative_steps(clip: Clip, truth: Clip) -> Iterator[_Real]:
    """Yield, for each frame but the first, its change beyond the truth's."""
    _check_clips(clip, truth)
    error = clip[0].astype(np.float32) - truth[0]
    for a, b in zip(clip[1:], truth[1:], strict=True):
        later = a.astype(np.float32) - b
        yield later - error
        error = later


def _movements(truth: Clip) -> Iterator[tuple[int, _Real, Mask]]:
    """Yield number, the picture before less the picture, and which cells move, where any does."""
    for number in range(1, len(truth)):
        past = truth[number - 1].astype(np.float32) - truth[number]
        moving: Mask = _pooled(np.abs(_luma(past)), _CELL) >= _MOVES
        if moving.any():
            yield number, past, moving


def _ghost_sums(clip: Clip, truth: Clip) -> list[float]:
    """Return the weighted products of past and next steps, and of the error with both."""
    sums = np.zeros(5)
    for number, past, moving in _movements(truth):
        if number + 1 < len(truth):
            later = truth[number + 1].astype(np.float32) - truth[number]
        elif number > 1:
            break  # nothing would cancel what the last picture lacks in sharpness
        else:
            later = np.zeros_like(past)
        error = clip[number].astype(np.float32) - truth[number]
        products = ((past, past), (past, later), (later, later), (error, past), (error, later))
        cells = np.stack([_pooled(np.sum(a * b, axis=2), _CELL)[moving] for a, b in products])
        sums += (cells / np.sqrt(cells[0])).sum(axis=1)
    found: list[float] = sums.tolist()
    return found


def _check_clips(clip: Clip, truth: Clip) -> None:
    _check_shapes(clip, truth)
    if len(clip) < 2:
        raise ValueError(f"a clip has two frames or more, got {len(clip)}")


def _psnr_of(difference: _Real) -> float:
    return _decibels(float(np.mean(np.square(difference, dtype=np.float64))))


def _decibels(error: float) -> float:
    """PSNR of a mean square error in squared levels."""
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def _check_shapes(picture: Picture, truth: Picture) -> None:
    if picture.shape != truth.shape:
        raise ValueError(f"pictures must have one shape, got {picture.shape=} and {truth.shape=}")
