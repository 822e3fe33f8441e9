# ruff: noqa: PT012 - leaving the block of a group is what raises
import threading
from contextlib import suppress

import pytest
from fakes import InjectedError, interrupt, throw

from pipeline.threads import Cancelled, ThreadGroup


class WatchedCondition(threading.Condition):
    """Tells a test that a thread really waits: it takes the lock only once that thread is in."""

    def __init__(self):
        super().__init__()
        self.waits = threading.Semaphore(0)

    def wait(self, timeout=None):
        if timeout is None:  # a channel; only the join has a deadline
            self.waits.release()
        return super().wait(timeout)


class InterruptedCondition(threading.Condition):
    """Ctrl-C falls into the first wait that has a deadline: the join."""

    pressed = False

    def wait(self, timeout=None):
        if timeout is not None and not self.pressed:
            self.pressed = True
            interrupt()
        return super().wait(timeout)


@pytest.fixture
def group():
    made = ThreadGroup(body="body")
    made.changed = WatchedCondition()
    return made


def receive(channel, into):
    """A produce function that passes on nothing but collects."""

    def collect():
        into.extend(channel)
        yield from ()

    return collect


@pytest.mark.parametrize("capacity", [1, 2, 7])
def test_channel_keeps_order(group, capacity):
    with group:
        numbers = group.channel(capacity)
        group.start("count", lambda: iter(range(20)), into=numbers)
        assert list(numbers) == list(range(20))


@pytest.mark.parametrize("capacity", [0, -1])
def test_channel_refuses_to_hold_nothing(group, capacity):
    with pytest.raises(ValueError, match=f"at least one item, got capacity={capacity}"):
        group.channel(capacity)


def test_channel_never_holds_more_than_its_capacity(group):
    with group:
        numbers = group.channel(2)
        group.start("count", lambda: iter(range(5)), into=numbers)
        group.changed.waits.acquire()  # the producer waits for room
        assert numbers.statistics().items == numbers.statistics().peak == 2
        assert list(numbers) == list(range(5))
    assert numbers.statistics().peak == 2


def test_producer_counts_its_wait_for_room(group):
    with group:
        numbers = group.channel(1)
        group.start("count", lambda: iter(range(2)), into=numbers)
        group.changed.waits.acquire()
        assert list(numbers) == [0, 1]
    assert numbers.statistics().put_blocked_s > 0


def test_consumer_counts_its_wait_for_items(group):
    seen = []
    with group:
        numbers, none = group.channel(1), group.channel(1)
        thread = group.start("collect", receive(numbers, seen), into=none, after=numbers)
        group.changed.waits.acquire()
        numbers.put(1)
        numbers.close()
        thread.join()
    assert seen == [1]
    assert numbers.statistics().get_blocked_s > 0


def test_who_never_waits_counts_no_wait(group):
    with group:
        numbers = group.channel(2)
        numbers.put(1)
        numbers.put(2)
        numbers.close()
        assert list(numbers) == [1, 2]
    statistics = numbers.statistics()
    assert (statistics.put_blocked_s, statistics.get_blocked_s) == (0, 0)
    assert (statistics.items, statistics.dropped, statistics.peak) == (2, 0, 2)


def test_channel_with_drop_keeps_the_newest_and_counts(group):
    with group:
        numbers = group.channel(2, lambda oldest, following: following)
        for number in range(7):
            numbers.put(number)
        numbers.close()
        assert list(numbers) == [5, 6]
    statistics = numbers.statistics()
    assert (statistics.items, statistics.dropped, statistics.peak) == (7, 5, 2)


@pytest.mark.parametrize("capacity", [1, 2, 3])
def test_channel_with_drop_hands_the_dropped_to_the_next(group, capacity):
    with group:
        letters = group.channel(capacity, lambda oldest, following: oldest + following)
        for letter in "abcdef":
            letters.put(letter)
        letters.close()
        received = list(letters)
    assert "".join(received) == "abcdef"
    assert len(received) == capacity


def test_error_in_a_thread_is_raised_as_it_was_with_the_name_of_its_stage(group):
    fault = InjectedError("broken")
    with pytest.raises(InjectedError, match="broken") as raised, group:
        numbers = group.channel(1)
        group.start("third", throw(fault), into=numbers)
        list(numbers)
    assert raised.value is fault
    assert fault.__notes__ == ["raised in pipeline stage 'third'"]


