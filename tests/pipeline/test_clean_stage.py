"""The cleaning stage around a hand-written engine."""

from dataclasses import replace
from fractions import Fraction

import pytest
from fakes import SMALL, InjectedError, make_clip, make_frame

from engines.backends.identity import IdentityEngine
from engines.engine import EngineInfo, Flicker, Moment, PictureFormat, Smoothing, check_pictures
from pipeline.frame import ColourTags
from pipeline.stages import STAGES
from pipeline.stages.clean import clean

LARGE = PictureFormat("420", 8, 10, 8)
TEN_BIT = PictureFormat("444", 10, 6, 4)


class AddingRequest:
    """Adds a number to every sample, but only when it is asked for the result."""

    def __init__(self, session, pictures, amount):
        self._session = session
        self._pictures = pictures
        self._amount = amount

    def result(self):
        assert not self._session.closed, "the session was closed too early"
        assert self._session.in_flight.pop(0) is self, "results are taken in order"
        return [tuple(plane + self._amount for plane in planes) for planes in self._pictures]


class AddingSession:
    def __init__(self, engine, picture_format, smoothing):
        self.format = picture_format
        self.smoothing = smoothing
        self.moments = []
        self.batch = engine.batch
        self.depth = engine.depth
        self.in_flight = []
        self.closed = False
        self._engine = engine

    @property
    def flicker(self):
        return Flicker(len(self.moments), 2.0, 1.0) if self.smoothing else None

    def submit(self, pictures, *, strength=1.0, moments=()):
        self.moments += moments
        check_pictures(pictures, self.format, self.batch)
        self._engine.sizes.append(len(pictures))
        if len(self._engine.sizes) == self._engine.fails_at:
            raise InjectedError("out of memory")
        amount = self.format.dtype(round(10 * strength))
        self.in_flight.append(AddingRequest(self, pictures, amount))
        assert len(self.in_flight) <= self.depth, "more in flight than the session takes"
        return self.in_flight[-1]

    def close(self):
        self.closed = True


class AddingEngine:
    """Ten codes more at strength 1; keeps its sessions and the size of every request."""

    info = EngineInfo(backend="adding", model="-", device="-", precision="-", version="-")

    def __init__(self, *, batch=1, depth=1, fails_at=None):
        self.batch = batch
        self.depth = depth
        self.fails_at = fails_at
        self.sessions = []
        self.sizes = []

    def open(self, picture_format, *, smoothing=None, batch=None):
        self.sessions.append(AddingSession(self, picture_format, smoothing))
        return self.sessions[-1]

    def close(self):
        raise AssertionError("the engine belongs to the caller")


def codes(frames):
    return [int(frame.planes[0][0, 0]) for frame in frames]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 11])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_every_frame_comes_out_once_and_in_order(batch, depth, count):
    engine = AddingEngine(batch=batch, depth=depth)
    cleaned = list(clean(engine, strength=1.0)(iter(make_clip(count))))
    assert [frame.pts for frame in cleaned] == list(range(count))
    assert codes(cleaned) == [10 + pts for pts in range(count)]
    assert engine.sizes == [batch] * (count // batch) + [count % batch] * (count % batch > 0)
    assert all(session.closed for session in engine.sessions)


def test_only_the_planes_change():
    frame = make_frame(
        7,
        time_base=Fraction(1, 90000),
        duration=3003,
        colour=ColourTags(space=1, range=2),
        discontinuity=True,
    )
    (cleaned,) = clean(AddingEngine(), strength=1.0)(iter([frame]))
    for name in frame.__dataclass_fields__:
        if name != "planes":
            assert getattr(cleaned, name) == getattr(frame, name), name
    assert codes([frame, cleaned]) == [7, 17]


def test_strength_reaches_the_engine():
    assert codes(clean(AddingEngine(), strength=0.3)(iter(make_clip(2)))) == [3, 4]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_one_frame_fewer_than_the_depth_is_held_back(depth):
    taken = []

    def watched():
        for frame in make_clip(6):
            taken.append(frame)
            yield frame

    stage = clean(AddingEngine(depth=depth), strength=1.0)(watched())
    assert next(stage).pts == 0
    assert len(taken) == depth
    stage.close()


@pytest.mark.parametrize("batch", [1, 2])
def test_a_change_of_format_opens_a_session_and_loses_nothing(batch):
    formats = [SMALL, SMALL, SMALL, LARGE, TEN_BIT, TEN_BIT, SMALL]
    clip = [make_frame(pts, picture_format=f) for pts, f in enumerate(formats)]
    engine = AddingEngine(batch=batch, depth=2)
    cleaned = list(clean(engine, strength=1.0)(iter(clip)))
    assert codes(cleaned) == [10 + pts for pts in range(7)]
    assert [frame.format for frame in cleaned] == formats
    assert [session.format for session in engine.sessions] == [SMALL, LARGE, TEN_BIT, SMALL]
    assert all(session.closed for session in engine.sessions)


def test_before_is_kept_when_asked_for():
    clip = make_clip(3)
    cleaned = list(clean(AddingEngine(), strength=1.0, keep_before=True)(iter(clip)))
    assert all(c.before is f.planes for c, f in zip(cleaned, clip, strict=True))


def test_before_is_not_kept_otherwise():
    assert [f.before for f in clean(AddingEngine(), strength=1.0)(iter(make_clip(2)))] == [(), ()]


def test_an_engine_that_fails_ends_the_stage_and_its_session():
    engine = AddingEngine(depth=2, fails_at=3)
    with pytest.raises(InjectedError, match="out of memory"):
        list(clean(engine, strength=1.0)(iter(make_clip(5))))
    assert all(session.closed for session in engine.sessions)


def test_leaving_early_closes_the_session():
    engine = AddingEngine(depth=3)
    stage = clean(engine, strength=1.0)(iter(make_clip(9)))
    next(stage)
    stage.close()
    assert [session.closed for session in engine.sessions] == [True]


def test_identity_hands_on_the_very_planes():
    clip = make_clip(3)
    cleaned = clean(IdentityEngine(), strength=1.0)(iter(clip))
    assert all(c.planes is f.planes for c, f in zip(cleaned, clip, strict=True))


def test_the_stage_is_registered():
    assert STAGES["clean"] == f"{clean.__module__}:{clean.__name__}"


def test_smoothing_knows_when_each_frame_is_shown_and_where_a_gap_is():
    engine = AddingEngine(batch=2)
    clip = [
        replace(frame, pts=10 * number, time_base=Fraction(1, 100), discontinuity=number in (0, 2))
        for number, frame in enumerate(make_clip(3))
    ]
    smoothing = Smoothing(0.2, 0.3)
    list(clean(engine, strength=1.0, smoothing=smoothing)(iter(clip)))
    (session,) = engine.sessions
    assert session.smoothing == smoothing
    assert session.moments == [
        Moment(0.0, reset=True),
        Moment(0.1, reset=False),
        Moment(0.2, reset=True),
    ]


def test_the_flicker_of_every_session_is_handed_over():
    flickers = []
    clip = [*make_clip(2), make_frame(9, picture_format=LARGE)]
    stage = clean(AddingEngine(), strength=1.0, smoothing=Smoothing(0.2, 0.3), flickers=flickers)
    list(stage(iter(clip)))
    assert [flicker.frames for flicker in flickers] == [2, 1]
