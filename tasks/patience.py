"""Trying again what a moment may heal: a few times, with jitter, and not once the work should end."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tenacity import (
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    wait_exponential_jitter,
)

from farm.errors import FarmError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

R = TypeVar("R")

ATTEMPTS = 4
_LONGEST_WAIT = 20.0
"""Seconds between two attempts at the most."""


def patiently(call: Callable[[], R], *, until: threading.Event) -> R:
    """Call until it succeeds, fails for good, or was tried `ATTEMPTS` times; the last error is raised."""
    retrying = Retrying(
        retry=retry_if_exception(
            lambda error: isinstance(error, FarmError) and error.retryable and not until.is_set()
        ),
        wait=wait_exponential_jitter(multiplier=1, max=_LONGEST_WAIT, jitter=2),
        stop=stop_after_attempt(ATTEMPTS),
        sleep=sleep_using_event(until),
        reraise=True,
    )
    return retrying(call)