@pytest.mark.parametrize("chain", ["from", "while handling"])
def test_error_keeps_what_it_was_raised_from(group, chain):
    cause = KeyError("first")

    def produce():
        try:
            raise cause
        except KeyError:
            if chain == "from":
                raise InjectedError("second") from cause
            raise InjectedError("second")  # noqa: B904 - the implicit chain is what is tested
        yield

    with pytest.raises(InjectedError, match="second") as raised, group:
        numbers = group.channel(1)
        group.start("x", produce, into=numbers)
        list(numbers)
    assert raised.value.__context__ is cause
    assert raised.value.__cause__ is (cause if chain == "from" else None)


def test_channel_made_after_a_failure_is_cancelled_too(group):
    with pytest.raises(InjectedError, match="early"), group:
        group.start("x", throw(InjectedError("early")), into=group.channel(1)).join()
        late = group.channel(1)
        with pytest.raises(Cancelled):
            late.put(1)
        list(late)


def test_failure_wakes_a_blocked_producer_and_a_blocked_consumer(group):
    go = threading.Event()

    def fail_later():
        go.wait()
        raise InjectedError("at last")
        yield

    with pytest.raises(InjectedError, match="at last"), group:
        full, empty, failing = group.channel(1), group.channel(1), group.channel(1)
        producer = group.start("producer", lambda: iter(range(9)), into=full)
        consumer = group.start("consumer", receive(empty, []), into=group.channel(1), after=empty)
        group.start("failing", fail_later, into=failing)
        group.changed.waits.acquire()
        group.changed.waits.acquire()
        go.set()
        list(failing)
    assert not producer.is_alive()
    assert not consumer.is_alive()


def test_error_in_the_body_ends_the_threads_and_runs_their_finally(group):
    cleaned = threading.Event()

    def numbers_for_ever():
        try:
            while True:
                yield 1
        finally:
            cleaned.set()

    with pytest.raises(InjectedError, match="body") as raised, group:
        group.start("endless", numbers_for_ever, into=group.channel(1))
        group.changed.waits.acquire()
        raise InjectedError("body")
    assert cleaned.is_set()
    assert raised.value.__notes__ == ["raised in pipeline stage 'body'"]


def test_leaving_the_body_early_without_an_error_ends_the_threads(group):
    with group:
        numbers = group.channel(1)
        thread = group.start("count", lambda: iter(range(1000)), into=numbers)
        assert next(numbers) == 0
    assert not thread.is_alive()
    assert not group.failed


def test_abandoned_channel_ends_its_producer_quietly(group):
    with group:
        numbers = group.channel(1)
        thread = group.start("count", lambda: iter(range(1000)), into=numbers)
        group.changed.waits.acquire()
        numbers.abandon()
        thread.join()
        group.join()
    assert numbers.statistics().items == 1


def test_thread_that_ends_abandons_what_it_consumed(group):
    with group:
        numbers, none = group.channel(1), group.channel(1)
        producer = group.start("count", lambda: iter(range(1000)), into=numbers)
        group.start("leaves", lambda: iter(()), into=none, after=numbers)
        assert list(none) == []
        producer.join()


def test_foreign_cancellation_is_an_error_and_not_the_end_of_the_stream(group):
    with pytest.raises(Cancelled, match="not yours") as raised, group:
        numbers = group.channel(1)
        group.start("x", throw(Cancelled("not yours")), into=numbers)
        list(numbers)
    assert raised.value.__notes__ == ["raised in pipeline stage 'x'"]


def test_cancelled_is_not_caught_by_a_handler_of_ordinary_errors():
    with pytest.raises(Cancelled), suppress(Exception):
        raise Cancelled


def test_stage_that_swallows_its_cancellation_is_cancelled_again(group):
    swallowed = []

    def stubborn(numbers):
        try:
            yield next(numbers)
        except BaseException as error:  # noqa: BLE001 - the bad manners that are tested
            swallowed.append(type(error))
            yield next(numbers)

    with pytest.raises(InjectedError, match="enough"), group:
        empty, out = group.channel(1), group.channel(1)
        thread = group.start("stubborn", lambda: stubborn(empty), into=out, after=empty)
        group.changed.waits.acquire()
        raise InjectedError("enough")
    assert swallowed == [Cancelled]
    assert not thread.is_alive()


