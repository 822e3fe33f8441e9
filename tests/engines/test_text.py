"""Text is found where letters were drawn, and next to none of it where there are none."""

import cv2
import numpy as np
import pytest
from lettered import GROUND, lettered_page

from engines.evaluate.text import find_text
from engines.simulate.content import builtin_lettering, draw_content

SIDE = 320


class Invisible(type(builtin_lettering())):
    """The same letters without ink: what is drawn with them differs by nothing but letters."""

    def render(self, face, size, text):
        return np.zeros_like(super().render(face, size, text))


def drawn(kind, seed, lettering=None):
    return draw_content(np.random.default_rng(seed), SIDE, SIDE, kind=kind, text=lettering)


def lettered_energy(kind, seed):
    """Return the energy of gradients at letters, in what is found, and in both."""
    shown, without = (drawn(kind, seed, text) for text in (builtin_lettering(), Invisible()))
    ink = np.abs(shown.astype(int) - without).max(axis=2) > 8
    letters = cv2.dilate(ink.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    down, across = np.gradient(shown.astype(float).mean(axis=2))
    energy, found = down**2 + across**2, find_text(shown)
    return np.array([energy[where].sum() for where in (letters, found, letters & found)])


@pytest.mark.parametrize("kind", ["code", "document", "terminal", "web"])
def test_most_letters_of_pages_are_found_and_next_to_nothing_else(kind):
    letters, found, both = sum(lettered_energy(kind, seed) for seed in range(5))
    assert both > 0.55 * letters
    assert both > 0.97 * found


@pytest.mark.parametrize("kind", ["plain", "gradient", "pattern", "test_card"])
def test_no_text_is_found_in_fields_and_patterns(kind):
    assert not any(find_text(drawn(kind, seed)).any() for seed in range(12))


@pytest.mark.parametrize("kind", ["textured", "film", "picture"])
def test_next_to_no_text_is_found_in_pictures_and_cloth(kind):
    shares = [find_text(drawn(kind, seed)).mean() for seed in range(12)]
    assert np.count_nonzero(shares) <= 2
    assert np.mean(shares) < 0.02


def test_every_stroke_of_a_page_is_found_with_what_is_beside_it():
    page = lettered_page()
    found = find_text(page)
    ink = page[..., 0] < GROUND - 60
    assert found[ink].mean() > 0.99
    assert 2 * ink.mean() < found.mean() < 0.4


def test_light_letters_are_found_like_dark_ones():
    page = lettered_page()
    np.testing.assert_array_equal(find_text(255 - page), find_text(page))


def test_text_beside_a_picture_is_found_alone():
    page = np.hstack([lettered_page(), drawn("picture", 3)[:200]])
    found = find_text(page)
    assert not found[:, 330:].any()
    assert found[:, :320].mean() > 0.2


def grid(width):
    picture = np.full((200, 320, 3), 240, np.uint8)
    picture[::width] = 40
    picture[:, ::width] = 40
    return picture


def dots(period, *, share):
    """A regular raster, each dot on with a probability: lit windows, halftone."""
    rng = np.random.default_rng(0)
    on = rng.random((-(-200 // period), -(-320 // period))) < share
    cell = np.zeros((period, period), bool)
    cell[1 : period // 2 + 1, 1 : period // 2 + 1] = True
    ink = np.kron(on, cell)[:200, :320]
    return np.where(ink[..., None], np.uint8(30), np.uint8(240)).repeat(3, axis=2)


@pytest.mark.parametrize("regular", [grid(9), grid(24), dots(6, share=1), dots(12, share=0.5)])
def test_regular_patterns_are_no_text(regular):
    assert not find_text(regular).any()


def test_a_word_alone_is_too_little_to_tell():
    page = lettered_page()
    page[:, 60:] = GROUND
    page[50:] = GROUND
    assert not find_text(page).any()


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (3, 200), (33, 64)])
def test_pictures_of_any_size_are_searched(shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = find_text(noise)
    assert (found.shape, found.dtype) == (shape, np.bool_)
