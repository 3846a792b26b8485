"""The limits of one operation: its deadline, and its attempts while other clients publish first."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from farm.errors import TrustUnavailableError
from farm.system.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class TrustDeadline:
    """When an operation must have ended; each wait in it may take the time that is left."""

    about: str
    """The operation, for the error."""
    seconds: float
    deadline: Deadline

    @staticmethod
    def after(seconds: float, about: str) -> TrustDeadline:
        """A deadline from now on."""
        return TrustDeadline(about, seconds, Deadline.after(seconds))

    def left(self) -> float:
        """The seconds that remain, more than 0; TrustUnavailableError when none are left."""
        left = self.deadline.left
        if left <= 0:
            raise self.missed()
        return left

    def missed(self) -> TrustUnavailableError:
        """The error for an operation that took too long."""
        return TrustUnavailableError(
            f"{self.about} took longer than {self.seconds:g} s",
            hint="check that the notary server answers, or raise trust-timeout",
        )


def until_true(attempt: Callable[[], bool], failure: str) -> None:
    """Call `attempt` until it returns True, at most 8 times, with growing random pauses of up to 2 s."""
    import tenacity  # noqa: PLC0415 - it imports asyncio and tornado, which reading signatures does not need

    def give_up(_: tenacity.RetryCallState) -> NoReturn:
        raise TrustUnavailableError(
            f"{failure} after {_ATTEMPTS} attempts",
            hint="another client may be publishing there; the server's log has the reason",
        )

    tenacity.Retrying(
        retry=tenacity.retry_if_result(operator.not_),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=2.0),
        retry_error_callback=give_up,
    )(attempt)
