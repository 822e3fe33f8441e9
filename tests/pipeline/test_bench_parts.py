"""The parts of `demoire bench`, in this process: the clip, clocks, sessions, processes."""

import threading
from itertools import islice, pairwise
from types import SimpleNamespace

import av
import numpy as np
import pytest
from fakes import ListSink
from media_files import make

from engines.backends.identity import IdentityEngine
from engines.engine import DeviceTimes, PictureFormat
from pipeline.bench import children
from pipeline.bench.children import PartError, StoppedError, run_child
from pipeline.bench.clip import Recipe, make_clip, repeat_clip, scratch
from pipeline.bench.computing import (
    difference,
    in_flight,
    infer_sample,
    one_at_a_time,
    smoothed,
    transfer_sample,
)
from pipeline.bench.held import keep, load, places, there_and_back
from pipeline.bench.meter import Meter, timed
from pipeline.bench.plan import parse_stages
from pipeline.bench.task import Task
from pipeline.bench.whole import MeteredSink
from pipeline.config import Config
from pipeline.errors import ConfigError, EngineError, SinkError, SourceError
from pipeline.sources.file import FileSource

RECIPE = Recipe(width=96, height=96, pictures=4)
FORMAT = PictureFormat("420", 8, 96, 96)
LETTERS = "ABCDEF"


def pictures(count):
    rng = np.random.default_rng(3)
    shapes = FORMAT.plane_shapes
    return [tuple(rng.integers(0, 255, s, np.uint8) for s in shapes) for _ in range(count)]


def task(tmp_path, **changes):
    fields = {"part": "decode", "clip": tmp_path / "x.mp4", "folder": tmp_path, "config": Config()}
    return Task(**(fields | {"frames": 5, "warmup": 2} | changes))


def nothing(done, of):
    pass


# The clip


def test_same_recipe_makes_the_same_bytes(tmp_path):
    clips = [make_clip(RECIPE, tmp_path / name, nothing).read_bytes() for name in "ab"]
    assert clips[0] == clips[1]
    other = make_clip(Recipe(width=96, height=96, pictures=4, seed=8), tmp_path, nothing)
    assert other.read_bytes() != clips[0]


def test_clip_is_made_once_and_tells_how_far_it_is(tmp_path):
    steps = []
    path = make_clip(RECIPE, tmp_path, lambda *step: steps.append(step))
    assert steps == [(number, RECIPE.frames) for number in range(1, RECIPE.frames + 1)]
    assert make_clip(RECIPE, tmp_path, lambda *step: pytest.fail("made again")) == path
    assert list(tmp_path.iterdir()) == [path]


def test_clip_that_is_ended_early_leaves_nothing(tmp_path):
    def stop(done, of):
        raise StoppedError

    with pytest.raises(StoppedError):
        make_clip(RECIPE, tmp_path, stop)
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_made_names_the_way_out(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="XDG_CACHE_HOME"), scratch(tmp_path / "file" / "bench"):
        pass


def test_repeated_clip_decodes_to_the_same_pictures_again_and_has_no_gap(tmp_path):
    once = make_clip(RECIPE, tmp_path, nothing)
    thrice = tmp_path / "thrice.mp4"
    repeat_clip(once, thrice, times=3)
    with av.open(str(once)) as container:
        wanted = [frame.to_ndarray() for frame in container.decode(video=0)]
    source = FileSource(thrice)
    frames = list(source.frames())
    source.close()
    assert len(frames) == 3 * len(wanted) == 3 * RECIPE.frames
    assert {b.pts - a.pts for a, b in pairwise(frames)} == {frames[1].pts - frames[0].pts}
    assert [frame.discontinuity for frame in frames].count(True) == 1
    for frame, picture in zip(frames, wanted * 3, strict=True):
        assert np.array_equal(frame.planes[0], picture[: RECIPE.height])


# Kept pictures


@pytest.mark.parametrize(
    ("length", "shown"), [(1, "AAAAAAA"), (2, "ABABABA"), (3, "ABCBABC"), (6, "ABCDEFE")]
)
def test_pictures_are_played_there_and_back_without_a_jump(length, shown):
    assert "".join(LETTERS[place] for place in islice(places(length), 7)) == shown
    assert list(there_and_back(length, 3)) == list(islice(places(length), 3))


