"""Compare simulated fringes with those of real pictures: their periods and their colours.

Takes a folder of real pictures of screens and simulates as many. Both are cut into tiles; in each
picture the third of the tiles with the flattest luma is looked at, where a ripple in colour is
fringe rather than content. The JSON and the PNG hold two comparisons:

- the dominant chroma period of each tile, as a histogram from 3 to 200 pixels, log-spaced: where
  power stands out of its ring of the spectrum, as the narrow peaks of fringes do, weighed by
  frequency, because the power of content falls off with about its cube;
- the mean chroma spectrum over the same periods, in Lab units squared per bin.

Real pictures belong to others: keep them outside the repository.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.simulate.takes import draw_picture, film_picture, load_show

Picture = NDArray[np.uint8]
Spectrum = NDArray[np.float64]

TILE = 384
_STEP = TILE // 2
_PADDED = 1024
SHORTEST_PX, LONGEST_PX = 3.0, 200.0
BINS = 24
_FLAT_SHARE = 1 / 3
_FAINT = 0.3
"""Chroma ripple of a tile, in Lab units RMS, below which there is no fringe to speak of."""
_LEAST_POWER = 1e-6
_STANDS_OUT = 6
"""Times the median of a ring, which noise exceeds in one place of sixty."""
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class Tile:
    """The spectrum of one tile."""

    power: Spectrum
    """Of both chroma channels by period, (BINS,), Lab units squared."""
    dominant: int
    """The bin in which fringes are strongest."""

    @property
    def ripple(self) -> float:
        """RMS of the chroma, in Lab units."""
        return float(np.sqrt(self.power.sum()))


@dataclass
class Fringes:
    """What was found in one set of pictures."""

    pictures: int = 0
    tiles: list[Tile] = field(default_factory=list)

    @property
    def mean_spectrum(self) -> Spectrum:
        """Geometric mean of all flat tiles: one wall of bare LEDs would outshine all others."""
        powers = np.array([tile.power for tile in self.tiles])
        return np.asarray(np.exp(np.log(powers + _LEAST_POWER).mean(0)))

    @property
    def histogram(self) -> Spectrum:
        """Share of tiles, among those with a fringe, whose strongest period is in each bin."""
        counts = np.bincount(self._dominant(), minlength=BINS)
        return np.asarray(counts / max(1, counts.sum()))

    def as_json(self) -> dict[str, object]:
        """Return the figures, rounded."""
        ripples = [tile.ripple for tile in self.tiles]
        dominant = self._dominant()
        periods = np.quantile(middles()[dominant], (0.25, 0.5, 0.75)) if dominant else np.zeros(0)
        return {
            "pictures": self.pictures,
            "flat_tiles": len(self.tiles),
            "share_of_tiles_with_fringes": round(len(dominant) / len(self.tiles), 3),
            "ripple_lab_quartiles": np.quantile(ripples, (0.25, 0.5, 0.75)).round(2).tolist(),
            "dominant_period_px_quartiles": periods.round(1).tolist(),
            "histogram": self.histogram.round(4).tolist(),
            "mean_spectrum_lab2": self.mean_spectrum.round(4).tolist(),
        }

    def _dominant(self) -> list[int]:
        return [tile.dominant for tile in self.tiles if tile.ripple > _FAINT]


def edges() -> NDArray[np.float64]:
    """Return the limits of the bins in pixels, (BINS + 1,), rising."""
    return np.geomspace(SHORTEST_PX, LONGEST_PX, BINS + 1)


def middles() -> NDArray[np.float64]:
    """Return the middle period of each bin in pixels, (BINS,)."""
    return np.asarray(np.sqrt(edges()[:-1] * edges()[1:]))


def flat_tiles(picture: Picture) -> list[NDArray[np.float32]]:
    """Return the chroma, (TILE, TILE, 2), of the tiles with the flattest luma."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    soft = cv2.GaussianBlur(lab[..., 0], (0, 0), 3)
    slope = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))
    rows, columns = (range(0, side - TILE + 1, _STEP) for side in picture.shape[:2])
    places = [np.s_[y : y + TILE, x : x + TILE] for y in rows for x in columns]
    places.sort(key=lambda place: float(slope[place].mean()))
    kept = max(1, round(len(places) * _FLAT_SHARE))
    return [np.asarray(lab[place][..., 1:], np.float32) for place in places[:kept]]


def examine(chroma: NDArray[np.float32]) -> Tile:
    """Return the spectrum of a tile's chroma, (TILE, TILE, 2), without its shading."""
    window = np.outer(np.hanning(TILE), np.hanning(TILE))[..., None]
    ripple = _without_shading(chroma) * window
    power = np.abs(np.fft.fft2(ripple, (_PADDED, _PADDED), axes=(0, 1))) ** 2
    power = power.sum(2) / (_PADDED**2 * (window**2).sum())  # sums to the variance
    frequency = np.fft.fftfreq(_PADDED)
    radius = np.hypot(frequency[:, None], frequency[None])
    ring = np.digitize(1 / np.maximum(radius, 1e-9), edges()) - 1
    rings = [power[ring == number] for number in range(BINS)]
    peaks = [np.maximum(0, found - _STANDS_OUT * np.median(found)).sum() for found in rings]
    return Tile(
        power=np.array([found.sum() for found in rings]),
        dominant=int(np.argmax(np.array(peaks) / middles())),
    )


