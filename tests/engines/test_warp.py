"""Tiles that are shifted, against a true warp."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.smooth.warp import warp_into


def waves(height, width):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return 100 + 40 * np.sin(x / 9) * np.cos(y / 7) + 0.05 * x


def warped(plane, matrix):
    """A true bilinear warp in float32: OpenCV's has steps of 1/32 of a pixel."""
    height, width = plane.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    h = matrix
    depth = h[2, 0] * x + h[2, 1] * y + h[2, 2]
    at_x = np.clip((h[0, 0] * x + h[0, 1] * y + h[0, 2]) / depth, 0, width - 1)
    at_y = np.clip((h[1, 0] * x + h[1, 1] * y + h[1, 2]) / depth, 0, height - 1)
    left, top = np.minimum(at_x.astype(int), width - 2), np.minimum(at_y.astype(int), height - 2)
    fx, fy = at_x - left, at_y - top
    above = plane[top, left] * (1 - fx) + plane[top, left + 1] * fx
    below = plane[top + 1, left] * (1 - fx) + plane[top + 1, left + 1] * fx
    return above * (1 - fy) + below * fy


def moved(plane, matrix):
    target = np.full_like(plane, -1)
    warp_into(plane, np.asarray(matrix, np.float64), target)
    return target


@given(x=st.floats(-12, 12), y=st.floats(-12, 12))
@settings(max_examples=40, deadline=None)
def test_a_shift_is_exact_up_to_the_edges(x, y):
    plane, matrix = waves(160, 240), np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])
    np.testing.assert_allclose(moved(plane, matrix), warped(plane, matrix), atol=0.01)


@pytest.mark.parametrize("shift", [(500.0, 0.0), (0.0, -400.3), (-1e4, 1e4)])
def test_a_shift_beyond_the_picture_repeats_its_edge(shift):
    plane, matrix = waves(160, 240), np.eye(3)
    matrix[:2, 2] = shift
    np.testing.assert_allclose(moved(plane, matrix), warped(plane, matrix), atol=0.01)


@given(turn=st.floats(-0.0006, 0.0006), scale=st.floats(-0.0006, 0.0006), x=st.floats(-3, 3))
@settings(max_examples=25, deadline=None)
def test_what_a_hand_does_is_within_a_sixth_of_a_pixel(turn, scale, x):
    plane = waves(270, 480)
    matrix = np.array([[1 + scale, -turn, x], [turn, 1 + scale, 0.3], [0, 0, 1]])
    steepest = 40 / 7 * 1.5  # levels per pixel
    assert np.abs(moved(plane, matrix) - warped(plane, matrix)).max() < 0.17 * steepest


def test_a_large_turn_is_a_true_warp():
    plane = waves(270, 480)
    matrix = np.array([[0.98, -0.05, 20], [0.05, 0.98, -9], [1e-5, 0, 1]])
    wanted = cv2.warpPerspective(
        plane,
        matrix,
        (480, 270),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    np.testing.assert_array_equal(moved(plane, matrix), wanted)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (40, 40), (97, 131)])
def test_small_and_odd_planes_are_moved(size):
    plane = waves(*size)
    np.testing.assert_allclose(moved(plane, np.eye(3)), plane, atol=1e-4)
