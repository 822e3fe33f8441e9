"""Bands that roll over a filmed screen: the gain of each row that removes them.

Rows that are exposed one after the other see a pulsing light at other moments: their gain is a
periodic function of row and time that travels at one speed (`engines.simulate.shutter`; flicker of
mains light across a rolling shutter: Sheinin, Schechner and Kutulakos, "Rolling shutter imaging on
the electric grid", 2018). Pictures multiply that, so the logarithm of the change from one picture
to the next is the wave's own change plus what the content does. The latter differs from column to
column and little of it is left in a row's robust mean (Geman-McClure); nor does it travel through
all columns alike at a constant speed. The wave is looked for in a two-dimensional spectrum of the
last second's changes and refined by Gauss-Newton, with harmonics as far as the changes tell them.

Constants without a source were set on made-up and simulated clips. Nearest to bands comes a panned
picture without detail: waves explain up to 0.9 of its changes, but at 1.6 bands and more at most
0.6 of its columns agree with them, below at most 0.85 once a beat and a fifth were seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Thumbnail = NDArray[np.uint8]
Gains = NDArray[np.float32]
_Real = NDArray[np.float32]
_Double = NDArray[np.float64]
_Waveform = NDArray[np.complex128]

_ROWS, _COLUMNS = 90, 32
"""Of the cells that a thumbnail is reduced to: nine bands with five harmonics, 32 witnesses."""
_FINER_COLUMNS = 6
"""Least parts of a cell that are rounded to levels each: a rounded cell would hide a slow beat."""
_DARKEST, _BRIGHTEST = 16.0, 244.0
"""Mean levels of a cell; beyond, black and clipped white do not follow the light."""
_FEWEST_CELLS = 6
"""Of a row that counts."""

_WINDOW_S = 1.0
_MOST_CHANGES = 60
_GAP_S = 0.25
"""Pictures farther apart are not compared."""
_FIRST_S, _FEWEST_CHANGES = 0.4, 10
"""Before, nothing is looked for."""
_SEARCH_EVERY, _CHECK_EVERY = 4, 4
"""Changes."""
_REFINE_S = 0.025
"""At 60 pictures a second every other one."""

_HARMONICS = 5
_SEARCHED = (1.0, 0.8, 0.6)
"""What the power of each harmonic counts; less for higher ones, or half the speed does as well."""
_FINENESS = 4
"""Steps of the search in a band per picture."""
_LEAST_BANDS, _MOST_BANDS = 0.2, 9.5
_MERGED_BANDS, _FEW_BANDS = 1.6, (0.3, 0.6, 1.0, 1.5)
"""Below so many, spectra do not tell how many; starts that do."""
_LEAST_BEAT_HZ = 0.4
_SLOTS = 64
"""Of pictures in time, a power of two above `_MOST_CHANGES`."""
_STEPS, _FIRST_STEPS = 3, 2
_LONGEST_STEP = (0.3, 0.5)
"""Bands, Hz."""
_PIECE = 1350
"""Summands of a product of matrices at a time: with more, libraries start threads and wait for
cores that are busy, for milliseconds."""

_FLOOR = 0.002
"""Deviation of a row's change that columns do not tell, logarithmic."""
_LEAST_SPREAD = 0.001
_CORRELATED_COLUMNS, _CORRELATED = 4.0, 10.0
"""Neighbours err alike: so many count as one."""
_AMPLITUDE = 0.05
"""Deviation of the first harmonic's amplitude, of the others in proportion: what is a standing
wave to the changes stays small."""

_PROMISING, _SHARE_OFF = 0.15, 0.15
"""Least shares of the changes that waves explain: to be refined, to be kept."""
_ALIKE = 0.5
"""How far, as a share of the rows' waves, those of a column may be from them: real ones are as deep
everywhere and nowhere later, but for levels where the camera's curve is flat."""
_ALIKE_ON, _ALIKE_ON_OF_FEW, _ALIKE_OFF = 0.68, 0.9, 0.45
"""Least shares of columns to be found, many bands and few that anything smooth resembles, and to be
kept."""
_CERTAIN, _CERTAIN_OF_FEW = 0.22, 0.45
"""Least products of both shares to be found."""
_CYCLES, _CYCLES_OF_FEW = 0.95, 1.2
"""Least that must have been seen of the beat to be found: a panned sky rolls, too, but not again
and again."""
_MIRRORED = 0.5
"""Most that the same waves explain the other way round, in shares: a content that pulses stands."""
_LEAST_COLUMNS = 0.25
_COVERED_ON, _COVERED_OFF = 0.7, 0.5
"""Least shares of rows that tell: a widescreen film in a 16:9 picture has three quarters."""
_JUMP = 0.1
"""Change of a cell above which it is something else."""
_LEAST_FIRST = 0.7
"""Of the first harmonic, in the largest one: a light's is the largest."""
_LEAST_DEPTH, _GAMMA = 0.01, 2.2
"""In linear light; levels are coded."""
_SAME_BANDS, _SAME_BEAT_HZ = 0.5, 1.0
"""Two searches in a row must agree to within these."""


