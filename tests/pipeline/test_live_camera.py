"""One camera: what comes out whatever its source, its engine and its outlets do."""

import threading
from itertools import pairwise
from time import monotonic

import av
import numpy as np
import pytest
from live_chain import Collector, eventually, make_camera, running
from media_files import make

from engines.backends.identity import IdentityEngine
from engines.engine import EngineError
from pipeline.errors import ConfigError
from pipeline.live.access import CLOCK

SMALL = "test://?size=160x128&rate=30"
CHAOS = "chaos://?size=160x128&rate=30"


def times(outlet):
    return [unit.pts for unit in outlet.units if unit.medium == "video"]


class Breaks(IdentityEngine):
    """An engine whose sessions fail at their first picture, `times` times."""

    def __init__(self, times):
        super().__init__()
        self.left = times

    def open(self, picture_format, *, smoothing=None, batch=None):
        session = super().open(picture_format, smoothing=smoothing)
        if self.left:
            self.left -= 1
            session.submit = self._fail
        return session

    @staticmethod
    def _fail(*_, **__):
        raise EngineError("the device is gone")


class Gated(IdentityEngine):
    """An engine whose pictures wait for a gate."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def open(self, picture_format, *, smoothing=None, batch=None):
        session = super().open(picture_format, smoothing=smoothing)
        inner = session.submit

        def submit(*args, **kwargs):
            assert self.gate.wait(20)
            return inner(*args, **kwargs)

        session.submit = submit
        return session


def test_every_picture_of_a_source_comes_out_as_a_unit():
    with running(make_camera(f"{SMALL}&count=12")) as (outlet, chain):
        outlet.wait_for(lambda units: len(units) == 12)
        assert outlet.units[0].is_key
        assert (chain.track.width, chain.track.height) == (160, 128)
        assert len(outlet.pictures()) == 12


def test_it_ends_with_a_source_that_has_an_end():
    camera = make_camera(f"{SMALL}&count=3")
    outlet = Collector()
    camera.open(wait_s=10)
    camera.hub.add("list", outlet)
    camera.run()
    camera.hub.close()
    assert len(outlet.units) == 3
    assert outlet.closed


def test_units_follow_the_source_in_time():
    with running(make_camera(f"{SMALL}&count=20")) as (outlet, _):
        outlet.wait_for(lambda units: len(units) == 20)
    steps = [later - earlier for earlier, later in pairwise(times(outlet))]
    assert np.median(steps) * float(CLOCK) == pytest.approx(1 / 30, rel=0.05)


def test_absent_source_is_a_card_until_it_comes():
    camera = make_camera(f"{CHAOS}&absent=2", size=(160, 128))
    with running(camera, wait_s=0.2) as (outlet, chain):
        outlet.wait_for(lambda units: len(units) >= 3)
        assert camera.status().repeated >= 3
        assert camera.status().state in ("offline", "connecting")
        eventually(lambda: camera.status().state == "online")
        repeated = camera.status().repeated
        outlet.wait_for(lambda units: len(units) >= repeated + 20)
        assert (chain.track.width, chain.track.height) == (160, 128)
    assert all(later > earlier for earlier, later in pairwise(times(outlet)))


def test_source_that_ends_and_returns_goes_on_rising():
    camera = make_camera(f"{CHAOS}&end=0.7")
    with running(camera) as (outlet, _):
        eventually(lambda: camera.status().reconnects >= 2)
    assert all(later > earlier for earlier, later in pairwise(times(outlet)))
    assert camera.status().frames_out >= 40


def test_timestamps_that_jump_are_healed():
    camera = make_camera(f"{CHAOS}&jump=500@0.4")
    with running(camera) as (outlet, _):
        outlet.wait_for(lambda units: len(units) >= 45)
    assert all(later > earlier for earlier, later in pairwise(times(outlet)))
    assert (times(outlet)[-1] - times(outlet)[0]) * float(CLOCK) < 20


def test_size_that_changes_is_fitted_into_the_output():
    camera = make_camera(f"{CHAOS}&resize=96x96@0.5")
    with running(camera) as (outlet, _):
        outlet.wait_for(lambda units: len(units) >= 50)
    assert {(frame.width, frame.height) for frame in outlet.pictures()} == {(160, 128)}


def test_a_key_picture_comes_when_asked_for():
    camera = make_camera(SMALL)
    with running(camera) as (outlet, _):
        outlet.wait_for(lambda units: len(units) >= 5)
        before = len(outlet.units)
        camera.request_key()
        outlet.wait_for(lambda units: any(unit.is_key for unit in units[before:]))


def test_pictures_that_cannot_be_kept_up_with_are_dropped_and_the_delay_stays():
    engine = Gated()
    camera = make_camera(SMALL, engines={"nano": engine}, max_delay_s=0.1)
    with running(camera) as (outlet, _):
        outlet.wait_for(lambda units: len(units) >= 5)
        engine.gate.clear()
        eventually(lambda: camera.status().dropped >= 10)
        assert camera.status().queues["clean"] <= 2
        engine.gate.set()
        before = len(outlet.units)
        outlet.wait_for(lambda units: len(units) >= before + 10)
    status = camera.status()
    assert status.frames_in >= status.frames_out + status.dropped - status.repeated


def test_late_pictures_are_left_out_but_never_the_newest():
    camera = make_camera(SMALL, max_delay_s=0.0)
    with running(camera) as (outlet, _):
        outlet.wait_for(lambda units: len(units) >= 20)


def test_engine_that_fails_is_made_anew():
    camera = make_camera(SMALL, engines={"nano": Breaks(1)})
    with running(camera) as (outlet, _):
        outlet.wait_for(lambda units: len(units) >= 10)


def test_outlet_that_raises_harms_no_other():
    class Bad(Collector):
        def push(self, unit):
            raise OSError("disk full")

    camera = make_camera(SMALL)
    with running(camera) as (outlet, _):
        camera.hub.add("bad", Bad())
        outlet.wait_for(lambda units: len(units) >= 10)
        assert list(camera.hub.failed()) == ["bad"]


def test_bypass_shows_pictures_as_they_came():
    class Darkens(IdentityEngine):
        def open(self, picture_format, *, smoothing=None, batch=None):
            session = super().open(picture_format, smoothing=smoothing)
            inner = session.submit

            def submit(pictures, **kwargs):
                dark = [tuple(np.zeros_like(plane) for plane in planes) for planes in pictures]
                return inner(dark, **kwargs)

            session.submit = submit
            return session

    camera = make_camera(SMALL, engines={"nano": Darkens()})
    with running(camera) as (outlet, _):
        outlet.wait_for(lambda units: len(units) >= 5)
        camera.control.set("bypass", True)
        before = len(outlet.units)
        outlet.wait_for(lambda units: len(units) >= before + 10)
        assert camera.status().step == "bypass"
    pictures = [frame.to_ndarray(format="gray").mean() for frame in outlet.pictures()]
    assert pictures[2] < 20
    assert pictures[-1] > 60


def test_original_is_encoded_only_while_somebody_looks():
    camera = make_camera(SMALL)
    original = Collector()
    outlet = Collector()
    camera.open(wait_s=10)
    camera.hub.add("list", outlet)
    assert camera.open_original().width == 160
    camera.show_original(original.push)
    thread = threading.Thread(target=camera.run)
    thread.start()
    try:
        outlet.wait_for(lambda units: len(units) >= 5)
        assert not original.units
        camera.on_viewers(1)
        original.wait_for(lambda units: len(units) >= 5)
    finally:
        camera.stop()
        thread.join()
        camera.hub.close()
    assert {unit.pts for unit in original.units} <= set(times(outlet))


def test_stopping_takes_less_than_two_seconds():
    camera = make_camera(SMALL)
    with running(camera) as (outlet, _):
        outlet.wait_for(lambda units: len(units) >= 3)
        began_s = monotonic()
    assert monotonic() - began_s < 2


def test_wrong_parameter_of_a_source_is_an_error_at_once():
    camera = make_camera("test://?size=big")
    with pytest.raises(ConfigError, match="size"), running(camera):
        pass


def test_source_that_stays_away_is_not_said_again_and_again(caplog):
    caplog.set_level("INFO", logger="pipeline.live.camera")
    camera = make_camera("rtsp://127.0.0.1:9/none", size=(160, 128))
    with running(camera, wait_s=0.1) as (outlet, _):
        outlet.wait_for(lambda units: len(units) >= 12)  # seconds of cards
    events = [record.event for record in caplog.records if hasattr(record, "event")]
    assert events.count("source.offline") == events.count("source.connecting") == 1


def test_sound_of_pictures_that_are_left_out_is_kept(tmp_path):
    step = 15_360 // 30
    clip = make(tmp_path / "sound.mkv", size=(128, 96), audio="aac", pts=range(0, 75 * step, step))
    with av.open(str(clip)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.pts is not None]
    engine = Gated()
    camera = make_camera(str(clip), engines={"nano": engine}, max_delay_s=0.1)
    outlet = Collector()
    chain = camera.open(wait_s=10)
    camera.hub.add("list", outlet)
    thread = threading.Thread(target=camera.run)
    thread.start()
    try:
        outlet.wait_for(lambda units: sum(u.medium == "video" for u in units) >= 5)
        engine.gate.clear()
        eventually(lambda: camera.status().dropped >= 10)
        engine.gate.set()
        thread.join(20)
    finally:
        engine.gate.set()
        camera.stop()
        thread.join()
        camera.hub.close()
    assert chain.audio.codec == "aac"
    sounds = [unit for unit in outlet.units if unit.medium == "audio"]
    before_the_last_picture = [p for p in packets if p.pts * p.time_base <= 74 / 30]
    assert len(before_the_last_picture) - 3 <= len(sounds) <= len(packets)
