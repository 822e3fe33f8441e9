"""Planes as blocks and back, for every size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.backends.blocks import LAYOUTS, BlockOrder
from engines.backends.padding import pad_into, padded_shapes
from engines.engine import PictureFormat

MULTIPLE = 64


@st.composite
def pictures(draw):
    picture_format = PictureFormat(
        draw(st.sampled_from(LAYOUTS)),
        draw(st.sampled_from([8, 10, 16])),
        draw(st.integers(1, 90) | st.sampled_from([8, 16, 24, 136])),
        draw(st.integers(1, 90) | st.sampled_from([8, 16, 24, 136])),
    )
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    gap = draw(st.sampled_from([0, 1, 8]))  # rows of a decoder's pictures do not touch
    planes = tuple(
        rng.integers(0, picture_format.peak + 1, (height, width + gap), dtype=picture_format.dtype)[
            :, :width
        ]
        for height, width in picture_format.plane_shapes
    )
    return picture_format, planes


def padded(plane, shape):
    target = np.empty(shape, plane.dtype)
    pad_into(plane, target)
    return target


def squares(plane, rows, columns):
    """(rows, columns, samples): the definition, one transposition."""
    side = plane.shape[0] // rows
    split = plane.reshape(rows, side, columns, side)
    return split.transpose(0, 2, 1, 3).reshape(rows, columns, side * side)


@settings(max_examples=150, deadline=None)
@given(pictures())
def test_blocks_hold_each_plane_mirrored_beyond_its_edges(drawn):
    picture_format, planes = drawn
    shapes = padded_shapes(picture_format, MULTIPLE)
    order = BlockOrder(picture_format, shapes)
    blocks = np.empty(order.shape, picture_format.dtype)
    order.pack(planes, blocks)
    rows, columns, _ = order.shape
    wanted = [
        squares(padded(plane, shape), rows, columns)
        for plane, shape in zip(planes, shapes, strict=True)
    ]
    assert np.array_equal(blocks, np.concatenate(wanted, axis=2))


@settings(max_examples=60, deadline=None)
@given(pictures())
def test_unpacked_planes_are_what_was_packed(drawn):
    picture_format, planes = drawn
    shapes = padded_shapes(picture_format, MULTIPLE)
    order = BlockOrder(picture_format, shapes)
    blocks = np.empty(order.shape, picture_format.dtype)
    order.pack(planes, blocks)
    found = order.unpack(blocks)
    assert [plane.shape for plane in found] == list(shapes)
    for plane, wanted, shape in zip(found, planes, shapes, strict=True):
        assert np.array_equal(plane, padded(wanted, shape))


def test_unpacked_planes_are_new():
    picture_format = PictureFormat("420", 8, 64, 64)
    order = BlockOrder(picture_format, picture_format.plane_shapes)
    blocks = np.zeros(order.shape, np.uint8)
    first = order.unpack(blocks)
    blocks[:] = 1
    assert all(plane.max() == 0 for plane in first)
    assert not any(np.shares_memory(plane, blocks) for plane in first)


@pytest.mark.parametrize(("layout", "samples"), [("420", 96), ("gray", 64)])
def test_a_block_has_all_samples_of_one_place(layout, samples):
    picture_format = PictureFormat(layout, 8, 128, 64)
    assert BlockOrder(picture_format, picture_format.plane_shapes).shape == (8, 16, samples)
