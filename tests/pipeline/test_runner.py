import threading
from dataclasses import replace
from threading import Event

import pytest
from fakes import (
    STAGES,
    ListSink,
    ListSource,
    acting,
    doubled,
    every_second,
    first_three,
    in_pairs,
    make_clip,
    make_frame,
    nobody,
    unchanged,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.runner import Pipeline, carry_over, compose


def run(frames, stages=(), *, stop=None, on_frame=None, source=None, sink=None, **options):
    """Run and return (report, sink)."""
    sink = sink or ListSink()
    pipeline = Pipeline(
        source=source or ListSource(frames), stages=list(stages), sink=sink, **options
    )
    return pipeline.run(stop or Event(), on_frame=on_frame), sink


@settings(deadline=None, max_examples=150)
@given(
    names=st.lists(st.sampled_from(sorted(STAGES)), max_size=4),
    capacity=st.integers(1, 7),
    count=st.integers(0, 12),
)
def test_threads_change_nothing(names, capacity, count):
    frames = make_clip(count)
    stages = [(f"{number} {name}", STAGES[name]) for number, name in enumerate(names)]
    _, sink = run(frames, stages, capacity=capacity)
    assert sink.frames == list(compose(stages)(iter(frames)))
    assert sink.finished
    assert sink.aborted == 0


@pytest.mark.parametrize("capacity", [1, 2, 7])
def test_flush_of_an_unpaired_frame_arrives(capacity):
    frames = make_clip(11)
    _, sink = run(frames, [("pairs", in_pairs)], capacity=capacity)
    assert sink.frames == frames


def test_compose_without_stages_is_the_input():
    frames = make_clip(3)
    assert list(compose([])(iter(frames))) == frames


def test_compose_closes_its_stages_last_first():
    closed, held = [], []

    def noting(name):
        def numbered(frames):
            try:
                yield from map(replace, frames)  # which closes nothing by itself
            finally:
                closed.append(name)

        def stage(frames):
            held.append(numbered(frames))  # or losing the last reference would close it
            return held[-1]

        return stage

    chain = compose([("a", noting("a")), ("b", noting("b"))])(iter(make_clip(3)))
    next(chain)
    chain.close()
    assert closed == ["b", "a"]


def test_each_stage_has_its_own_thread_and_the_sink_the_callers():
    names = []

    def noting(frames):
        names.append(threading.current_thread().name)
        yield from frames

    note = [lambda: names.append(threading.current_thread().name)]
    run(
        (),
        [("a", noting), ("b", noting)],
        source=ListSource(make_clip(1), at={0: note[0]}),
        sink=ListSink(at={0: note[0]}),
    )
    assert sorted(names) == ["MainThread", "demoire-a", "demoire-b", "demoire-source"]


def test_tail_goes_to_the_sink_and_then_the_source_is_closed():
    source = ListSource(make_clip(3), tail=("last packet",))
    _, sink = run((), source=source)
    assert sink.tail == ("last packet",)
    assert source.closed == 1


def test_source_is_still_open_when_the_sink_finishes():
    source = ListSource(make_clip(1))

    class Looking(ListSink):
        def finish(self, tail):
            assert source.closed == 0
            super().finish(tail)

    run((), source=source, sink=Looking())
    assert source.closed == 1


def test_stop_ends_the_source_drains_and_leaves_the_tail_out():
    stop = Event()
    source = ListSource(make_clip(50), tail=("later sound",), at={10: stop.set})
    report, sink = run((), [("pairs", in_pairs)], source=source, stop=stop)
    assert sink.frames == source.given[:11]  # the frame being read is the last one
    assert sink.tail == ()
    assert report.stopped_early
    assert (source.left, source.closed, sink.aborted) == (1, 1, 0)


def test_stop_before_the_start_still_gives_one_frame_to_finish_with():
    stop = Event()
    stop.set()
    report, sink = run(make_clip(50), stop=stop)
    assert len(sink.frames) == report.frames_out == 1
    assert sink.finished


def test_source_that_waits_for_stop_itself_ends_early():
    stop = Event()

    class Camera(ListSource):
        def frames(self):
            yield from super().frames()
            stop.wait()  # a reconnect that would take long

    source = Camera(make_clip(3), tail=("never asked for",))
    report, sink = run((), source=source, stop=stop, on_frame=lambda _: stop.set())
    assert sink.finished
    assert sink.tail == ()
    assert report.stopped_early


def test_full_run_was_not_stopped():
    report, _ = run(make_clip(3))
    assert not report.stopped_early


@pytest.mark.parametrize(("leaver", "kept"), [(first_three, 3), (nobody, 0)])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_consumer_that_leaves_ends_the_source_quietly(leaver, kept, position):
    stages = [("a", unchanged), ("b", unchanged)]
    stages.insert(position, ("leaver", leaver))
    source = ListSource(make_clip(1000), tail=("far away",))
    report, sink = run((), stages, source=source, capacity=1)
    assert sink.frames == source.given[:kept]
    assert sink.tail == ()
    assert report.frames_in < 20
    assert (source.left, source.closed) == (1, 1)


def test_progress_is_told_after_each_frame():
    told = []
    run(make_clip(4), on_frame=told.append)
    assert [progress.frames for progress in told] == [1, 2, 3, 4]
    assert [progress.time_s for progress in told] == pytest.approx([0, 1 / 30, 2 / 30, 3 / 30])
    assert [progress.dropped for progress in told] == [0, 0, 0, 0]


def test_report_counts_what_each_stage_moved():
    report, _ = run(make_clip(8), [("half", every_second), ("twice", doubled)])
    assert [(stage.name, stage.frames_in, stage.frames_out) for stage in report.stages] == [
        ("source", None, 8),
        ("half", 8, 4),
        ("twice", 4, 8),
        ("sink", 8, None),
    ]
    assert (report.frames_in, report.frames_out, report.dropped) == (8, 8, 0)
    assert all(stage.peak_waiting <= 3 for stage in report.stages)
    assert report.fps == pytest.approx(8 / report.wall_s)


def test_report_of_no_frames_has_no_latency_and_no_first_frame():
    report, sink = run([])
    assert sink.finished
    assert (report.frames_out, report.fps) == (0, 0)
    assert report.latency is None
    assert report.first_frame_s is None


def test_latency_is_measured_through_stages_that_replace_frames():
    def replaced(frames):
        for frame in frames:
            yield replace(frame, pts=frame.pts + 1000)

    report, _ = run(make_clip(5), [("replaced", replaced)])
    assert 0 < report.latency.p50_ms <= report.latency.p99_ms
    assert 0 < report.first_frame_s <= report.wall_s


def test_latency_is_unknown_for_frames_a_stage_made_up():
    def made_up(frames):
        for frame in frames:
            yield make_frame(frame.pts)

    report, _ = run(make_clip(5), [("made up", made_up)])
    assert report.latency is None


def test_slow_live_pipeline_drops_the_oldest_and_says_so():
    sent = Event()

    def slow(frames):
        sent.wait()
        yield from frames

    source = ListSource(make_clip(20), at={20: sent.set})
    report, sink = run((), [("slow", slow)], source=source, capacity=2, overflow="drop_oldest")
    assert [frame.pts for frame in sink.frames] == [18, 19]
    assert [frame.discontinuity for frame in sink.frames] == [True, False]
    assert (report.frames_in, report.dropped, report.frames_out) == (20, 18, 2)
    assert report.stages[0].put_blocked_s == 0


def test_no_packet_and_no_gap_mark_is_lost_with_a_dropped_frame():
    packets = ["a", "b", "c"]
    first = make_frame(0, packets=tuple(packets[:2]), discontinuity=True)
    kept = carry_over(first, make_frame(1, packets=tuple(packets[2:])))
    assert list(kept.packets) == packets
    assert kept.discontinuity
    assert kept.pts == 1


@pytest.mark.parametrize("names", [["a", "a"], ["source"], ["sink", "b"]])
def test_stage_names_must_differ(names):
    with pytest.raises(ValueError, match="stage names must differ"):
        Pipeline(source=ListSource([]), stages=[(n, unchanged) for n in names], sink=ListSink())


def test_capacity_below_one_is_refused():
    with pytest.raises(ValueError, match=r"at least one frame, got self\.capacity=0"):
        Pipeline(source=ListSource([]), stages=[], sink=ListSink(), capacity=0)


def test_a_pipeline_holds_no_more_frames_than_its_channels_and_stages():
    ahead = []

    def written(progress):
        ahead.append(read[0] - progress.frames)

    read = [0]

    def count():
        read[0] += 1

    source = ListSource(make_clip(100), at=dict.fromkeys(range(100), count))
    run((), [("a", unchanged), ("b", acting({}))], source=source, on_frame=written, capacity=2)
    assert max(ahead) <= 3 * 2 + 3  # three channels, and one in each thread's hands
