"""An engine on each of several devices."""

from collections import deque

import numpy as np
import pytest

from engines.backends import create_engine
from engines.backends.identity import IdentityEngine
from engines.engine import BACKENDS, EngineInfo, Moment, PictureFormat, Smoothing
from engines.errors import EngineError
from engines.several import Device, RoundRobinSession, SeveralEngine, joined_info

FORM = PictureFormat("420", 8, 96, 64)


def picture(seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 256, shape, dtype=np.uint8) for shape in FORM.plane_shapes)


class MarkingSession:
    """Returns its input, late, and keeps what it was asked; at most `depth` in flight."""

    def __init__(self, name, log, *, batch=1, depth=1, fails_at=None):
        self.format, self.batch, self.depth, self.flicker = FORM, batch, depth, None
        self.closed = 0
        self.in_flight = deque()
        self._name, self._log, self._fails_at = name, log, fails_at

    def submit(self, pictures, *, strength=1.0, moments=()):
        assert len(self.in_flight) < self.depth, f"{self._name}: more in flight than it takes"
        if self._fails_at == "submit":
            raise EngineError("is on fire")
        self._log.append((self._name, strength))
        request = MarkingRequest(self, pictures, fails=self._fails_at == "result")
        self.in_flight.append(request)
        return request

    def close(self):
        self.closed += 1


class MarkingRequest:
    def __init__(self, session, pictures, *, fails):
        self._session, self._pictures, self._fails = session, pictures, fails

    def result(self):
        assert self._session.in_flight.popleft() is self
        if self._fails:
            raise EngineError("is on fire")
        return list(self._pictures)


def in_order(session, pictures):
    """Results, with as many requests in flight as the session takes."""
    waiting, found = deque(), []
    for planes in pictures:
        if len(waiting) == session.depth:
            found += waiting.popleft().result()
        waiting.append(session.submit([planes]))
    while waiting:
        found += waiting.popleft().result()
    return found


@pytest.mark.parametrize(
    ("depths", "order"),
    [((1, 1), "abab"), ((2, 2), "abab"), ((2, 1), "abaaba"), ((3, 1, 1), "abcaaabcaa")],
)
def test_frames_go_round_and_stay_in_order(depths, order):
    log = []
    sessions = [
        (name, MarkingSession(name, log, depth=depth))
        for name, depth in zip("abc", depths, strict=False)
    ]
    together = RoundRobinSession(sessions)
    assert together.depth == sum(depths)
    pictures = [picture(seed) for seed in range(23)]
    found = in_order(together, pictures)
    assert [id(one) for one in found] == [id(one) for one in pictures]
    assert "".join(name for name, _ in log).startswith(order)
    together.close()
    assert [session.closed for _, session in sessions] == [1] * len(depths)


def test_a_request_is_no_larger_than_the_smallest_device_takes():
    log = []
    sessions = [("a", MarkingSession("a", log, batch=4)), ("b", MarkingSession("b", log, batch=2))]
    together = RoundRobinSession(sessions)
    assert together.batch == 2
    with pytest.raises(EngineError, match="takes 1 to 2 pictures, got 3"):
        together.submit([picture()] * 3)
    assert len(together.submit([picture()] * 2, strength=0.5).result()) == 2
    assert log == [("a", 0.5)]


@pytest.mark.parametrize("where", ["submit", "result"])
def test_a_device_that_fails_names_itself(where):
    sessions = [
        ("0", MarkingSession("0", [])),
        ("cuda:1", MarkingSession("cuda:1", [], fails_at=where)),
    ]
    together = RoundRobinSession(sessions)
    together.submit([picture()]).result()
    with pytest.raises(EngineError, match=r"^device cuda:1: is on fire$"):
        together.submit([picture()]).result()


class OpensOnce(IdentityEngine):
    def __init__(self):
        super().__init__()
        self.sessions = []

    def open(self, picture_format, *, smoothing=None, batch=None):
        self.sessions.append(MarkingSession("x", []))
        return self.sessions[-1]


class Refuses(IdentityEngine):
    closed = False

    def open(self, picture_format, *, smoothing=None, batch=None):
        raise EngineError("no room")

    def close(self):
        self.closed = True