@dataclass(frozen=True)
class _Change:
    """From one picture to the next, in natural logarithms."""

    before_s: float
    after_s: float
    profile: _Real
    """Of each row of cells, (R,)."""
    weight: _Real
    """Its inverse variance, (R,); 0 where too few cells are valid."""
    cells: _Real
    """(R, C), 0 where invalid."""
    valid: _Real
    """(R, C), 0 or 1."""


@dataclass(frozen=True)
class _Waves:
    """What multiplies the rows, as the logarithm of coded levels."""

    bands: float
    """In the height of the picture."""
    beat_hz: float
    amplitudes: _Waveform
    """Of each harmonic in the middle of the picture at `time_s`."""
    time_s: float
    share: float = 0.0
    """Of the changes that it explains, at most 1."""
    variance: float = 1.0
    """Of the rest, in what columns had let expect."""

    def at(self, time_s: float) -> _Waves:
        """Return the same waves as seen at another time."""
        order = np.arange(1, len(self.amplitudes) + 1)
        turned = np.exp(2j * np.pi * order * self.beat_hz * (time_s - self.time_s))
        return replace(self, amplitudes=self.amplitudes * turned, time_s=time_s)

    def profile(self, rows: int) -> _Double:
        """Return the logarithm of each row, (rows,)."""
        return self._along(self.bands * _places(rows))

    def plausible(self) -> bool:
        """Return whether bands of a light can be like that."""
        if not _LEAST_BANDS < self.bands < _MOST_BANDS or abs(self.beat_hz) < _LEAST_BEAT_HZ:
            return False
        heights = np.abs(self.amplitudes)
        if heights[0] < _LEAST_FIRST * heights.max():
            return False
        return float(np.ptp(self._along(_places(64)))) * _GAMMA > _LEAST_DEPTH

    def like(self, other: _Waves) -> bool:
        """Return whether two searches found the same."""
        same = abs(self.bands - other.bands) < _SAME_BANDS
        return same and abs(self.beat_hz - other.beat_hz) < _SAME_BEAT_HZ

    def _along(self, turns: _Double) -> _Double:
        powers = _powers(np.exp(2j * np.pi * turns), len(self.amplitudes))
        return np.asarray((self.amplitudes[:, None] * powers).sum(axis=0).real)


class BandEstimator:
    """Follows the bands of one clip's pictures; remembers a second of row profiles.

    Args:
        rows: Of the thumbnails.
    """

    def __init__(self, *, rows: int) -> None:
        self._rows = rows
        self._changes: deque[_Change] = deque(maxlen=_MOST_CHANGES)
        self._last: tuple[_Real, float] | None = None
        self._count = 0
        self._suspect: _Waves | None = None
        self._found: _Waves | None = None

    def follow(self, luma: Thumbnail, *, time_s: float, fresh: bool) -> Gains | None:
        """Take the next picture and return what its rows are to be multiplied by.

        Standing bands are not told from the content; fades and exposure stay as they are. Clipped
        and black parts say nothing.

        Args:
            luma: The cleaned picture's luma at half its size, (rows, columns) uint8.
            time_s: When it was taken. A picture of the same time as the one before is not learnt
                from; one before that, or a long time after it, begins anew.
            fresh: Nothing of the past is valid.

        Returns:
            Gains of coded levels, (rows,) around 1; None while no rolling bands are found.
        """
        cells = _cells(luma)
        if fresh or self._last is None or not 0 <= time_s - self._last[1] <= _GAP_S:
            self._changes.clear()
            self._suspect = self._found = None
            self._last, self._count = (cells, time_s), 0
            return None
        before, before_s = self._last
        if time_s > before_s and not np.array_equal(before, cells):  # a repeated picture is older
            self._last = cells, time_s
            self._learn(_change(before, cells, before_s, time_s))
        if self._found is None:
            return None
        gains: Gains = np.exp(-self._found.at(time_s).profile(self._rows)).astype(np.float32)
        return gains

    def _learn(self, change: _Change) -> None:
        self._changes.append(change)
        self._count += 1
        while change.after_s - self._changes[0].before_s > _WINDOW_S:
            self._changes.popleft()
        if self._found is not None:
            self._found = self._kept(self._found)
            return
        known_s = change.after_s - self._changes[0].before_s
        if known_s < _FIRST_S or len(self._changes) < _FEWEST_CHANGES:
            return
        if self._count % _SEARCH_EVERY == 0:
            before, self._suspect = self._suspect, _search(self._changes)
            if before is not None and self._suspect is not None and before.like(self._suspect):
                self._found, self._suspect = self._suspect, None

    def _kept(self, found: _Waves) -> _Waves | None:
        """Return the waves as the last changes tell them, None where they do not any more."""
        if self._changes[-1].after_s - found.time_s < _REFINE_S:
            return found
        if len(self._changes) < _FEWEST_CHANGES:
            return None
        window = _Window(self._changes)
        refined = window.refined(found, steps=1)
        if refined.share < _SHARE_OFF or not refined.plausible():
            return None
        if window.covered() < _COVERED_OFF:
            return None
        checked = self._count % _CHECK_EVERY == 0
        return None if checked and window.alike(refined) < _ALIKE_OFF else refined


