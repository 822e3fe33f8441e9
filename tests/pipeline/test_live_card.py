"""What is shown while a source is away."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import make_frame

from engines.engine import PictureFormat
from pipeline.frame import ColourTags
from pipeline.live.card import blank, with_card
from pipeline.media import FULL_RANGE

FORMATS = [
    PictureFormat("420", 8, 320, 180),
    PictureFormat("422", 10, 321, 181),
    PictureFormat("444", 12, 160, 120),
    PictureFormat("gbr", 8, 200, 120),
    PictureFormat("gray", 8, 200, 120),
]


def picture(picture_format):
    frame = make_frame(picture_format=picture_format)
    rng = np.random.default_rng(0)
    planes = tuple(
        rng.integers(picture_format.peak // 4, picture_format.peak // 2, shape).astype(
            picture_format.dtype
        )
        for shape in picture_format.plane_shapes
    )
    return replace(frame, planes=planes)


@pytest.mark.parametrize("picture_format", FORMATS, ids=str)
def test_picture_is_dimmed_and_has_white_letters(picture_format):
    frame = picture(picture_format)
    before = [plane.copy() for plane in frame.planes]
    card = with_card(frame, ("offline", "12 s"))
    assert card.format == frame.format
    luma, given = card.planes[0].astype(float), frame.planes[0].astype(float)
    assert np.median(luma) < 0.75 * np.median(given)
    white = (235 if picture_format.layout != "gbr" else 255) << (picture_format.bits - 8)
    assert luma.max() == pytest.approx(white, rel=0.01)
    for plane, kept in zip(frame.planes, before, strict=True):
        np.testing.assert_array_equal(plane, kept)


def test_letters_say_the_time():
    frame = picture(FORMATS[0])
    cards = [with_card(frame, ("offline", f"{seconds} s")).planes[0] for seconds in (1, 2)]
    assert (cards[0] != cards[1]).any()


def test_full_range_has_its_own_black_and_white():
    frame = replace(picture(FORMATS[0]), colour=ColourTags(range=FULL_RANGE))
    dark = replace(frame, planes=tuple(np.zeros_like(plane) for plane in frame.planes))
    luma = with_card(dark, ("offline",)).planes[0]
    assert (luma.min(), luma.max()) == (0, 255)


def test_colours_fade():
    frame = picture(FORMATS[0])
    strong = tuple(np.full_like(plane, 228) for plane in frame.planes)
    card = with_card(replace(frame, planes=strong), ("offline",))
    assert set(np.unique(card.planes[1])) == {168}  # 128 + 0.4 * 100


def test_blank_is_black_without_colour():
    frame = blank(64, 32)
    assert [set(np.unique(plane)) for plane in frame.planes] == [{16}, {128}, {128}]
    assert frame.discontinuity
