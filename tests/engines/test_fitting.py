"""What an engine does where its device has too little memory."""

import logging

import numpy as np
import pytest
from short_of_memory import ShortOfMemory

from engines.backends import create_engine
from engines.backends.identity import IdentityEngine
from engines.engine import BACKENDS, WHOLE, Moment, PictureFormat, Smoothing
from engines.errors import DeviceMemoryError, EngineError
from engines.fitting.engine import FittingEngine
from engines.half import HalfSession

HD = PictureFormat("420", 8, 1920, 1080)
WIDE = PictureFormat("420", 8, 1856, 160)
PLENTY = 10**9


def short(most_pixels, *, batch=1):
    inner = ShortOfMemory(IdentityEngine(), most_pixels=most_pixels, batch=batch)
    return FittingEngine(inner, batch=batch), inner


def picture(picture_format, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(
        rng.integers(0, picture_format.peak + 1, shape, dtype=picture_format.dtype)
        for shape in picture_format.plane_shapes
    )


def assert_equal(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_fits_is_the_back_ends_own_session(caplog):
    engine, inner = short(PLENTY, batch=4)
    session = engine.open(HD)
    assert type(session) is type(inner.engine.open(HD))
    assert (session.batch, engine.info.fit) == (4, WHOLE)
    assert not caplog.records
    assert engine.info == inner.info
    assert "whole" not in str(engine.info)


@pytest.mark.parametrize(("room", "count"), [(2, 2), (3, 2), (1, 1)])
def test_fewer_pictures_are_tried_first(room, count, caplog):
    engine, inner = short(room * 1920 * 1080, batch=4)
    session = engine.open(HD)
    assert session.batch == count
    assert inner.opened == [(1920, 1080, count)]
    assert engine.info.fit == f"batch {count} of 4"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"too little memory for 1920x1080 420 of 8 bits at once: batch {count} of 4" in (
        record.getMessage()
    )
    assert "8294400 pixels, room for" in record.getMessage()


def test_the_batch_that_is_asked_for_is_what_is_halved():
    engine, _ = short(1920 * 1080, batch=64)
    assert engine.open(HD, batch=2).batch == 1
    assert engine.info.fit == "batch 1 of 2"


def test_then_tiles_which_give_the_same_picture(caplog):
    engine, inner = short(2400 * 1600, batch=2)
    uhd = PictureFormat("420", 10, 3839, 2159)
    session = engine.open(uhd)
    assert inner.opened == [(1664, 2176, 1)]
    assert engine.info.fit == "tiles of 1664x2176 with 896 of overlap"
    assert str(engine.info).endswith(", tiles of 1664x2176 with 896 of overlap")
    assert "tiles of 1664x2176" in caplog.text
    planes = picture(uhd)
    assert_equal(session.submit([planes]).result()[0], planes)
    session.close()


def test_tiles_are_halved_until_they_fit():
    engine, inner = short(1500 * 1300)
    engine.open(PictureFormat("gray", 8, 7680, 4320)).close()
    ((width, height, count),) = inner.opened
    assert width * height <= 1500 * 1300
    assert count == 1


def test_what_fits_again_is_whole_again():
    engine, _ = short(1920 * 1080 - 1)
    engine.open(PictureFormat("420", 8, 1920, 1080)).close()
    assert engine.info.fit != WHOLE
    engine.open(PictureFormat("420", 8, 640, 480)).close()
    assert engine.info.fit == WHOLE


def test_nothing_that_fits_is_an_error_that_says_what_to_do():
    engine, _ = short(1000, batch=2)
    words = (
        r"identity: CPU has too little memory for 1920x1080 420 of 8 bits, as tiles of \d+x\d+ with"
        r" 896 of overlap too \(\d+ pixels, room for 1000\); close other programs that use it, take"
        r" a smaller network .*--engine openvino"
    )
    with pytest.raises(EngineError, match=words) as caught:
        engine.open(HD)
    assert not isinstance(caught.value, DeviceMemoryError)
    with pytest.raises(EngineError, match="64x64 420 of 8 bits, as a whole too"):
        engine.open(PictureFormat("420", 8, 64, 64))


def test_other_errors_are_not_answered():
    class Refuses(IdentityEngine):
        def open(self, picture_format, *, smoothing=None, batch=None):
            raise EngineError("no such layout")

    engine = FittingEngine(Refuses(), batch=4)
    with pytest.raises(EngineError, match=r"^no such layout$"):
        engine.open(HD)


def smoothed(session, clip):
    shown = [
        session.submit([planes], moments=[Moment(n / 30, reset=n == 0)]).result()[0]
        for n, planes in enumerate(clip)
    ]
    flicker = session.flicker
    session.close()
    return shown, flicker


def test_tiles_are_smoothed_as_a_whole():
    smoothing = Smoothing(0.15, 0.25)
    form = PictureFormat("420", 8, 1853, 157)
    rng = np.random.default_rng(1)
    still = [np.linspace(40, 200, w)[None].repeat(h, 0) for h, w in form.plane_shapes]
    clip = [
        tuple((plane + rng.normal(0, 2, plane.shape)).astype(np.uint8) for plane in still)
        for _ in range(5)
    ]
    engine, inner = short(1408 * 192)
    found, flicker = smoothed(engine.open(form, smoothing=smoothing), clip)
    assert inner.opened == [(1408, 192, 1)]
    wanted, expected = smoothed(IdentityEngine().open(form, smoothing=smoothing), clip)
    for one, other in zip(found, wanted, strict=True):
        assert_equal(one, other)
    assert flicker == expected
    assert flicker.after < flicker.before


def test_smoothing_needs_moments_in_tiles_too():
    engine, _ = short(1408 * 192)
    session = engine.open(WIDE, smoothing=Smoothing(0.15, 0.25))
    with pytest.raises(EngineError, match="smoothing needs the moment of each picture"):
        session.submit([picture(WIDE)])


def test_half_the_size_takes_fitting_engines():
    engine, _ = short(1920 * 1080)
    uhd = PictureFormat("420", 8, 3840, 2160)
    planes = picture(uhd)
    assert_equal(HalfSession(engine, uhd).submit([planes]).result()[0], planes)


def test_every_engine_is_a_fitting_one(monkeypatch):
    monkeypatch.setitem(BACKENDS, "short", "test_fitting:ShortIdentity")
    engine = create_engine("short")
    session = engine.open(WIDE)
    assert session.batch == 3
    assert engine.info.fit == "batch 3 of 6"
    engine.close()


class ShortIdentity(ShortOfMemory):
    """What `BACKENDS` can name."""

    def __init__(self, *, model):
        super().__init__(IdentityEngine(), most_pixels=3 * 1856 * 160, batch=6)


def test_closing_closes_the_engine():
    engine, inner = short(PLENTY)
    engine.close()
    assert inner.closed == 1
