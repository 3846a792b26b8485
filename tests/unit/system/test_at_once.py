"""Many calls at a time."""

from __future__ import annotations

import threading

import pytest

from farm.system.at_once import at_once


def test_results_are_in_the_order_of_the_items_and_the_first_error_ends_it() -> None:
    begun: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        if number % 10 == 7:
            raise ValueError(f"number {number}")
        if number > 10:
            threading.Event().wait(0.2)
        return number

    assert at_once(call, range(7)) == list(range(7))
    with pytest.raises(ValueError, match="number 7"):
        at_once(call, range(4000), threads=2)
    assert len(begun) < 4000
