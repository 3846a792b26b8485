"""Many calls at a time."""

from __future__ import annotations

import threading

import pytest

from farm.system.at_once import at_once

WAIT = 60.0


def test_results_are_in_the_order_of_the_items() -> None:
    assert at_once(lambda number: number * 2, range(40)) == [number * 2 for number in range(40)]


def test_after_the_first_error_no_more_begin_and_those_in_progress_are_stopped() -> None:
    begun: list[int] = []
    other, stopped = threading.Event(), threading.Event()

    def call(number: int) -> None:
        begun.append(number)
        if number:
            other.set()
            assert stopped.wait(WAIT)
        else:
            assert other.wait(WAIT)
            raise ValueError("number 0")

    with pytest.raises(ValueError, match="number 0"):
        at_once(call, range(100), threads=2, stop=stopped.set)
    assert set(begun) <= {0, 1, 2}
