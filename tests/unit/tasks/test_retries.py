"""What a moment may heal is tried again: a few times, and not once the work should end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from farm.errors import BuildFailedError, FarmError, RegistryUnavailableError, StateUnavailableError
from tasks.retries import ATTEMPTS, patiently

if TYPE_CHECKING:
    from collections.abc import Callable

AWAY = RegistryUnavailableError("the registry is away")


class Hurried(threading.Event):
    """An event for which nobody really waits; it notes how long they would have."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


def failing(*errors: Exception) -> tuple[Callable[[], str], list[int]]:
    """A call that fails with each of these in turn, then succeeds; and how often it was made."""
    left, calls = list(errors), [0]

    def call() -> str:
        calls[0] += 1
        if left:
            raise left.pop(0)
        return "done"

    return call, calls


def test_what_heals_in_time_succeeds_after_growing_pauses() -> None:
    until = Hurried()
    call, calls = failing(AWAY, AWAY)
    assert patiently(call, until=until) == "done"
    assert calls == [3]
    assert len(until.waits) == 2
    assert all(0 < wait <= 25 for wait in until.waits)


def test_each_pause_is_announced_with_its_reason_and_its_length() -> None:
    said: list[str] = []
    until = Hurried()
    call, _ = failing(AWAY, RegistryUnavailableError("still away"))
    patiently(call, until=until, say=said.append)
    first, second = (f"{wait:.0f} s" for wait in until.waits)
    assert said == [
        f"the registry is away; tried again in {first}, try 2 of {ATTEMPTS}",
        f"still away; tried again in {second}, try 3 of {ATTEMPTS}",
    ]


def test_what_does_not_heal_raises_the_last_error_in_the_end() -> None:
    last = RegistryUnavailableError("still away")
    call, calls = failing(*[AWAY] * (ATTEMPTS - 1), last)
    with pytest.raises(RegistryUnavailableError) as caught:
        patiently(call, until=Hurried())
    assert caught.value is last
    assert calls == [ATTEMPTS]


@pytest.mark.parametrize(
    "error",
    [
        BuildFailedError("make failed"),
        FarmError("no"),
        ZeroDivisionError(),
        # It was waited for already, for a quarter of an hour.
        StateUnavailableError("Redis is away"),
    ],
)
def test_what_a_repeat_cannot_change_is_not_repeated(error: Exception) -> None:
    call, calls = failing(error)
    with pytest.raises(type(error)):
        patiently(call, until=Hurried())
    assert calls == [1]


def test_work_that_should_end_is_not_tried_again() -> None:
    until = Hurried()
    until.set()
    call, calls = failing(AWAY)
    with pytest.raises(RegistryUnavailableError):
        patiently(call, until=until)
    assert calls == [1]


def test_work_that_should_end_does_not_wait_out_its_pause() -> None:
    until = threading.Event()

    def call() -> str:
        threading.Timer(0.05, until.set).start()
        raise AWAY

    with pytest.raises(RegistryUnavailableError):
        patiently(call, until=until)
