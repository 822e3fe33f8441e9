"""Processes that work in order, and end when nobody asks for more."""

import multiprocessing
from operator import neg, truediv

import pytest

from engines.simulate.workers import in_order


def test_results_come_in_order_whatever_the_number_of_workers():
    assert list(in_order(neg, range(9), workers=2)) == [-number for number in range(9)]


def test_items_are_taken_as_they_are_needed():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(neg, items(), workers=1)
    assert next(results) == 0
    results.close()
    assert len(taken) < 5
    assert not multiprocessing.active_children()


def test_error_of_a_worker_is_raised_and_ends_them_all():
    results = in_order(_inverse, [1, 0, 2], workers=1)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        next(results)
    assert not multiprocessing.active_children()


def _inverse(number):
    return truediv(1, number)
