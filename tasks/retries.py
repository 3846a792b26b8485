"""Retries: attempts after temporary errors, with jitter, until the work must stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_after_delay,
    stop_when_event_set,
    wait_exponential_jitter,
)

from farm.errors import FarmError, RegistryUnavailableError, StateUnavailableError
from farm.system.deadline import Deadline

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from farm.registry.client import Registry

R = TypeVar("R")

ATTEMPTS = 6
"""Attempts of a build or publication: with their pauses they outlast an outage of half a minute."""
ATTEMPT_TIME = 300.0
"""Seconds for which one attempt may repeat its registry requests, before the next attempt is due."""
_MAX_PAUSE = 20.0
"""Seconds between two attempts at the most, without jitter."""
MAX_OUTAGE = 900.0
"""Seconds that work in progress waits for a Redis that is away, before it is left to the reconciler."""


def within_attempt(registry: Registry) -> Registry:
    """The client for one attempt: retries inside of it end when the next attempt is due.

    Otherwise those of requests, of rounds of publication, and of attempts would multiply.
    """
    return registry.within(Deadline.after(ATTEMPT_TIME))


def retry_temporary(
    call: Callable[[], R], *, stop: threading.Event, report: Callable[[str], None] = lambda _: None
) -> R:
    """Call until it succeeds, fails for good, or was tried `ATTEMPTS` times; the last error is raised.

    It does not wait for a Redis that is away: `wait_for_redis` has done so before. `report` is
    called before each pause, with its reason and length.
    """

    def temporary(error: BaseException) -> bool:
        if isinstance(error, StateUnavailableError) or stop.is_set():
            return False
        return isinstance(error, FarmError) and error.retryable

    def announce(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else ""
        pause, attempt = state.upcoming_sleep, state.attempt_number + 1
        report(f"{error}; retrying in {pause:.0f} s (attempt {attempt} of {ATTEMPTS})")

    growing = wait_exponential_jitter(multiplier=1, max=_MAX_PAUSE, jitter=2)

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.pause if isinstance(error, RegistryUnavailableError) else None
        return growing(state) + min(asked or 0, ATTEMPT_TIME)

    retrying = Retrying(
        retry=retry_if_exception(temporary),
        wait=pause,
        stop=stop_after_attempt(ATTEMPTS),
        sleep=sleep_using_event(stop),
        before_sleep=announce,
        reraise=True,
    )
    return retrying(call)


def wait_for_redis(call: Callable[[], R], *, stop: threading.Event) -> R:
    """Call again while Redis is away, for `MAX_OUTAGE` seconds, so that an outage costs no finished build."""
    retrying = Retrying(
        retry=retry_if_exception_type(StateUnavailableError),
        wait=wait_exponential_jitter(multiplier=0.2, max=3, jitter=1),
        stop=stop_after_delay(MAX_OUTAGE) | stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        reraise=True,
    )
    return retrying(call)
