"""The screen: sub-pixel patterns of mean 1, and the light of each pixel where it belongs."""

from typing import get_args

import numpy as np
import pytest

from engines.simulate.display import (
    SAMPLES,
    Panel,
    PanelKind,
    emit,
    linear_light,
    pattern,
    patterned,
)

KINDS = get_args(PanelKind)


@pytest.mark.parametrize("footprint", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_pattern_is_as_bright_as_a_plain_screen(kind, footprint):
    tile = pattern(Panel(kind=kind), footprint=footprint)
    assert tile.shape == (2 * SAMPLES, 2 * SAMPLES, 3)
    assert tile.dtype == np.float32
    assert tile.min() >= 0
    np.testing.assert_allclose(tile.mean((0, 1), np.float64), 1, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_rotated_panel_swaps_the_axes(kind):
    upright, rotated = (
        pattern(Panel(kind=kind, rotated=turned), footprint=0.01) for turned in (False, True)
    )
    np.testing.assert_allclose(rotated, upright.transpose(1, 0, 2), rtol=1e-4)


def test_bgr_is_the_mirror_of_rgb_stripes():
    stripes, mirrored = (pattern(Panel(kind=kind), footprint=0.01) for kind in ("stripe", "bgr"))
    np.testing.assert_array_equal(mirrored, stripes[..., ::-1])


def test_red_lies_left_of_green_left_of_blue():
    columns = pattern(Panel(fill=0.6), footprint=0.01)[:, :SAMPLES].mean(0)
    centres = (columns * np.arange(SAMPLES)[:, None]).sum(0) / columns.sum(0)
    assert centres[0] < centres[1] < centres[2]


@pytest.mark.parametrize("kind", ["pentile", "diamond"])
def test_every_second_pixel_of_a_pentile_panel_has_no_red(kind):
    tile = pattern(Panel(kind=kind, leak=0), footprint=0.01)
    cells = tile.reshape(2, SAMPLES, 2, SAMPLES, 3).sum((1, 3))
    assert (cells[..., 0] > 0).tolist() == [[True, False], [False, True]]
    assert (cells[..., 2] > 0).tolist() == [[False, True], [True, False]]
    assert (cells[..., 1] > 0).all()


def test_wider_footprint_flattens_the_pattern():
    spread = [pattern(Panel(), footprint=f).std() for f in (0.01, 0.2, 0.5, 1.0)]
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] < 0.05 * spread[0]  # a whole stripe triple averages out


def test_light_leaks_through_the_black_matrix():
    dark, leaking = (pattern(Panel(leak=leak), footprint=0.01).min() for leak in (0.0, 0.1))
    assert dark == 0 < leaking


def test_code_values_become_light_by_the_gamma():
    light = linear_light(np.array([[[0, 128, 255]]], np.uint8), 2.2)
    np.testing.assert_allclose(light[0, 0], [0, (128 / 255) ** 2.2, 1], rtol=1e-6)
    assert light.dtype == np.float32


def test_each_pixel_spans_from_its_index_to_the_next():
    light = np.random.default_rng(0).random((4, 5, 3), np.float32)
    at = (np.arange(20, dtype=np.float32) + 0.5) / 4
    x, y = np.meshgrid(at, at[:16])
    plain = emit(light, x, y)
    np.testing.assert_array_equal(plain, light.repeat(4, 0).repeat(4, 1))


def test_patterned_screen_is_the_plain_one_times_its_pattern():
    mask = pattern(Panel(kind="diamond"), footprint=0.1)
    at = (np.arange(4 * SAMPLES, dtype=np.float32) + 0.5) / SAMPLES
    x, y = np.meshgrid(at, at)
    plain = np.full((*x.shape, 3), 0.5, np.float32)
    seen = patterned(plain, x, y, mask)
    np.testing.assert_allclose(seen, 0.5 * np.tile(mask, (2, 2, 1)), rtol=1e-6)


def test_screen_goes_on_mirrored_beyond_its_edges():
    light = np.arange(6, dtype=np.float32).reshape(1, 6, 1).repeat(3, 0).repeat(3, 2)
    x = np.array([[-0.5, 0.5, 5.5, 6.5]], np.float32)
    assert emit(light, x, np.full_like(x, 1.5))[0, :, 0].tolist() == [1, 0, 5, 4]