def test_later_error_is_logged_with_its_stage_and_not_raised(group, caplog):
    def fails_in_finally():
        try:
            while True:
                yield 1
        finally:
            raise InjectedError("later")

    with pytest.raises(InjectedError, match="first"), group:
        group.start("teardown", fails_in_finally, into=group.channel(1))
        group.changed.waits.acquire()
        raise InjectedError("first")
    assert [record.getMessage() for record in caplog.records] == [
        "later error in pipeline stage 'teardown'"
    ]
    assert "InjectedError: later" in caplog.text


def test_actions_at_the_end_run_in_reverse_order_whatever_fails(group, caplog):
    ran = []
    with pytest.raises(InjectedError, match="first"), group:
        group.at_end("a", lambda: ran.append("a"))
        group.at_end("b", throw(InjectedError("second")))
        group.at_end("c", lambda: ran.append(("c", group.failed)))
        raise InjectedError("first")
    assert ran == [("c", True), "a"]
    assert "later error in pipeline stage 'b'" in caplog.text


def test_error_of_an_action_is_raised_when_it_is_the_first(group):
    with pytest.raises(InjectedError, match="at the end"), group:
        group.at_end("a", throw(InjectedError("at the end")))


def test_join_reports_an_error_after_the_last_item(group):
    taken = threading.Event()

    def fails_at_the_end():
        yield 1
        taken.wait()
        raise InjectedError("after the last")

    done = []
    with pytest.raises(InjectedError, match="after the last"), group:
        numbers = group.channel(2)
        group.start("x", fails_at_the_end, into=numbers)
        next(numbers)
        taken.set()
        group.join()
        done.append("finished")
    assert done == []


def test_interrupt_wakes_a_consumer_from_its_wait(group):
    awake = threading.Event()

    def interrupts():
        group.changed.waits.acquire()
        interrupt()
        # One that falls between the wait and its system call is seen at the next wake-up only.
        while not awake.wait(0.2):
            interrupt()
        yield from ()

    def wait_for_an_item(numbers):
        try:
            next(numbers)
        finally:
            awake.set()

    with pytest.raises(KeyboardInterrupt), group:
        numbers = group.channel(1)
        group.start("x", interrupts, into=numbers)
        wait_for_an_item(numbers)


def test_interrupted_join_is_made_good_on_the_way_out():
    group = ThreadGroup(body="body")
    group.changed = InterruptedCondition()
    with pytest.raises(KeyboardInterrupt), group:
        thread = group.start("count", lambda: iter(range(1000)), into=group.channel(1))
        group.join()
    assert not group.is_running(thread)


def test_second_interrupt_in_the_join_still_runs_the_actions_at_the_end(caplog):
    release, ended = threading.Event(), []

    def stuck():
        release.wait()
        yield 1

    group = ThreadGroup(body="body")
    group.changed = InterruptedCondition()
    with pytest.raises(InjectedError, match="first"), group:
        thread = group.start("stuck", stuck, into=group.channel(1))
        group.at_end("a", lambda: ended.append(group.is_running(thread)))
        raise InjectedError("first")
    assert ended == [True]
    assert "KeyboardInterrupt" in caplog.text
    release.set()
    thread.join()


def test_thread_that_will_not_end_is_left_behind_with_its_stack_in_the_log(caplog):
    release, inside = threading.Event(), threading.Event()

    def reads_from_a_dead_camera():
        inside.set()
        release.wait()
        yield 1

    group = ThreadGroup(body="body", join_deadline_s=0)
    with pytest.raises(InjectedError, match="enough"), group:
        thread = group.start("stuck", reads_from_a_dead_camera, into=group.channel(1))
        inside.wait()
        raise InjectedError("enough")
    assert group.is_running(thread)
    assert thread.daemon
    assert "thread demoire-stuck did not end in time" in caplog.text
    assert "in reads_from_a_dead_camera" in caplog.text
    release.set()
    thread.join()


def test_lock_left_taken_by_an_interrupt_does_not_keep_the_threads(group):
    with pytest.raises(KeyboardInterrupt), group:
        thread = group.start("count", lambda: iter(range(1000)), into=group.channel(1))
        group.changed.waits.acquire()
        group.changed.acquire()  # where Ctrl-C may fall: taken, and the block not entered
        raise KeyboardInterrupt
    assert not thread.is_alive()


def test_iterator_that_cannot_be_closed_is_pumped_too(group):
    with group:
        numbers = group.channel(1)
        group.start("map", lambda: map(str, range(3)), into=numbers)
        assert list(numbers) == ["0", "1", "2"]
