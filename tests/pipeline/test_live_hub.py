"""Many outlets behind one: they come, go and break without disturbing each other."""

import logging
import threading
from itertools import pairwise

import pytest
from live_units import clip, until

from pipeline.live.outlets.hub import Hub
from pipeline.live.outlets.waiting import UnitQueue


class ListOutlet:
    """Keeps what it is given; `at[n]` is called at the nth unit, or "close"."""

    def __init__(self, at=None):
        self.units, self.closed = [], 0
        self._at = at or {}

    def push(self, unit):
        self._at.get(len(self.units), bool)()
        self.units.append(unit)

    def close(self):
        self._at.get("close", bool)()
        self.closed += 1


def broken():
    raise RuntimeError("out of order")


def test_every_outlet_gets_every_unit_in_order():
    hub, first, second = Hub(), ListOutlet(), ListOutlet()
    hub.add("first", first)
    hub.push(clip()[0])
    hub.add("second", second)
    for unit in clip()[1:5]:
        hub.push(unit)
    hub.close()
    assert first.units == list(clip()[:5])
    assert second.units == list(clip()[1:5])
    assert first.closed == second.closed == 1


def test_an_outlet_that_raises_is_taken_out_closed_and_reported_once(caplog):
    hub, good, bad = Hub(), ListOutlet(), ListOutlet(at={2: broken})
    hub.add("bad", bad)
    hub.add("good", good)
    for unit in clip()[:6]:
        hub.push(unit)
    assert hub.names() == ("good",)
    assert str(hub.failed()["bad"]) == "out of order"
    hub.close()
    assert len(good.units) == 6
    assert len(bad.units) == 2
    assert bad.closed == 1
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["outlet bad is taken out, it raised RuntimeError: out of order"]


def test_an_outlet_can_come_back_after_it_failed():
    hub, again = Hub(), ListOutlet()
    hub.add("one", ListOutlet(at={0: broken}))
    hub.push(clip()[0])
    hub.add("one", again)
    hub.push(clip()[0])
    assert hub.failed() == {}
    hub.close()
    assert len(again.units) == 1


def test_removing_closes_and_knows_no_wrong_names():
    hub, outlet = Hub(), ListOutlet()
    hub.add("one", outlet)
    hub.remove("one")
    hub.remove("one")
    hub.push(clip()[0])
    hub.close()
    assert outlet.units == []
    assert outlet.closed == 1


def test_pushing_does_not_wait_for_one_that_is_slow_to_close():
    release = threading.Event()
    hub = Hub()
    hub.add("slow", ListOutlet(at={0: broken, "close": release.wait}))
    good = ListOutlet()
    hub.add("good", good)
    for unit in clip()[:3]:
        hub.push(unit)
    assert len(good.units) == 3
    release.set()
    hub.close()


def test_outlets_are_closed_at_the_same_time():
    both = threading.Barrier(3)
    hub = Hub()
    for name in ("one", "two", "three"):
        hub.add(name, ListOutlet(at={"close": lambda: both.wait(5)}))
    hub.close()
    assert not both.broken


def test_one_that_fails_to_close_is_logged(caplog):
    hub = Hub()
    hub.add("one", ListOutlet(at={"close": broken}))
    hub.close()
    assert "outlet one raised RuntimeError when it was closed" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize(("closes", "why"), [(False, "one of that name"), (True, "is closed")])
def test_a_name_is_given_once_and_only_while_open(closes, why):
    hub = Hub()
    hub.add("one", ListOutlet())
    if closes:
        hub.close()
    with pytest.raises(ValueError, match=f"outlet 'one' cannot be added: .*{why}"):
        hub.add("one", ListOutlet())
    hub.close()


def test_outlets_come_and_go_while_others_push():
    hub, stays, stop = Hub(), ListOutlet(), threading.Event()
    hub.add("stays", stays)

    def push():
        while not stop.is_set():
            hub.push(clip()[0])

    threads = [threading.Thread(target=push) for _ in range(2)]
    for thread in threads:
        thread.start()
    for index in range(40):
        hub.add("guest", ListOutlet(at={5: broken} if index % 2 else None))
        hub.remove("guest")
    stop.set()
    for thread in threads:
        thread.join()
    hub.close()
    assert hub.names() == ()
    assert stays.closed == 1


def queue_with(most_units=8, most_bytes=1 << 30, keep="new"):
    asked = []
    queue = UnitQueue(
        keep=keep, most_units=most_units, most_bytes=most_bytes, request_key=lambda: asked.append(1)
    )
    queue.begin()
    return queue, asked


def taken(queue):
    units = []
    while (unit := queue.get(0)) is not None:
        units.append(unit)
    return units


def test_a_queue_begins_with_a_key_picture_and_asks_for_one():
    queue, asked = queue_with()
    for unit in clip()[5:13]:
        queue.put(unit)
    assert taken(queue) == list(clip()[10:13])
    assert queue.dropped == 5
    assert asked


def test_a_full_queue_that_keeps_the_old_goes_on_where_there_is_room():
    queue, _ = queue_with(most_units=12, keep="old")
    for unit in clip()[:35]:
        queue.put(unit)
    assert taken(queue) == list(clip()[:12])
    for unit in clip()[35:43]:
        queue.put(unit)
    assert taken(queue) == list(clip()[40:43])
    assert (queue.dropped, queue.overflows) == (28, 1)


def test_a_full_queue_goes_on_with_the_next_key_picture():
    queue, asked = queue_with(most_units=12)
    began = len(asked)
    for unit in clip()[:23]:
        queue.put(unit)
    assert taken(queue) == list(clip()[20:23])
    assert (queue.dropped, queue.overflows) == (20, 1)
    assert len(asked) > began


@pytest.mark.parametrize("keep", ["new", "old"])
def test_a_queue_holds_no_more_bytes_than_it_may(keep):
    size = len(clip()[0].data)
    queue, _ = queue_with(most_units=1000, most_bytes=3 * size, keep=keep)
    for unit in clip():
        queue.put(unit)
    assert sum(len(unit.data) for unit in taken(queue)) <= 3 * size


def test_nobody_who_waits_is_forgotten():
    queue, _ = queue_with()
    got = []

    def consume():
        while (unit := queue.get()) is not None:
            got.append(unit)

    thread = threading.Thread(target=consume)
    thread.start()
    for unit in clip()[:4]:
        queue.put(unit)
    until(lambda: len(got) == 4)
    queue.close()
    thread.join()
    queue.put(clip()[0])
    assert got == list(clip()[:4])
    assert all(before.pts < after.pts for before, after in pairwise(got))
