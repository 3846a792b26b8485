"""Retrying when another client of the notary server published first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import TrustUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_ATTEMPTS = 8


def until_true(attempt: Callable[[], bool], failure: str) -> None:
    """Call `attempt` until it returns True, at most 8 times, with growing random pauses of up to 2 s.

    Raises:
        TrustUnavailableError: it never did; the message starts with `failure`.
    """
    from tenacity import (  # noqa: PLC0415 - it imports asyncio and tornado, which reading signatures does not need
        RetryError,
        Retrying,
        retry_if_result,
        stop_after_attempt,
        wait_random_exponential,
    )

    attempts = Retrying(
        retry=retry_if_result(lambda done: not done),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.05, max=2.0),
    )
    try:
        attempts(attempt)
    except RetryError:
        raise TrustUnavailableError(
            f"{failure} after {_ATTEMPTS} attempts",
            hint="another client may be publishing there; the server's log has the reason",
        ) from None
