"""Cleaning at half the size."""

import numpy as np
import pytest

from engines.backends.identity import IdentityEngine
from engines.engine import EngineError, PictureFormat
from engines.half import HalfSession


class Takes:
    """An engine that subtracts the same from every sample."""

    def __init__(self, levels):
        self.levels = levels

    def open(self, picture_format, *, smoothing=None, batch=None):
        return TakesSession(picture_format, self.levels)


class TakesSession:
    batch, depth = 2, 1

    def __init__(self, picture_format, levels):
        self.format, self.levels, self.closed = picture_format, levels, False
        self.seen = []

    def submit(self, pictures, *, strength=1.0, moments=()):
        self.seen += pictures
        cleaned = [
            tuple(
                np.clip(
                    plane.astype(int) - round(strength * self.levels), 0, self.format.peak
                ).astype(plane.dtype)
                for plane in planes
            )
            for planes in pictures
        ]
        return type("Done", (), {"result": lambda _: cleaned})()

    def close(self):
        self.closed = True


def noise(picture_format, low=0, high=None):
    rng = np.random.default_rng(0)
    high = picture_format.peak if high is None else high
    return tuple(
        rng.integers(low, high, shape, dtype=picture_format.dtype, endpoint=True)
        for shape in picture_format.plane_shapes
    )


FORMATS = [
    PictureFormat("420", 8, 64, 32),
    PictureFormat("420", 10, 63, 31),
    PictureFormat("422", 16, 62, 33),
    PictureFormat("444", 8, 31, 30),
    PictureFormat("gbr", 12, 20, 18),
    PictureFormat("gray", 8, 33, 17),
]


@pytest.mark.parametrize("picture_format", FORMATS, ids=str)
def test_nothing_taken_leaves_every_sample(picture_format):
    planes = noise(picture_format)
    (found,) = HalfSession(IdentityEngine(), picture_format).submit([planes]).result()
    for plane, given in zip(found, planes, strict=True):
        assert plane.dtype == given.dtype
        np.testing.assert_array_equal(plane, given)


@pytest.mark.parametrize("picture_format", FORMATS, ids=str)
@pytest.mark.parametrize("levels", [7, -7])
def test_what_is_taken_is_taken_from_every_sample(picture_format, levels):
    planes = noise(picture_format, low=20, high=picture_format.peak - 20)
    (found,) = HalfSession(Takes(levels), picture_format).submit([planes]).result()
    for plane, given in zip(found, planes, strict=True):
        np.testing.assert_array_equal(plane.astype(int), given.astype(int) - levels)


@pytest.mark.parametrize("picture_format", FORMATS, ids=str)
def test_samples_stay_in_range(picture_format):
    dark = noise(picture_format, high=3)
    bright = noise(picture_format, low=picture_format.peak - 3)
    (found,) = HalfSession(Takes(-9), picture_format).submit([bright]).result()
    assert all(plane.max() <= picture_format.peak for plane in found)
    (found,) = HalfSession(Takes(9), picture_format).submit([dark]).result()
    assert all(plane.max() <= 3 for plane in found)


def test_network_sees_half_the_size():
    session = HalfSession(Takes(1), PictureFormat("420", 8, 1280, 718))
    assert session._inner.format == PictureFormat("420", 8, 640, 359)


def test_strength_is_passed_on():
    picture_format = FORMATS[0]
    planes = noise(picture_format, low=20)
    (found,) = HalfSession(Takes(10), picture_format).submit([planes], strength=0.5).result()
    np.testing.assert_array_equal(found[0], planes[0] - 5)


def test_wrong_planes_are_refused():
    with pytest.raises(EngineError, match="planes of"):
        HalfSession(Takes(1), FORMATS[0]).submit([noise(FORMATS[1])])


def test_closing_closes_the_session_within():
    session = HalfSession(Takes(1), FORMATS[0])
    session.close()
    assert session._inner.closed
