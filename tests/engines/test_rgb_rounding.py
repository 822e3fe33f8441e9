"""Conversion to RGB and back, against its formulas."""

import av
import numpy as np
import pytest

from engines.rgb import to_rgb, to_yuv420

RED, BLUE = 0.2126, 0.0722
CELL = 16


@pytest.fixture
def cells():
    """Flat cells of every kind of colour: halving chroma changes nothing in their middles."""
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return colours.repeat(CELL, axis=0).repeat(CELL, axis=1)


def middles(plane, cell=CELL):
    return plane[cell // 2 :: cell, cell // 2 :: cell].astype(float)


def planes(frame):
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        found.append(rows[:, : plane.width])
    return found


def test_planes_are_within_half_a_code_of_bt709(cells):
    y, u, v = planes(to_yuv420(cells, bt709=True))
    red, green, blue = middles(cells).transpose(2, 0, 1)
    luma = RED * red + (1 - RED - BLUE) * green + BLUE * blue
    wanted = 16 + luma * 219 / 255
    assert np.abs(middles(y) - wanted).max() < 0.51
    for plane, colour, scale in ((u, blue, 1 - BLUE), (v, red, 1 - RED)):
        wanted = 128 + (colour - luma) / (2 * scale) * 224 / 255
        assert np.abs(middles(plane, CELL // 2) - wanted).max() < 0.51


def test_rgb_is_within_half_a_level_of_bt709():
    frame = av.VideoFrame(64, 64, "yuv420p")
    for plane, code in zip(frame.planes, (93, 110, 151), strict=True):
        np.frombuffer(plane, np.uint8)[:] = code
    luma = (93 - 16) * 255 / 219
    blue = luma + (110 - 128) * 255 / 224 * 2 * (1 - BLUE)
    red = luma + (151 - 128) * 255 / 224 * 2 * (1 - RED)
    green = (luma - RED * red - BLUE * blue) / (1 - RED - BLUE)
    assert np.abs(to_rgb(frame, bt709=True) - np.array([red, green, blue])).max() < 0.51


@pytest.mark.parametrize("bt709", [False, True])
def test_there_and_back_neither_darkens_nor_tints(cells, bt709):
    back = to_rgb(to_yuv420(cells, bt709=bt709), bt709=bt709)
    error = middles(back) - middles(cells)
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.15
    assert np.abs(error).max() <= 2


def test_there_and_back_ten_times_stays_where_it_is(cells):
    picture = cells
    for _ in range(10):
        picture = to_rgb(to_yuv420(picture))
    assert np.abs((middles(picture) - middles(cells)).mean()) < 0.3


def test_odd_sides_come_back():
    picture = np.full((7, 9, 3), 90, np.uint8)
    assert to_rgb(to_yuv420(picture)).shape == (7, 9, 3)
