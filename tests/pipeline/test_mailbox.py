"""The newest items from one thread for another."""

import threading
from time import perf_counter

import pytest

from pipeline.threads import Mailbox


def test_items_come_in_order():
    box = Mailbox(3)
    for item in "abc":
        box.put(item)
    assert [box.take(0), box.take(0), box.take(0)] == ["a", "b", "c"]
    assert box.dropped == 0


def test_a_full_one_lets_go_of_its_oldest():
    box = Mailbox(2)
    for item in "abcd":
        box.put(item)
    assert [box.take(0), box.take(0), box.take(0)] == ["c", "d", None]
    assert box.dropped == 2


def test_what_is_let_go_leaves_something_to_the_next():
    box = Mailbox(2, drop=lambda oldest, following: oldest + following)
    for item in "abcd":
        box.put(item)
    assert box.take(0) == "abc"


def test_nothing_comes_in_time():
    began_s = perf_counter()
    assert Mailbox(1).take(0.05) is None
    assert perf_counter() - began_s >= 0.05


def test_who_waits_gets_what_comes():
    box, got = Mailbox(1), []
    thread = threading.Thread(target=lambda: got.append(box.take(10)))
    thread.start()
    box.put("here")
    thread.join()
    assert got == ["here"]


def test_closing_wakes_who_waits():
    box, got = Mailbox(1), []
    thread = threading.Thread(target=lambda: got.append(box.take(None)))
    thread.start()
    box.close()
    thread.join()
    assert got == [None]


def test_what_is_there_can_be_taken_after_closing_and_nothing_follows():
    box = Mailbox(2)
    box.put("last")
    box.close()
    box.put("late")
    assert not box.ended
    assert box.take() == "last"
    assert box.ended
    assert box.take() is None


def test_it_holds_at_least_one():
    with pytest.raises(ValueError, match="a mailbox holds at least one item, got capacity=0"):
        Mailbox(0)