class _Window:
    """The last changes, (N, R): N changes of R rows."""

    def __init__(self, changes: Sequence[_Change]) -> None:
        self._changes = changes
        self._profile = np.stack([change.profile for change in changes])
        self._weight = np.stack([change.weight for change in changes])
        self._totals = self._weight.sum(axis=1) + np.float32(1e-6)  # (N,)
        self._sums = (self._weight * self._profile).sum(axis=1)
        self._time_s = changes[-1].after_s
        self._before = np.array([change.before_s for change in changes]) - self._time_s
        self._after = np.array([change.after_s for change in changes]) - self._time_s
        self._places = _places(self._profile.shape[1])
        self.span_s = -float(self._before[0])

    def starts(self) -> list[_Waves]:
        """Return what the strongest harmonics in the spectrum may be, nothing if all are weak."""
        interval_s = float(np.median(self._after - self._before))
        most = round(_MOST_BANDS * _FINENESS) + 1
        away = self._profile - (self._sums / self._totals)[:, None]
        weighted = self._weight * away
        length = self._profile.shape[1] * _FINENESS
        spectra = np.fft.rfft(weighted, length, axis=1)[:, : len(_SEARCHED) * most]
        slots = np.round(self._after / interval_s).astype(int) % _SLOTS
        grid = np.zeros((_SLOTS, spectra.shape[1]), np.complex64)
        for slot, row in zip(slots.tolist(), spectra, strict=True):
            grid[slot] += row
        spectrum = np.fft.fft(grid, axis=0)  # (beats, bands)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        bands, beats = np.arange(1, most), np.arange(_SLOTS)
        score = np.zeros((_SLOTS, len(bands)))
        for order, weight in enumerate(_SEARCHED, start=1):
            multiples = power[:, order::order][beats * order % _SLOTS, : len(bands)]
            score[:, : multiples.shape[1]] += weight * multiples
        beats_hz = np.fft.fftfreq(_SLOTS) / interval_s
        score[np.abs(beats_hz) < _LEAST_BEAT_HZ] = 0
        beat, band = np.unravel_index(int(score.argmax()), score.shape)
        energy = float((weighted * away).sum()) * float(self._totals.sum())
        if 2 * score[beat, band] < _PROMISING * energy:
            return []
        found = float(bands[band]) / _FINENESS
        none = np.zeros(_HARMONICS, np.complex128)
        return [
            _Waves(start, float(beats_hz[beat]), none, self._time_s)
            for start in (_FEW_BANDS if found < _MERGED_BANDS else (found,))
        ]

    def covered(self) -> float:
        """Return the share of rows that tell anything."""
        return float((self._weight > 0).mean())

    def refined(self, waves: _Waves, *, steps: int) -> _Waves:
        """Return waves that explain the changes better, at the time of the last."""
        waves = waves.at(self._time_s)
        for _ in range(steps):
            waves = self._step(waves)
        return waves

    def mirrored(self, waves: _Waves) -> float:
        """Return the share of the changes that waves of the opposite direction explain.

        0 where the directions cannot be told apart: at half the pictures' rate.
        """
        interval_s = float(np.median(self._after - self._before))
        if (1 / interval_s - 2 * abs(waves.beat_hz)) * self.span_s < 1:
            return 0.0
        none = np.zeros(1, np.complex128)
        return self._step(replace(waves, beat_hz=-waves.beat_hz, amplitudes=none)).share

    def alike(self, waves: _Waves) -> float:
        """Return the share of columns that have the waves, 0 if few columns can tell."""
        # In phase all columns have them alike, a quarter of a turn later none has anything.
        turned = np.stack([waves.amplitudes, 1j * waves.amplitudes])
        parts = np.concatenate([turned.real, turned.imag], axis=1).astype(np.float32)
        expected = parts @ self._columns(waves)[:-2]  # (2, N R)
        size = expected.shape[1]
        cells = np.stack([change.cells for change in self._changes]).reshape(size, -1)
        valid = np.stack([change.valid for change in self._changes]).reshape(size, -1)
        power = _products(np.square(expected), valid)  # (2, C)
        telling = power[0] > 0.1 * np.square(expected[0]).sum()
        if telling.mean() < _LEAST_COLUMNS:
            return 0.0
        found = _products(expected, np.clip(cells, -_JUMP, _JUMP)) / (power + 1e-9)
        away = np.hypot(found[0] - 1, found[1])
        return float((away[telling] < _ALIKE).mean())

    def _step(self, waves: _Waves) -> _Waves:
        """Take a step of Gauss-Newton, with all amplitudes solved for."""
        columns, unknown = self._columns(waves), 2 * len(waves.amplitudes)
        weighted = columns * self._weight.ravel()
        sums = weighted.reshape(len(columns), len(self._totals), -1).sum(axis=2)  # (P, N)
        means = sums / self._totals
        whole = _Equations(
            _products(weighted, columns.T).astype(np.float64),
            (weighted @ self._profile.ravel()).astype(np.float64),
            float((self._weight * np.square(self._profile)).sum()),
        )
        # Changes of the whole picture are free: its exposure, a fade.
        free = _Equations(
            whole.normal - sums @ means.T,
            whole.right - means @ self._sums,
            whole.energy - float((np.square(self._sums) / self._totals).sum()),
        )
        # Less than a band makes it pulse: then that must be explained, too.
        used = whole if waves.bands < 1 else free
        scale = _CORRELATED * waves.variance
        found, variances = used.solve(scale)
        share = min(free.share(found), used.share(found))
        half = unknown // 2
        amplitudes: _Waveform = found[:half] + 1j * found[half:unknown]
        # What may as well be noise is left away, all but the first harmonic.
        doubt = 2 * (variances[:half] + variances[half:unknown])
        sure = np.maximum(1 - doubt / (np.square(np.abs(amplitudes)) + 1e-12), 0)
        sure[0] = 1
        rest = used.energy * (1 - used.share(found)) / self._profile.size
        more_bands, faster = np.clip(found[-2:], np.negative(_LONGEST_STEP), _LONGEST_STEP)
        return replace(
            waves,
            bands=min(max(waves.bands + float(more_bands), 0.05), _MOST_BANDS + 1),
            beat_hz=waves.beat_hz + float(faster),
            amplitudes=amplitudes * sure,
            share=share,
            variance=max(rest, 0.05),
        )

    def _columns(self, waves: _Waves) -> _Real:
        """Return what each unknown changes, (2 H + 2, N R): amplitudes, bands and beat."""
        count = len(waves.amplitudes)
        order = np.arange(1, count + 1)
        along = _powers(np.exp(2j * np.pi * waves.bands * self._places), count)  # (H, R)
        # Cells average over their rows.
        along *= np.sinc(order * waves.bands / len(self._places))[:, None]
        before = _powers(np.exp(2j * np.pi * waves.beat_hz * self._before), count)  # (H, N)
        after = _powers(np.exp(2j * np.pi * waves.beat_hz * self._after), count)
        change = after - before
        turning = (2j * np.pi * order * waves.amplitudes)[:, None]
        shifting = turning * (after * self._after - before * self._before)
        harmonics = _outer(change, along)  # (H, N, R)
        bands = _outer(turning * change, along * self._places).real.sum(axis=0)
        beat = _outer(shifting, along).real.sum(axis=0)
        columns = [harmonics.real, -harmonics.imag, bands[None], beat[None]]
        return np.concatenate(columns).reshape(2 * count + 2, -1)