def test_kept_pictures_come_back_as_they_were(tmp_path):
    wanted = pictures(3)
    keep(tmp_path, "cleaned", wanted)
    found = load(tmp_path, "cleaned")
    assert len(found) == 3
    for one, other in zip(found, wanted, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert load(tmp_path, "shown") == []


# Clocks


def test_frames_before_the_window_do_not_count():
    meter = Meter(warmup=2, frames=3)
    for lap in range(1, 8):
        meter.lap()
        assert (meter.running, meter.done) == (lap > 2, lap >= 5)
    assert meter.sample().frames == 3


def test_frames_that_run_out_are_an_error_that_names_the_options():
    with pytest.raises(ConfigError, match=r"has 4 frames.*smaller --frames or --warmup"):
        timed(iter(range(4)), warmup=2, frames=3).sample()


def test_steps_end_with_the_window_and_are_closed():
    taken = []

    def steps():
        try:
            for number in range(100):
                taken.append(number)
                yield
        finally:
            taken.append("closed")

    found = timed(steps(), warmup=1, frames=2).sample()
    assert taken == [0, 1, 2, "closed"]
    assert found.fps > 0
    assert found.cpu_s >= 0


def test_metered_sink_ends_the_run_with_the_window():
    sink, stop = ListSink(), threading.Event()
    metered = MeteredSink(sink, Meter(warmup=1, frames=2), stop)
    states = []
    for number in range(4):
        metered.write(SimpleNamespace(left_source_s=float(number)))
        states.append(stop.is_set())
    assert states == [False, False, True, True]
    assert len(sink.frames) == 4
    assert len(metered.latencies_s) == 2


# Sessions


class CountingSession:
    """Says how many requests were on their way at most."""

    def __init__(self, *, batch=1, depth=1):
        self._inner = IdentityEngine(batch=batch).open(FORMAT)
        self.format, self.batch, self.depth = FORMAT, batch, depth
        self.flying, self.most, self.sizes = 0, 0, []

    def submit(self, given, *, strength=1.0, moments=()):
        self.flying += 1
        self.most = max(self.most, self.flying)
        self.sizes.append(len(given))
        request = self._inner.submit(given, strength=strength, moments=moments)
        return CountedRequest(self, request)


class CountedRequest:
    def __init__(self, session, request):
        self._session, self._request = session, request

    def result(self):
        self._session.flying -= 1
        return self._request.result()


class DeviceSession(CountingSession):
    def device_times(self, *, repeats):
        assert repeats == 5
        return DeviceTimes(copy_in_ms=(2.0,) * 5, infer_ms=(4.0,) * 5, copy_out_ms=(3.0,) * 5)


@pytest.mark.parametrize(("batch", "depth"), [(1, 1), (1, 3), (4, 2)])
def test_as_many_requests_are_in_flight_as_the_session_takes(batch, depth):
    session = CountingSession(batch=batch, depth=depth)
    steps = in_flight(session, pictures(3))
    assert len(list(islice(steps, 20))) == 20
    steps.close()
    assert (session.most, session.flying) == (depth, 0)
    assert set(session.sizes) == {batch}


def test_one_at_a_time_waits_for_each():
    session = CountingSession(depth=3)
    list(islice(one_at_a_time(session, pictures(3)), 6))
    assert (session.most, session.flying, len(session.sizes)) == (1, 0, 6)


def test_transfer_and_inference_of_a_device_are_told_by_its_own_clock(tmp_path):
    session = DeviceSession(depth=2)
    transfer = transfer_sample(session, repeats=5)
    assert (transfer.fps, transfer.frame_ms.p99, transfer.cpu_s) == (200, 5, None)
    assert (transfer.copy_in_ms.p50, transfer.copy_out_ms.p50) == (2, 3)
    infer = infer_sample(session, pictures(3), task=task(tmp_path))
    assert (infer.fps, infer.frame_ms.p50) == (250, 4)
    assert infer.overlapped_fps > 0


def test_inference_in_the_host_s_memory_is_told_by_the_host_s_clock(tmp_path):
    found = infer_sample(CountingSession(depth=2), pictures(3), task=task(tmp_path))
    assert found.overlapped_fps is None
    assert found.fps > 0


def test_smoothing_alone_gives_a_step_for_each_picture():
    smoothing = Config().smooth.chosen(cleaned=True)
    steps = smoothed(pictures(3), FORMAT, smoothing)
    assert len(list(islice(steps, 7))) == 7
    steps.close()


def test_difference_of_smoothing_takes_both_sessions_in_turn(tmp_path):
    smoothing = Config().smooth.chosen(cleaned=True)
    engine = IdentityEngine()
    plain, smooth = engine.open(FORMAT), engine.open(FORMAT, smoothing=smoothing)
    # One picture, again and again: others would be cuts.
    found = difference(plain, smooth, pictures(1), task=task(tmp_path))
    assert found.frames == 5
    assert smooth.flicker.frames == 6  # Each but the first, those that warm up too.
    assert (found.fps is None) == (found.frame_ms.mean <= 0)


# Which parts, and the processes that measure them


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("decode", ("decode",)),
        ("encode, decode", ("decode", "encode")),
        ("whole", ("whole_null", "whole_encoded")),
        ("all", ("decode", "transfer", "infer", "smooth", "encode", "whole_null", "whole_encoded")),
    ],
)
def test_stages_are_measured_in_their_order(text, parts):
    assert parse_stages(text) == parts


@pytest.mark.parametrize("text", ["", "decode,", "decode,all", "whole_null", "Decode"])
def test_unknown_stages_are_named_with_those_that_there_are(text):
    with pytest.raises(ConfigError, match="decode,transfer,infer,smooth,encode,whole, got"):
        parse_stages(text)


def test_error_of_a_child_is_raised_in_its_own_class(tmp_path):
    with pytest.raises(SourceError, match=r"x\.mp4"):
        run_child(task(tmp_path, part="prepare", parts=("decode",)), threading.Event())


def test_engine_error_of_a_child_is_raised_too(tmp_path):
    clip = make(tmp_path / "x.mp4")
    config = Config.model_validate({"engine": {"name": "none"}})
    with pytest.raises(EngineError, match="'none': not one of"):
        run_child(
            task(tmp_path, part="prepare", parts=("infer",), clip=clip, config=config),
            threading.Event(),
        )


def test_child_that_ends_without_an_answer_is_told_by_its_last_words(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "MODULE", "pipeline.no_such_module")
    with pytest.raises(PartError, match=r"decode: .*code 1.*no_such_module"):
        run_child(task(tmp_path), threading.Event())


def test_no_child_outlives_a_stop(tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        run_child(task(tmp_path), stop)