def test_a_device_that_does_not_open_names_itself_and_the_others_are_closed():
    first, second = OpensOnce(), Refuses()
    engine = SeveralEngine([Device("0", first), Device("1", second)])
    with pytest.raises(EngineError, match=r"^device 1: no room$"):
        engine.open(FORM)
    assert [session.closed for session in first.sessions] == [1]
    engine.close()
    assert second.closed


def test_smoothing_is_that_of_one_device():
    smoothing = Smoothing(0.15, 0.25)
    rng = np.random.default_rng(0)
    clip = [
        tuple((100 + rng.normal(0, 3, shape)).astype(np.uint8) for shape in FORM.plane_shapes)
        for _ in range(6)
    ]
    moments = [Moment(n / 30, reset=n == 0) for n in range(6)]
    several = SeveralEngine([Device("0", IdentityEngine()), Device("1", IdentityEngine())])
    shown = []
    for engine in (several, IdentityEngine()):
        session = engine.open(FORM, smoothing=smoothing)
        requests = deque()
        found = []
        for planes, moment in zip(clip, moments, strict=True):
            if len(requests) == session.depth:
                found += requests.popleft().result()
            requests.append(session.submit([planes], moments=[moment]))
        found += [one for request in requests for one in request.result()]
        shown.append((found, session.flicker))
        session.close()
    (one, flicker), (other, expected) = shown
    for planes, wanted in zip(one, other, strict=True):
        for plane, same in zip(planes, wanted, strict=True):
            np.testing.assert_array_equal(plane, same)
    assert flicker == expected


def test_info_lists_every_device_and_says_the_rest_once():
    def info(device, **changes):
        given = {"precision": "f16", "version": "9"} | changes
        return EngineInfo(backend="torch", model="nano", device=device, **given)

    same = joined_info([info("cuda:0: A"), info("cuda:1: B")])
    assert (same.device, same.precision, same.fit) == ("cuda:0: A, cuda:1: B", "f16", "whole")
    other = joined_info([info("cuda:0: A"), info("cuda:1: B", fit="batch 1 of 4")])
    assert other.fit == "whole, batch 1 of 4"


@pytest.mark.usefixtures("train_extra")
def test_two_devices_compute_what_one_does(small_model):
    options = {"model": str(small_model)}
    one = create_engine("torch", device="cpu", **options)
    two = create_engine("torch", device="cpu, cpu", **options)
    assert two.info.device == f"{one.info.device}, {one.info.device}"
    session, pair = one.open(FORM), two.open(FORM)
    assert pair.depth == 2 * session.depth
    pictures = [picture(seed) for seed in range(5)]
    for planes, wanted in zip(in_order(pair, pictures), in_order(session, pictures), strict=True):
        for plane, same in zip(planes, wanted, strict=True):
            np.testing.assert_array_equal(plane, same)
    for closing in (session, pair, one, two):
        closing.close()


class OnDevice(IdentityEngine):
    """A back end with one device, `good`."""

    closed: int = 0

    def __init__(self, *, model, device):
        super().__init__()
        if device != "good":
            raise EngineError(f"no device {device}")

    def close(self):
        OnDevice.closed += 1


def test_the_first_device_is_closed_where_the_second_does_not_open(monkeypatch):
    monkeypatch.setitem(BACKENDS, "placed", "test_several:OnDevice")
    import test_several  # what BACKENDS names; this very file is another module to pytest

    monkeypatch.setattr(test_several.OnDevice, "closed", 0)
    with pytest.raises(EngineError, match=r"^device bad: no device bad$"):
        create_engine("placed", device="good,bad")
    assert test_several.OnDevice.closed == 1
    create_engine("placed", device="good").close()


@pytest.mark.parametrize("device", ["", "0,", ",1"])
def test_a_device_without_a_name_is_refused(device):
    with pytest.raises(EngineError, match=r"engine.device='.*': must be a device, or several"):
        create_engine("identity", device=device)


def test_a_device_given_twice_is_refused():
    with pytest.raises(EngineError, match=r"given twice, as engine.device=0 and as .*=1; leave"):
        create_engine("torch", device="0", options={"device": 1})


def test_a_back_end_without_devices_says_so():
    with pytest.raises(EngineError, match=r"device 1: engine.options of identity: device: "):
        create_engine("identity", device="1")