@dataclass(frozen=True)
class _Equations:
    """Least squares: unknowns' matrix and right side, and the energy to be explained."""

    normal: _Double
    right: _Double
    energy: float

    def solve(self, scale: float) -> tuple[_Double, _Double]:
        """Return the unknowns and the variances of what they are.

        Args:
            scale: Variance of an equation.
        """
        deviations = _AMPLITUDE / np.arange(1, len(self.right) // 2)
        prior = 1 / np.square(np.concatenate([deviations, deviations, _LONGEST_STEP]))
        inverse = np.linalg.inv(self.normal / scale + np.diag(prior))
        return inverse @ self.right / scale, np.diag(inverse)

    def share(self, found: _Double) -> float:
        """Return the share of the energy that is explained; below 0 if there is more then."""
        explained = 2 * self.right @ found - found @ self.normal @ found
        return float(explained) / max(self.energy, 1e-9)


def _search(changes: Sequence[_Change]) -> _Waves | None:
    """Return waves that are certainly bands."""
    window = _Window(changes)
    if window.covered() < _COVERED_ON:
        return None
    starts = [window.refined(start, steps=_FIRST_STEPS) for start in window.starts()]
    if not starts:
        return None
    waves = window.refined(max(starts, key=lambda start: start.share), steps=_STEPS)
    if not waves.plausible() or window.mirrored(waves) > _MIRRORED * waves.share:
        return None
    cycles, alike = window.span_s * abs(waves.beat_hz), window.alike(waves)
    if waves.bands < _MERGED_BANDS:
        seen = cycles > _CYCLES_OF_FEW and alike > _ALIKE_ON_OF_FEW
        return waves if seen and alike * waves.share > _CERTAIN_OF_FEW else None
    seen = cycles > _CYCLES and alike > _ALIKE_ON
    return waves if seen and alike * waves.share > _CERTAIN else None


def _cells(luma: Thumbnail) -> _Real:
    """Return the mean levels of a thumbnail's cells, (R, C)."""
    rows, columns = min(_ROWS, luma.shape[0]), min(_COLUMNS, luma.shape[1])
    parts: NDArray[Any] = luma
    while parts.shape[0] >= 2 * rows and parts.shape[1] >= 2 * _FINER_COLUMNS * columns:
        half = parts.shape[1] // 2, parts.shape[0] // 2  # OpenCV is quick where it halves
        parts = cv2.resize(parts, half, interpolation=cv2.INTER_AREA)
    parts = parts.astype(np.float32)
    return np.asarray(cv2.resize(parts, (columns, rows), interpolation=cv2.INTER_AREA))


def _change(before: _Real, after: _Real, before_s: float, after_s: float) -> _Change:
    """Return how much brighter rows became, by most of their cells."""
    valid = (np.minimum(before, after) > _DARKEST) & (np.maximum(before, after) < _BRIGHTEST)
    logs = np.log(np.maximum(after, 1) / np.maximum(before, 1))
    count = valid.sum(axis=1)
    enough = count >= _FEWEST_CELLS
    ordered = np.sort(np.where(valid, logs, np.float32(np.inf)), axis=1)
    places = np.where(enough, count, 0)[:, None] * np.array([1, 2, 3]) // 4
    quartiles = np.take_along_axis(ordered, places, axis=1)
    low, middle, high = np.where(enough[:, None], quartiles, 0).T
    spread = (high - low) / np.float32(1.349) + np.float32(_LEAST_SPREAD)
    weights = valid / np.square(1 + np.square((logs - middle[:, None]) / (2 * spread[:, None])))
    profile = (weights * logs).sum(axis=1) / (weights.sum(axis=1) + 1e-6)
    variance = np.square(spread) * _CORRELATED_COLUMNS / np.maximum(count, 1) + _FLOOR**2
    return _Change(
        before_s,
        after_s,
        profile=np.where(enough, profile, 0).astype(np.float32),
        weight=(enough / variance).astype(np.float32),
        cells=np.where(valid, logs, 0).astype(np.float32),
        valid=valid.astype(np.float32),
    )


def _places(rows: int) -> _Double:
    """Return how far below the middle of the picture rows are, in heights."""
    return (np.arange(rows) + 0.5) / rows - 0.5


def _powers(wave: _Waveform, count: int) -> _Waveform:
    """Return the first powers, (count, N)."""
    powers: _Waveform = np.multiply.accumulate(np.broadcast_to(wave, (count, len(wave))), axis=0)
    return powers


def _outer(times: _Waveform, places: _Waveform) -> NDArray[np.complex64]:
    """Return products of each harmonic, (H, N, R)."""
    return times.astype(np.complex64)[:, :, None] * places.astype(np.complex64)[:, None]


def _products(left: _Real, right: _Real) -> _Real:
    """Return the product of two matrices, (P, N) and (N, Q)."""
    total = np.zeros((left.shape[0], right.shape[1]), np.float32)
    for start in range(0, len(right), _PIECE):
        total += left[:, start : start + _PIECE] @ right[start : start + _PIECE]
    return total
