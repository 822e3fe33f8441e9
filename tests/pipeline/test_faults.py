"""The failure table: a run always ends, with one error and no half-finished output."""

import random
import signal
import threading
from threading import Event

import pytest
from fakes import (
    STAGES,
    InjectedError,
    ListSink,
    ListSource,
    acting,
    delayed,
    doubled,
    in_pairs,
    interrupt,
    make_clip,
    throw,
    unchanged,
)

from pipeline.runner import Pipeline

COUNT = 8


def run(source, stages, sink, *, stop=None, on_frame=None, **options):
    pipeline = Pipeline(source=source, stages=stages, sink=sink, **options)
    return pipeline.run(stop or Event(), on_frame=on_frame)


def assert_failed_cleanly(source, sink):
    assert not sink.finished
    assert sink.aborted == 1
    assert source.closed == 1


def note_of(error):
    return getattr(error, "__notes__", [])[:1]


@pytest.mark.parametrize("capacity", [1, 3])
@pytest.mark.parametrize("moment", [0, 1, COUNT - 1, "end"])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_error_of_a_stage_is_raised_with_its_name(position, moment, capacity):
    fault = InjectedError("stage broke")
    stages = [("a", in_pairs), ("b", delayed)]
    stages.insert(position, ("broken", acting({moment: throw(fault)})))
    source, sink = ListSource(make_clip(COUNT)), ListSink()
    with pytest.raises(InjectedError, match="stage broke") as raised:
        run(source, stages, sink, capacity=capacity)
    assert raised.value is fault
    assert note_of(fault) == ["raised in pipeline stage 'broken'"]
    assert_failed_cleanly(source, sink)


@pytest.mark.parametrize("position", [0, 1])
def test_error_before_a_stage_has_a_generator_is_raised_with_its_name(position):
    def refuses(frames):
        raise InjectedError("cannot start")

    stages = [("a", unchanged)]
    stages.insert(position, ("broken", refuses))
    source, sink = ListSource(make_clip(COUNT)), ListSink()
    with pytest.raises(InjectedError, match="cannot start") as raised:
        run(source, stages, sink)
    assert note_of(raised.value) == ["raised in pipeline stage 'broken'"]
    assert_failed_cleanly(source, sink)


@pytest.mark.parametrize("moment", [0, 1, COUNT - 1, COUNT])
def test_error_of_the_source_is_never_the_end_of_the_file(moment):
    source = ListSource(make_clip(COUNT), at={moment: throw(InjectedError("bad packet"))})
    sink = ListSink()
    with pytest.raises(InjectedError, match="bad packet") as raised:
        run(source, [("a", in_pairs)], sink)
    assert note_of(raised.value) == ["raised in pipeline stage 'source'"]
    assert_failed_cleanly(source, sink)


@pytest.mark.parametrize("moment", [0, 1, COUNT - 1])
def test_error_of_the_sink_ends_everything(moment):
    source = ListSource(make_clip(COUNT))
    sink = ListSink(at={moment: throw(InjectedError("disk full"))})
    with pytest.raises(InjectedError, match="disk full") as raised:
        run(source, [("a", doubled), ("b", in_pairs)], sink, capacity=1)
    assert note_of(raised.value) == ["raised in pipeline stage 'sink'"]
    assert_failed_cleanly(source, sink)


def test_error_in_finishing_aborts_the_sink():
    source, sink = (
        ListSource(make_clip(2)),
        ListSink(finish_error=InjectedError("no space to rename")),
    )
    with pytest.raises(InjectedError, match="no space to rename") as raised:
        run(source, [], sink)
    assert note_of(raised.value) == ["raised in pipeline stage 'sink'"]
    assert_failed_cleanly(source, sink)


def test_error_in_aborting_is_logged_and_the_first_one_raised(caplog):
    source = ListSource(make_clip(2), close_error=InjectedError("close failed"))
    sink = ListSink(
        at={1: throw(InjectedError("disk full"))}, abort_error=InjectedError("abort failed")
    )
    with pytest.raises(InjectedError, match="disk full"):
        run(source, [], sink)
    assert [record.getMessage() for record in caplog.records] == [
        "later error in pipeline stage 'sink'",
        "later error in pipeline stage 'source'",
    ]
    assert_failed_cleanly(source, sink)


def test_error_in_closing_the_source_is_not_silent():
    source, sink = ListSource(make_clip(2), close_error=InjectedError("close failed")), ListSink()
    with pytest.raises(InjectedError, match="close failed") as raised:
        run(source, [], sink)
    assert note_of(raised.value) == ["raised in pipeline stage 'source'"]
    assert sink.finished


