"""Bands that roll over a filmed screen: found and removed where they are, left alone elsewhere."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from engines.simulate.clip import Hand, simulate_clip
from engines.simulate.conditions import Conditions
from engines.simulate.content import scene
from engines.simulate.film import sensor_size
from engines.simulate.optics import Lens, Pose
from engines.simulate.shutter import Flicker, Shutter, band_depth, row_delays_s, row_gain
from engines.smooth.bands import BandEstimator

ROWS, COLUMNS, RATE = 180, 256, 30
GAMMA = 2.2
READOUT_S = 0.016
SPARE = 40
SECOND = RATE
RESIDUAL = 0.03


def smooth_noise(seed, *, rows=ROWS + SPARE, columns=COLUMNS + SPARE):
    """Blobs of many sizes, levels 40 to 200."""
    rng = np.random.default_rng(seed)
    total = np.zeros((rows, columns), np.float32)
    for blob in (2, 6, 20, 60):
        small = rng.standard_normal((rows // blob + 2, columns // blob + 2)).astype(np.float32)
        total += cv2.resize(small, (columns, rows), interpolation=cv2.INTER_CUBIC)
    return np.clip(120 + 20 * total, 40, 200)


def page(seed, *, rows=ROWS + SPARE, pitch=9):
    """Lines of dark words on bright paper."""
    rng = np.random.default_rng(seed)
    paper = np.full((rows, COLUMNS + SPARE), 205, np.float32)
    for line in range(6, rows - pitch, pitch):
        words = np.repeat(rng.choice([70.0, 130.0, 205.0], 60, p=[0.4, 0.3, 0.3]), 5)
        start = int(rng.integers(10, 40))
        end = int(rng.integers(COLUMNS // 2, COLUMNS))
        paper[line : line + pitch // 2, start:end] = words[: end - start]
    return cv2.GaussianBlur(paper, (0, 0), 0.7)


def moved(picture, right, down):
    """The window of a larger picture, moved by fractions of a pixel."""
    matrix = np.array([[1, 0, -SPARE / 2 - right], [0, 1, -SPARE / 2 - down]])
    return cv2.warpAffine(picture, matrix, (COLUMNS, ROWS), flags=cv2.INTER_LINEAR)


def still(picture):
    return lambda time_s: moved(picture, 0, 0)


def held(picture):
    """A hand: trembling of a pixel at 5 and 8 Hz, and a slow drift."""

    def at(time_s):
        right = 0.8 * np.sin(2 * np.pi * 5.3 * time_s) + 0.3 * np.sin(2 * np.pi * 8.1 * time_s + 1)
        down = 0.7 * np.sin(2 * np.pi * 4.7 * time_s + 2) + 0.3 * np.sin(2 * np.pi * 7.6 * time_s)
        return moved(picture, right + 1.5 * time_s, down - time_s)

    return at


def player(picture, film):
    """A film that plays in the middle of the picture, with another shot after 0.8 s."""

    def at(time_s):
        shown = moved(picture, 0, 0)
        shot = film if time_s < 0.8 else film[::-1, ::-1]
        left, top = round(30 * time_s) % SPARE, round(20 * time_s) % SPARE
        shown[40:140, 60:190] = shot[top : top + 100, left : left + 130]
        return shown

    return at


CONTENTS = {
    "still": still(smooth_noise(1)),
    "page": still(page(2)),
    "held": held(smooth_noise(3)),
    "player": player(smooth_noise(4), smooth_noise(5)),
}


def light(*, bands, beat_hz, depth, dark_share=0.5):
    """A light whose bands are so many, so fast and so deep, and its shutter: half a period long."""
    near = bands / READOUT_S
    frequency = round((near - beat_hz) / RATE) * RATE + beat_hz
    exposure_ms = 500 / frequency
    pulses = np.linspace(0.01, 1, 991)
    depths = [band_depth(Flicker(frequency, d, dark_share), exposure_ms) for d in pulses.tolist()]
    pulse = float(np.interp(depth, depths, pulses))
    shutter = Shutter(readout_ms=1000 * bands / frequency, exposure_ms=exposure_ms)
    return Flicker(frequency, pulse, dark_share, phase=0.3), shutter


def gain_at(time_s, flicker, shutter):
    begins = time_s + np.arange(ROWS) / ROWS * shutter.readout_ms / 1000
    return row_gain(flicker, begins, shutter.exposure_ms)


def film(content, *, bands=None, frames=SECOND + 6, noise=1.5, times=None):
    """Yield (time, thumbnail, gain of each row in linear light) of a clip."""
    rng = np.random.default_rng(7)
    grain = rng.standard_normal((ROWS + 50, COLUMNS + 50)).astype(np.float32) * noise
    for time_s in np.arange(frames) / RATE if times is None else times:
        gain = np.ones(ROWS, np.float32) if bands is None else gain_at(time_s, *bands)
        down, right = rng.integers(50, size=2)
        levels = content(time_s) * gain[:, None] ** (1 / GAMMA)
        levels = levels + grain[down : down + ROWS, right : right + COLUMNS]
        yield time_s, np.clip(levels + 0.5, 0, 255).astype(np.uint8), gain


def followed(clip, estimator=None):
    """All gains, and the depth of the bands that each leaves, in linear light."""
    estimator = BandEstimator(rows=ROWS) if estimator is None else estimator
    gains, depths = [], []
    for number, (time_s, luma, true) in enumerate(clip):
        gains.append(estimator.follow(luma, time_s=time_s, fresh=number == 0))
        depths.append(left(true, gains[-1]))
    return gains, np.array(depths)


def left(true, gain):
    rest = true if gain is None else true * gain**GAMMA
    return float(np.ptp(rest) / rest.mean())


def off(gains):
    return all(gain is None for gain in gains)


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(("bands", "beat_hz"), [(0.5, 4), (1.3, -6), (2.4, 3), (5, 11), (8, -7)])
def test_bands_of_15_percent_are_gone_within_a_second(content, bands, beat_hz):
    source = light(bands=bands, beat_hz=beat_hz, depth=0.15)
    gains, depths = followed(film(CONTENTS[content], bands=source))
    assert gains[-1].dtype == np.float32
    assert gains[-1].shape == (ROWS,)
    assert depths[SECOND:].max() <= RESIDUAL


@pytest.mark.parametrize("depth", [0.04, 0.08, 0.3])
def test_shallow_and_deep_bands_are_removed(depth):
    source = light(bands=2, beat_hz=5, depth=depth)
    _, depths = followed(film(CONTENTS["still"], bands=source))
    assert depths[SECOND:].max() <= 0.2 * depth


@pytest.mark.parametrize("beat_hz", [-1.5, 1.2, 10, 15])
def test_any_beat_that_a_second_shows_is_followed(beat_hz):
    source = light(bands=2, beat_hz=beat_hz, depth=0.15)
    _, depths = followed(film(CONTENTS["still"], bands=source))
    assert depths[SECOND:].max() <= RESIDUAL


def test_black_borders_of_a_widescreen_film_do_not_matter():
    def bordered(time_s):
        shown = CONTENTS["still"](time_s)
        shown[:22] = shown[-22:] = 2
        return shown

    source = light(bands=2, beat_hz=4, depth=0.15)
    _, depths = followed(film(bordered, bands=source))
    assert depths[SECOND:].max() <= RESIDUAL


def test_half_a_black_picture_does_not_tell():
    def half(time_s):
        shown = CONTENTS["still"](time_s)
        shown[: ROWS // 2] = 2
        return shown

    gains, _ = followed(film(half, bands=light(bands=2, beat_hz=4, depth=0.15)))
    assert off(gains)


def test_short_dark_pulses_take_harmonics():
    source = light(bands=2, beat_hz=4, depth=0.15, dark_share=0.15)
    _, depths = followed(film(CONTENTS["still"], bands=source))
    assert depths[SECOND:].max() <= RESIDUAL


def test_pulse_of_a_band_longer_than_the_picture_is_evened_out():
    source = light(bands=0.5, beat_hz=4, depth=0.15)
    clip = list(film(CONTENTS["still"], bands=source))
    gains, _ = followed(clip)
    before = [float(true.mean()) for _, _, true in clip[SECOND:]]
    pairs = zip(clip[SECOND:], gains[SECOND:], strict=True)
    after = [float((true * gain**GAMMA).mean()) for (_, _, true), gain in pairs]
    assert np.ptp(before) > 0.06
    assert np.ptp(after) < 0.01


def test_dropped_pictures_do_not_matter():
    times = [number / RATE for number in range(SECOND + 6) if number % 3]
    source = light(bands=2, beat_hz=4, depth=0.15)
    _, depths = followed(film(CONTENTS["still"], bands=source, times=times))
    assert depths[len(times) - 4 :].max() <= RESIDUAL


def test_repeated_pictures_do_not_matter():
    source = light(bands=2, beat_hz=4, depth=0.15)
    taken = list(film(CONTENTS["still"], bands=source))
    shown = [(time_s + late, *rest) for time_s, *rest in taken for late in (0, 0.5 / RATE)]
    gains, _ = followed(shown)
    assert left(shown[-2][2], gains[-2]) <= RESIDUAL


def test_nothing_is_said_of_the_first_pictures():
    source = light(bands=2, beat_hz=4, depth=0.15)
    gains, _ = followed(film(CONTENTS["still"], bands=source, frames=12))
    assert off(gains)


def test_bands_are_forgotten_when_they_end():
    source = light(bands=2, beat_hz=4, depth=0.15)
    estimator = BandEstimator(rows=ROWS)
    gains, _ = followed(film(CONTENTS["still"], bands=source), estimator)
    assert gains[-1] is not None
    start = (SECOND + 6) / RATE
    steady = film(CONTENTS["still"], times=start + np.arange(40) / RATE)
    ended = [estimator.follow(luma, time_s=time_s, fresh=False) for time_s, luma, _ in steady]
    assert off(ended[-5:])


def test_fresh_picture_begins_anew():
    source = light(bands=2, beat_hz=4, depth=0.15)
    estimator = BandEstimator(rows=ROWS)
    clip = list(film(CONTENTS["still"], bands=source))
    first, _ = followed(clip, estimator)
    again, _ = followed(clip, estimator)
    assert off(again[:12])
    np.testing.assert_array_equal(first[-1], again[-1])


def test_fade_behind_bands_stays():
    source = light(bands=2, beat_hz=5, depth=0.15)
    fading = CONTENTS["still"]
    gains, depths = followed(film(lambda t: fading(t) * (1 - 0.4 * t), bands=source))
    assert depths[SECOND:].max() <= RESIDUAL
    assert all(abs(np.log(gain).mean()) < 0.005 for gain in gains[SECOND:])


def scrolled(picture, *, speed):
    def at(time_s):
        top = round(speed * time_s)
        return picture[top : top + ROWS, :COLUMNS]

    return at


def pulsing(picture, slope):
    """Content that pulses: all alike, or its upper rows more."""
    rows = 1 + slope * np.linspace(1, -1, ROWS, dtype=np.float32)[:, None]
    return lambda time_s: picture * (1 + 0.07 * np.sin(2 * np.pi * 2.3 * time_s) * rows)


def changed(pictures, *, every_s):
    return lambda time_s: pictures[int(time_s / every_s) % len(pictures)]


PICTURE = moved(smooth_noise(11), 0, 0)
OTHER = moved(page(12), 0, 0)
WITHOUT: dict[str, Callable] = {
    "static": still(smooth_noise(11)),
    "static page": still(page(12)),
    "black": lambda time_s: np.full((ROWS, COLUMNS), 3.0),
    "clipped white": lambda time_s: np.full((ROWS, COLUMNS), 254.0),
    "plain": lambda time_s: np.full((ROWS, COLUMNS), 120.0),
    "hand": held(smooth_noise(13)),
    "page in a hand": held(page(14)),
    "scrolled text": scrolled(page(15, rows=500), speed=60),
    "scrolled large text": scrolled(page(16, rows=500, pitch=36), speed=80),
    "scrolled pictures": scrolled(smooth_noise(17, rows=500), speed=70),
    "panned sky": scrolled(cv2.GaussianBlur(smooth_noise(20, rows=700), (0, 0), 25), speed=230),
    "player": player(smooth_noise(18), smooth_noise(19)),
    "fade": lambda time_s: PICTURE * max(0.1, 1 - 0.6 * time_s),
    "exposure": lambda time_s: PICTURE * (1 + 0.15 * np.sin(3 * time_s)),
    "pulse": pulsing(PICTURE, 0),
    "pulse of the upper part": pulsing(PICTURE, 1),
    "cut": changed([PICTURE, OTHER], every_s=0.7),
    "cuts": changed([PICTURE, OTHER, PICTURE[::-1]], every_s=0.2),
    "blinking": changed([PICTURE, PICTURE * 0.9], every_s=0.1),
}


@pytest.mark.parametrize("content", WITHOUT)
def test_content_without_bands_is_left_alone(content):
    gains, _ = followed(film(WITHOUT[content], frames=2 * SECOND))
    assert off(gains)


def test_bands_that_stand_are_not_told_from_the_content():
    source = light(bands=2, beat_hz=0, depth=0.15)
    gains, _ = followed(film(CONTENTS["still"], bands=source))
    assert off(gains)


def test_shallower_bands_than_a_percent_are_left():
    source = light(bands=2, beat_hz=5, depth=0.006)
    gains, _ = followed(film(CONTENTS["still"], bands=source))
    assert off(gains)


def test_gap_and_time_that_runs_backward_begin_anew():
    source = light(bands=2, beat_hz=4, depth=0.15)
    for jump_s in (-0.5, 3.0):
        estimator = BandEstimator(rows=ROWS)
        gains, _ = followed(film(CONTENTS["still"], bands=source), estimator)
        assert gains[-1] is not None
        late = film(CONTENTS["still"], bands=source, times=[35 / RATE + jump_s, 36 / RATE + jump_s])
        assert off([estimator.follow(luma, time_s=t, fresh=False) for t, luma, _ in late])


def test_repeated_time_gives_the_same_gains():
    source = light(bands=2, beat_hz=4, depth=0.15)
    estimator = BandEstimator(rows=ROWS)
    clip = list(film(CONTENTS["still"], bands=source))
    gains, _ = followed(clip, estimator)
    again = estimator.follow(clip[0][1], time_s=clip[-1][0], fresh=False)
    np.testing.assert_array_equal(gains[-1], again)


def test_thumbnail_is_left_as_it_is():
    luma = np.random.default_rng(1).integers(0, 256, (ROWS, COLUMNS), np.uint8)
    copy = luma.copy()
    BandEstimator(rows=ROWS).follow(luma, time_s=0.0, fresh=True)
    np.testing.assert_array_equal(luma, copy)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 5), (54, 33)])
def test_tiny_thumbnails_are_taken(rows, columns):
    estimator, rng = BandEstimator(rows=rows), np.random.default_rng(2)
    for number in range(20):
        luma = rng.integers(100, 110, (rows, columns), np.uint8)
        assert estimator.follow(luma, time_s=number / RATE, fresh=number == 0) is None


HEIGHT, WIDTH = 96, 128


def simulated(hand, source):
    """Yield (time, thumbnail, gain) of a clip through the whole chain of the simulator."""
    shown = scene(np.random.default_rng(1), 240, 320, kind="static")
    conditions = Conditions(pose=Pose(ratio=2.06, roll_deg=1.2), flicker=None)
    rows, columns = sensor_size(conditions, height=HEIGHT, width=WIDTH)
    field = float(np.hypot(rows, columns)) / 2
    conditions = replace(conditions, lens=replace(Lens(), field=field))
    if source is not None:
        conditions = replace(conditions, flicker=source[0], shutter=source[1])
    clip = simulate_clip(
        shown, conditions, hand, seed=3, height=HEIGHT, width=WIDTH, frame_rate=RATE, frames=32
    )
    delays = row_delays_s(conditions.shutter, rows=rows, field=field)
    for number, filmed in enumerate(clip):
        time_s, grey = number / RATE, cv2.cvtColor(filmed.picture, cv2.COLOR_RGB2GRAY)
        luma = cv2.resize(grey, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
        true = np.ones(rows, np.float32)
        if source is not None:
            true = row_gain(source[0], time_s + delays, source[1].exposure_ms)
        places = (np.arange(rows) + 0.5) * (HEIGHT / 2 / rows)
        yield time_s, luma, np.interp(np.arange(0.5, HEIGHT // 2), places, true)


HELD = Hand(tremor_px=1.0, drift_px_s=3.0, sway_deg=0.05)


def test_simulated_bands_are_removed():
    source = light(bands=1.5, beat_hz=4, depth=0.15)
    _, depths = followed(simulated(HELD, source), BandEstimator(rows=HEIGHT // 2))
    assert depths[SECOND:].max() <= RESIDUAL


def test_simulated_clip_without_bands_is_left_alone():
    gains, _ = followed(simulated(HELD, None), BandEstimator(rows=HEIGHT // 2))
    assert off(gains)
