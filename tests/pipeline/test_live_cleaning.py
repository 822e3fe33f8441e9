"""Sessions of one camera: which are ready, which is used, and that none is left open."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from fakes import make_frame

from engines.backends.identity import IdentityEngine
from engines.engine import EngineError, PictureFormat, Smoothing
from pipeline.live.cleaning import Cleaning, steps_of

STEPS = steps_of(["base", "nano"])
BY_NAME = {step.name: step for step in STEPS}
SMOOTHING = Smoothing(0.2, 0.3)
SMALL = PictureFormat("420", 8, 32, 16)


class Counting:
    """An engine that knows its open sessions; those of `refused` formats do not open."""

    def __init__(self, name="", *, gate=None, refuses=lambda picture_format, smoothing: False):
        self.name, self.gate, self.refuses = name, gate, refuses
        self.open_sessions = []
        self.log = []

    def open(self, picture_format, *, smoothing=None, batch=None):
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.refuses(picture_format, smoothing):
            raise EngineError(f"{self.name}: no memory")
        session = Session(self, picture_format, smoothing)
        self.open_sessions.append(session)
        return session


class Session:
    batch, depth = 1, 1

    def __init__(self, engine, picture_format, smoothing):
        self.engine, self.format, self.smoothing = engine, picture_format, smoothing
        self.inner = IdentityEngine().open(picture_format)

    def submit(self, pictures, *, strength=1.0, moments=()):
        self.engine.log.append((self.format, self.smoothing, strength, [m.reset for m in moments]))
        return self.inner.submit(pictures)

    def close(self):
        self.engine.open_sessions.remove(self)


@pytest.fixture
def engines():
    return {"base": Counting("base"), "nano": Counting("nano")}


@pytest.fixture
def cleaning(engines):
    one = Cleaning(engines, STEPS)
    yield one
    one.close()
    assert [engine.open_sessions for engine in engines.values()] == [[], []]


def frame(picture_format=SMALL, **values):
    one = make_frame(picture_format=picture_format)
    return replace(one, **values)


def used(cleaning, name, one=None, *, smoothing=SMOOTHING, strength=1.0):
    _, step = cleaning.clean(one or frame(), BY_NAME[name], strength=strength, smoothing=smoothing)
    return step.name


def all_ready(cleaning, smoothing=SMOOTHING):
    return all(cleaning.wait_ready(step, smoothing, 10) for step in STEPS[:-1])


def test_steps_go_from_everything_to_nothing():
    assert [step.name for step in STEPS] == ["full", "nano", "unsmoothed", "half", "pass-through"]
    assert [step.name for step in steps_of(["nano"])] == [
        "full", "unsmoothed", "half", "pass-through",
    ]  # fmt: skip


def test_every_step_is_opened_for_the_frames_that_come(cleaning, engines):
    cleaning.prepare(SMALL, SMOOTHING)
    assert all_ready(cleaning)
    assert used(cleaning, "full") == "full"
    assert engines["base"].log == [(SMALL, SMOOTHING, 1.0, [True])]


def test_until_a_step_is_ready_the_next_below_is_taken():
    gate = threading.Event()
    engines = {"base": Counting("base", gate=gate), "nano": Counting("nano", gate=gate)}
    one = Cleaning(engines, STEPS)
    one.prepare(SMALL, SMOOTHING)
    assert used(one, "full") == "pass-through"
    gate.set()
    assert all_ready(one)
    assert used(one, "full") == "full"
    one.close()


def test_a_step_that_does_not_open_is_left_out_and_said(engines):
    said = []
    engines["base"].refuses = lambda picture_format, smoothing: True
    one = Cleaning(engines, STEPS, on_error=said.append)
    one.prepare(SMALL, SMOOTHING)
    assert one.wait_ready(BY_NAME["half"], SMOOTHING, 10)
    assert not one.wait_ready(BY_NAME["full"], SMOOTHING, 10)
    assert used(one, "full") == "nano"
    assert said == ["full: base: no memory"]
    one.close()


def test_half_is_a_network_for_half_the_size(cleaning, engines):
    cleaning.prepare(SMALL, SMOOTHING)
    assert all_ready(cleaning)
    assert used(cleaning, "half") == "half"
    assert engines["nano"].log[-1][0] == PictureFormat("420", 8, 16, 8)


def test_strength_counts_at_once(cleaning, engines):
    cleaning.prepare(SMALL, SMOOTHING)
    assert all_ready(cleaning)
    used(cleaning, "full", strength=0.25)
    assert engines["base"].log[-1][2] == 0.25


def test_smoothing_begins_anew_after_a_gap_and_after_another_step(cleaning, engines):
    cleaning.prepare(SMALL, SMOOTHING)
    assert all_ready(cleaning)
    for name, one in [
        ("full", frame()),
        ("full", frame(discontinuity=False)),
        ("full", frame(discontinuity=True)),
        ("full", frame(discontinuity=False)),
        ("pass-through", frame(discontinuity=False)),
        ("full", frame(discontinuity=False)),
    ]:
        used(cleaning, name, one)
    resets = [reset for *_, (reset,) in engines["base"].log]
    assert resets == [True, False, True, False, True]


def test_other_smoothing_opens_other_sessions_and_closes_the_old(cleaning, engines):
    cleaning.prepare(SMALL, SMOOTHING)
    assert all_ready(cleaning)
    other = Smoothing(0.5, 0.8)
    cleaning.prepare(SMALL, other)
    assert all_ready(cleaning, other)
    assert used(cleaning, "full", smoothing=other) == "full"
    assert {session.smoothing for session in engines["base"].open_sessions} == {other}


def test_another_size_opens_other_sessions_and_closes_the_old(cleaning, engines):
    cleaning.prepare(SMALL, SMOOTHING)
    assert all_ready(cleaning)
    large = PictureFormat("422", 8, 64, 48)
    assert used(cleaning, "full", frame(large)) in {"full", "pass-through", "nano", "unsmoothed"}
    assert all_ready(cleaning)
    assert used(cleaning, "full", frame(large)) == "full"
    assert {session.format for session in engines["base"].open_sessions} == {large}


def test_the_picture_before_goes_along(cleaning):
    cleaning.prepare(SMALL, SMOOTHING)
    assert all_ready(cleaning)
    one = frame()
    done, _ = cleaning.clean(one, BY_NAME["full"], strength=1.0, smoothing=SMOOTHING)
    assert done.before is one.planes
    np.testing.assert_array_equal(done.planes[0], one.planes[0])