def test_error_after_the_last_frame_was_written_leaves_the_output_unfinished():
    written = Event()

    def fails_last(frames):
        yield from frames
        written.wait()
        raise InjectedError("too late")

    source, sink = ListSource(make_clip(1)), ListSink()
    with pytest.raises(InjectedError, match="too late"):
        run(source, [("a", fails_last)], sink, on_frame=lambda _: written.set())
    assert len(sink.frames) == 1
    assert_failed_cleanly(source, sink)


def test_error_of_a_source_nobody_listens_to_any_more_leaves_the_output_unfinished():
    left = Event()

    class Failing(ListSource):
        def frames(self):
            try:
                yield from super().frames()
            finally:
                left.wait()
                raise InjectedError("lost the camera")

    def leaves(frames):
        yield next(frames)
        left.set()

    source, sink = Failing(make_clip(COUNT)), ListSink()
    with pytest.raises(InjectedError, match="lost the camera"):
        run(source, [("leaver", leaves)], sink)
    assert_failed_cleanly(source, sink)


def test_error_in_the_progress_callback_ends_the_run():
    source, sink = ListSource(make_clip(COUNT)), ListSink()

    def broken(progress):
        raise InjectedError("terminal is gone")

    with pytest.raises(InjectedError, match="terminal is gone"):
        run(source, [("a", unchanged)], sink, on_frame=broken)
    assert_failed_cleanly(source, sink)


def test_stages_clean_up_when_another_one_fails():
    cleaned = []

    def careful(frames):
        try:
            yield from frames
        finally:
            cleaned.append("careful")

    stages = [("careful", careful), ("broken", acting({3: throw(InjectedError("x"))}))]
    source, sink = ListSource(make_clip(COUNT)), ListSink()
    with pytest.raises(InjectedError, match="x"):
        run(source, stages, sink)
    assert cleaned == ["careful"]
    assert source.left == 1


@pytest.mark.parametrize("moment", [0, COUNT - 1])
def test_first_interrupt_finishes_a_valid_output(moment):
    stop = Event()
    previous = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        source, sink = ListSource(make_clip(100)), ListSink(at={moment: interrupt})
        report = run(source, [("a", delayed)], sink, stop=stop, capacity=1)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert report.stopped_early
    assert sink.finished
    assert sink.frames == source.given[: len(sink.frames)]
    assert moment < len(sink.frames) < 100
    assert (sink.aborted, source.closed) == (0, 1)


@pytest.mark.parametrize("moment", [0, 1, COUNT - 1])
def test_interrupt_in_the_sink_aborts(moment):
    source, sink = ListSource(make_clip(COUNT)), ListSink(at={moment: interrupt})
    with pytest.raises(KeyboardInterrupt):
        run(source, [("a", in_pairs)], sink)
    assert_failed_cleanly(source, sink)


def test_interrupt_after_a_stop_aborts_what_still_drains():
    stop = Event()
    source = ListSource(make_clip(COUNT), at={2: stop.set})
    sink = ListSink(at={2: interrupt})
    with pytest.raises(KeyboardInterrupt):
        run(source, [("a", unchanged)], sink, stop=stop)
    assert_failed_cleanly(source, sink)


def test_interrupt_while_finishing_aborts():
    class Finishing(ListSink):
        def finish(self, tail):
            interrupt()
            super().finish(tail)

    source, sink = ListSource(make_clip(2)), Finishing()
    with pytest.raises(KeyboardInterrupt):
        run(source, [], sink)
    assert_failed_cleanly(source, sink)


@pytest.mark.parametrize("seed", range(40))
def test_interrupt_from_anywhere_ends_the_run(seed):
    dice = random.Random(seed)
    moment = dice.randrange(COUNT)
    place = dice.choice(["source", "stage", "sink"])
    at = {moment: interrupt}
    source = ListSource(make_clip(3 * COUNT), at=at if place == "source" else {})
    sink = ListSink(at=at if place == "sink" else {})
    stages = [("a", doubled), ("b", acting(at if place == "stage" else {}))]
    with pytest.raises(KeyboardInterrupt):
        run(source, stages, sink, capacity=dice.randint(1, 4))
    assert_failed_cleanly(source, sink)


class StalledSource(ListSource):
    """A camera that falls silent after its frames, until the test revives it."""

    def __init__(self, frames):
        self.silent, self.revived = Event(), Event()
        super().__init__(frames, at={len(frames): self.stall})

    def stall(self):
        self.silent.set()
        self.revived.wait()