def _without_shading(chroma: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what a paraboloid, fitted to each channel, does not explain."""
    y, x = np.mgrid[-1 : 1 : TILE * 1j, -1 : 1 : TILE * 1j]
    surface = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)
    flat = chroma.reshape(-1, 2).astype(np.float64)
    shading = surface @ np.linalg.lstsq(surface, flat, rcond=None)[0]
    return np.asarray(flat - shading).reshape(chroma.shape)


def measure(pictures: Iterator[Picture]) -> Fringes:
    """Measure a set of pictures, each at least one tile large."""
    fringes = Fringes()
    for picture in pictures:
        fringes.pictures += 1
        fringes.tiles += [examine(tile) for tile in flat_tiles(picture)]
    return fringes


def read_pictures(paths: Sequence[Path], most: int) -> Iterator[Picture]:
    """Yield pictures as RGB, no side longer than `most`: the middle is cut out, nothing scaled."""
    for path in paths:
        decoded = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if decoded is None or min(decoded.shape[:2]) < TILE:
            print(f"{path.name}: left out, it is no picture of {TILE} pixels or more")
            continue
        top, left = (max(0, side - most) // 2 for side in decoded.shape[:2])
        yield np.asarray(decoded[top : top + most, left : left + most], np.uint8)


def simulate(count: int, side: int, *, seed: int, photos: tuple[Path, ...]) -> Iterator[Picture]:
    """Yield simulated pictures."""
    show = load_show(photos)
    for number in range(count):
        yield film_picture(draw_picture(seed, number), show, height=side, width=side).picture


def plot(real: Fringes, simulated: Fringes) -> Picture:
    """Return both comparisons, one above the other."""
    curves = [np.log10(found.mean_spectrum) for found in (real, simulated)]
    return np.vstack(
        [
            _panel("dominant chroma period: share of tiles", real.histogram, simulated.histogram),
            _panel("mean chroma spectrum: log10 Lab^2", *curves),
        ]
    )


def _panel(title: str, real: Spectrum, simulated: Spectrum) -> Picture:
    """Draw two series over the period, blue for real and orange for simulated."""
    height, width, margin = 300, 900, 50
    panel = np.full((height, width, 3), 255, np.uint8)
    low, high = min(0.0, real.min(), simulated.min()), max(real.max(), simulated.max())
    x = np.linspace(margin, width - margin, BINS)

    def points(series: Spectrum) -> NDArray[np.int32]:
        y = height - margin - (series - low) / max(high - low, 1e-9) * (height - 2 * margin)
        return np.column_stack([x, y]).round().astype(np.int32)

    for label, series, colour, place in (
        ("real", real, (30, 90, 200), 300),
        ("simulated", simulated, (230, 120, 20), 380),
    ):
        cv2.polylines(panel, [points(series)], False, colour, 2, cv2.LINE_AA)
        _write(panel, label, (width - 600 + place, 25), colour)
    _write(panel, title, (margin, 25))
    _write(panel, f"{high:.2f}", (2, margin))
    _write(panel, f"{low:.2f}", (2, height - margin))
    for place in range(0, BINS, 3):
        _write(panel, f"{middles()[place]:.0f} px", (int(x[place]) - 15, height - 20))
    return panel


def _write(
    panel: Picture, text: str, place: tuple[int, int], colour: tuple[int, int, int] = (0, 0, 0)
) -> None:
    cv2.putText(panel, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)


def main() -> None:
    """Measure, print and write what the options ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, required=True, help="folder of real pictures")
    parser.add_argument(
        "--out", type=Path, default=Path("simulator-realism"), help="without suffix"
    )
    parser.add_argument("--side", type=int, default=768, help="of the cuts that are compared")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, help="simulated pictures; default: as many as real")
    parser.add_argument("--photos", type=Path, action="append", default=[])
    options = parser.parse_args()
    paths = sorted(p for p in options.real.rglob("*") if p.suffix.lower() in _SUFFIXES)
    real = measure(read_pictures(paths, options.side))
    if not real.tiles:
        parser.error(f"--real {options.real}: holds no picture of {TILE} pixels or more")
    simulated = measure(
        simulate(
            options.count or real.pictures,
            options.side,
            seed=options.seed,
            photos=tuple(options.photos),
        )
    )
    found = {"real": real.as_json(), "simulated": simulated.as_json()}
    content = {"bin_edges_px": edges().round(2).tolist(), "tile_px": TILE, **found}
    options.out.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")
    cv2.imwrite(str(options.out.with_suffix(".png")), plot(real, simulated)[..., ::-1])
    for name, figures in found.items():
        print(
            name,
            {
                key: value
                for key, value in figures.items()
                if key not in ("histogram", "mean_spectrum_lab2")
            },
        )
    print(f"written: {options.out.with_suffix('.json')}, {options.out.with_suffix('.png')}")


if __name__ == "__main__":
    main()
