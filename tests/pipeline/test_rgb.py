from itertools import product

import numpy as np
import pytest

from engines.engine import CHROMA_SHIFT, PictureFormat
from pipeline.frame import ColourTags
from pipeline.sinks.rgb import rgb_levels


@pytest.mark.parametrize(("layout", "bits"), list(product(CHROMA_SHIFT, [8, 10])))
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (16, 8)])
@pytest.mark.parametrize("code_range", [1, 2])
def test_white_is_white_and_black_black_in_every_format(layout, bits, size, code_range):
    form = PictureFormat(layout=layout, bits=bits, width=size[0], height=size[1])
    is_limited = code_range == 1 and layout != "gbr"
    low, high = (16 << (bits - 8), 235 << (bits - 8)) if is_limited else (0, form.peak)
    is_rgb = layout == "gbr"
    for code, level in ((low, 0), (high, 255)):
        planes = tuple(
            np.full(shape, code if is_rgb or number == 0 else 1 << (bits - 1), form.dtype)
            for number, shape in enumerate(form.plane_shapes)
        )
        shown = rgb_levels(planes, form, ColourTags(range=code_range))
        assert shown.shape == (size[1], size[0], 3)
        np.testing.assert_allclose(shown, level, atol=0.01)


@pytest.mark.parametrize(
    ("space", "height", "codes"),
    # Red, 100 % in each matrix, rounded: BT.601, BT.709, BT.2020, and untagged SD and HD.
    [
        (5, 48, (81, 90, 240)),
        (1, 48, (63, 102, 240)),
        (9, 48, (74, 97, 240)),
        (2, 48, (81, 90, 240)),
        (2, 720, (63, 102, 240)),
    ],
)
def test_red_is_red_by_the_tags_or_by_what_players_assume(space, height, codes):
    form = PictureFormat(layout="420", bits=8, width=4, height=height)
    planes = tuple(
        np.full(shape, code, np.uint8) for shape, code in zip(form.plane_shapes, codes, strict=True)
    )
    shown = rgb_levels(planes, form, ColourTags(space=space, range=1))
    np.testing.assert_allclose(shown, np.broadcast_to((255, 0, 0), shown.shape), atol=2)


def test_planar_rgb_comes_out_in_order():
    form = PictureFormat(layout="gbr", bits=10, width=2, height=2)
    planes = tuple(np.full((2, 2), code, np.uint16) for code in (1023, 0, 341))
    shown = rgb_levels(planes, form, ColourTags())
    np.testing.assert_allclose(shown[0, 0], (85, 255, 0), atol=0.01)


def test_less_than_a_level_of_a_deep_picture_is_not_lost():
    form = PictureFormat(layout="gray", bits=10, width=1, height=1)
    one, two = (
        rgb_levels((np.full((1, 1), code, np.uint16),), form, ColourTags()) for code in (512, 513)
    )
    assert (two - one)[0, 0] == pytest.approx([255 / 1023] * 3, rel=1e-3)