def test_failed_run_ends_although_its_source_stalls(caplog):
    source = StalledSource(make_clip(2))
    sink = ListSink(at={1: throw(InjectedError("disk full"))})
    with pytest.raises(InjectedError, match="disk full"):
        run(source, [("a", unchanged)], sink, join_deadline_s=0)
    assert sink.aborted == 1
    assert "thread demoire-source did not end in time" in caplog.text
    # What another thread reads must not be closed: FFmpeg would crash the process.
    assert source.closed == 0
    source.revived.set()
    join_pipeline_threads()


def test_interrupt_ends_a_run_whose_source_stalls(caplog):
    source, sink = StalledSource(make_clip(2)), ListSink()

    def interrupt_when_silent(progress):
        if progress.frames == 2:
            source.silent.wait()
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        run(source, [], sink, on_frame=interrupt_when_silent, join_deadline_s=0)
    assert "in stall" in caplog.text
    assert (sink.aborted, source.closed) == (1, 0)
    source.revived.set()
    join_pipeline_threads()


def test_source_that_stalls_after_everybody_left_does_not_spoil_the_output(caplog):
    def leaves_in_silence(frames):
        yield next(frames)
        source.silent.wait()

    source, sink = StalledSource(make_clip(2)), ListSink()
    run(source, [("leaver", leaves_in_silence)], sink, join_deadline_s=0)
    assert sink.finished
    assert source.closed == 0
    assert caplog.text.count("thread demoire-source did not end in time") == 1
    source.revived.set()
    join_pipeline_threads()


def test_source_that_comes_back_after_stop_was_set_ends_the_run_well():
    stop = Event()
    source, sink = StalledSource(make_clip(2)), ListSink()

    def stop_when_silent(progress):
        if progress.frames == 2:
            source.silent.wait()
            stop.set()
            source.revived.set()  # what a read timeout does

    report = run(source, [("a", in_pairs)], sink, stop=stop, on_frame=stop_when_silent)
    assert sink.finished
    assert report.stopped_early
    assert source.closed == 1


def join_pipeline_threads():
    for thread in threading.enumerate():
        if thread.name.startswith("demoire-"):
            thread.join()


class RandomRun:
    """A pipeline with one to three faults anywhere, all told by the seed."""

    def __init__(self, seed):
        dice = random.Random(seed)
        self.count = dice.randint(0, 12)
        self.stop = Event()
        self.faults = []
        self.capacity = dice.randint(1, 3)
        depth = dice.randint(0, 4)
        places = ["source", "sink", "finish", "abort", "close", *range(depth)]
        moments = {place: {} for place in places}
        for place in dice.choices(places, k=dice.randint(1, 3)):
            moment = dice.choice([*range(self.count + 1), "end"])
            moments[place][moment] = dice.choice([self.fault(place), self.fault(place), self.halt])
        self.source = ListSource(
            make_clip(self.count),
            tail=("tail",),
            at=moments["source"],
            close_error=self.error(moments["close"]),
        )
        self.stages = [
            (f"stage {number}", acting(moments[number], STAGES[dice.choice(sorted(STAGES))]))
            for number in range(depth)
        ]
        self.sink = ListSink(
            at=moments["sink"],
            finish_error=self.error(moments["finish"]),
            abort_error=self.error(moments["abort"]),
        )

    def fault(self, place):
        name = f"stage {place}" if isinstance(place, int) else str(place)
        fault = InjectedError(name)
        self.faults.append(fault)
        return throw(fault)

    def halt(self):
        self.stop.set()

    def error(self, moments):
        if not moments:
            return None
        error = InjectedError("teardown")
        self.faults.append(error)
        return error


@pytest.mark.parametrize("seed", range(300))
def test_random_faults_end_in_one_error_or_a_finished_output(seed):
    random_run = RandomRun(seed)
    source, sink = random_run.source, random_run.sink
    report = error = None
    try:
        report = run(
            source, random_run.stages, sink, stop=random_run.stop, capacity=random_run.capacity
        )
    except InjectedError as raised:
        error = raised
    assert source.closed == 1
    if error is not None:
        assert any(error is fault for fault in random_run.faults)
        assert len(error.__notes__) == 1
        # Only closing the source comes after the output was finished.
        assert sink.aborted == (0 if sink.finished else 1)
    else:
        assert sink.finished
        assert sink.aborted == 0
        assert report.frames_out == len(sink.frames)
        assert sink.tail in ((), ("tail",))
