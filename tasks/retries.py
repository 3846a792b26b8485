"""Trying again what a moment may heal: a few times, with jitter, and not once the work should end."""

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

from farm.errors import FarmError, StateUnavailableError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

R = TypeVar("R")

ATTEMPTS = 6
"""Tries of a build or a publication: with the pauses between them they outlast an outage of half a minute."""
_LONGEST_WAIT = 20.0
"""Seconds between two attempts at the most."""
OUTAGE = 900.0
"""Seconds for which work in hand waits for a Redis that is away, before it is given up to the reconciler."""


def _unsaid(_: str) -> None:
    """Tell nobody."""


def patiently(call: Callable[[], R], *, until: threading.Event, say: Callable[[str], None] = _unsaid) -> R:
    """Call until it succeeds, fails for good, or was tried `ATTEMPTS` times; the last error is raised.

    A Redis that is away is not waited for here: `outlasting` has done so by then.

    Args:
        call: what to try.
        until: set when the work should end.
        say: is told before each pause why it comes, and how long it is.
    """

    def tell(state: RetryCallState) -> None:
        why = state.outcome.exception() if state.outcome else ""
        turn, pause = state.attempt_number, state.upcoming_sleep
        say(f"{why}; tried again in {pause:.0f} s, try {turn + 1} of {ATTEMPTS}")

    retrying = Retrying(
        retry=retry_if_exception(
            lambda error: (
                isinstance(error, FarmError)
                and error.retryable
                and not isinstance(error, StateUnavailableError)
                and not until.is_set()
            )
        ),
        wait=wait_exponential_jitter(multiplier=1, max=_LONGEST_WAIT, jitter=2),
        stop=stop_after_attempt(ATTEMPTS),
        sleep=sleep_using_event(until),
        before_sleep=tell,
        reraise=True,
    )
    return retrying(call)


def outlasting(call: Callable[[], R], *, until: threading.Event) -> R:
    """Ask or tell the state, waiting for a Redis that is away: a finished build is not made twice for that.

    Raises:
        StateUnavailableError: it stayed away for `OUTAGE` seconds, or the work should end.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(StateUnavailableError),
        wait=wait_exponential_jitter(multiplier=0.2, max=3, jitter=1),
        stop=stop_after_delay(OUTAGE) | stop_when_event_set(until),
        sleep=sleep_using_event(until),
        reraise=True,
    )
    return retrying(call)
