"""A small page under fringes, and models that do known things to it, for tests of judging."""

import numpy as np

from engines.evaluate.cases import Case
from engines.evaluate.judge import judge_pictures, load_baselines

HEIGHT, WIDTH = 96, 130


def truth():
    """A page: light grey with dark bars, and fields in the primaries.

    On grey alone an affine fit of colours could cancel rainbow fringes.
    """
    picture = np.full((HEIGHT, WIDTH, 3), 190, np.uint8)
    picture[10:80:9, 10:70] = 60
    for channel in range(3):
        picture[30 * channel : 30 * channel + 30, 80:, channel] = 70
    return picture


GREY = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)


def fringed(amplitude=12, page=None):
    """A page under rainbow fringes of 20 pixels."""
    page = truth() if page is None else page
    columns = np.arange(WIDTH)[None, :, None]
    shift = np.array([0, 1, 2]) / 3
    wave = amplitude * np.sin(2 * np.pi * (columns / 20 + shift))
    return np.clip(page + wave, 0, 255).astype(np.uint8)


def halve(picture):
    """A model that takes half of the way from the fringes to the page."""
    return np.rint((picture.astype(float) + truth()) / 2).astype(np.uint8)


def same(picture):
    return picture


def judged(model, *, cases=None, baselines=()):
    cases = cases or [Case("page", fringed(), truth())]
    return list(judge_pictures(cases, model, load_baselines(baselines)))


def clip(amplitudes):
    return np.stack([fringed(amplitude) for amplitude in amplitudes])
