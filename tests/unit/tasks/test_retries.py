"""Temporary errors: the work is tried again a few times, and not once it must stop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from farm.errors import BuildFailedError, FarmError, RegistryUnavailableError, StateUnavailableError
from tasks.retries import ATTEMPT_TIME, ATTEMPTS, retry_temporary

if TYPE_CHECKING:
    from collections.abc import Callable

AWAY = RegistryUnavailableError("the registry is away")


class InstantEvent(threading.Event):
    """An event whose waits return at once; it records how long they would have taken."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


def failing(*errors: Exception) -> tuple[Callable[[], str], list[int]]:
    """A call that raises each of these in turn, then succeeds; and the number of calls."""
    pending, calls = list(errors), [0]

    def call() -> str:
        calls[0] += 1
        if pending:
            raise pending.pop(0)
        return "done"

    return call, calls


def test_a_temporary_error_is_retried_after_growing_pauses() -> None:
    stop = InstantEvent()
    call, calls = failing(AWAY, AWAY)
    assert retry_temporary(call, stop=stop) == "done"
    assert calls == [3]
    assert len(stop.waits) == 2
    assert all(0 < wait <= 25 for wait in stop.waits)


def test_a_registry_that_asks_for_a_long_pause_gets_it_within_the_time_of_an_attempt() -> None:
    stop, busy, closed = InstantEvent(), RegistryUnavailableError("busy"), RegistryUnavailableError("closed")
    busy.pause, closed.pause = 120, 86400
    call, _ = failing(busy, closed)
    assert retry_temporary(call, stop=stop) == "done"
    asked, longest = stop.waits
    assert 120 <= asked <= 145
    assert ATTEMPT_TIME <= longest <= ATTEMPT_TIME + 25


def test_each_pause_is_announced_with_its_reason_and_its_length() -> None:
    reported: list[str] = []
    stop = InstantEvent()
    call, _ = failing(AWAY, RegistryUnavailableError("still away"))
    retry_temporary(call, stop=stop, report=reported.append)
    first, second = (f"{wait:.0f} s" for wait in stop.waits)
    assert reported == [
        f"the registry is away; retrying in {first} (attempt 2 of {ATTEMPTS})",
        f"still away; retrying in {second} (attempt 3 of {ATTEMPTS})",
    ]


def test_an_error_that_remains_is_raised_after_the_last_attempt() -> None:
    last = RegistryUnavailableError("still away")
    call, calls = failing(*[AWAY] * (ATTEMPTS - 1), last)
    with pytest.raises(RegistryUnavailableError) as caught:
        retry_temporary(call, stop=InstantEvent())
    assert caught.value is last
    assert calls == [ATTEMPTS]


@pytest.mark.parametrize(
    "error",
    [
        BuildFailedError("make failed"),
        FarmError("no"),
        ZeroDivisionError(),
        # `wait_for_redis` has waited a quarter of an hour by then.
        StateUnavailableError("Redis is away"),
    ],
)
def test_a_permanent_error_is_not_retried(error: Exception) -> None:
    call, calls = failing(error)
    with pytest.raises(type(error)):
        retry_temporary(call, stop=InstantEvent())
    assert calls == [1]


def test_work_that_must_stop_is_not_retried() -> None:
    stop = InstantEvent()
    stop.set()
    call, calls = failing(AWAY)
    with pytest.raises(RegistryUnavailableError):
        retry_temporary(call, stop=stop)
    assert calls == [1]


def test_work_that_must_stop_does_not_wait_for_the_end_of_its_pause() -> None:
    stop = threading.Event()

    def call() -> str:
        threading.Timer(0.05, stop.set).start()
        raise AWAY

    with pytest.raises(RegistryUnavailableError):
        retry_temporary(call, stop=stop)
