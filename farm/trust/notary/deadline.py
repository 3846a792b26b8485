"""One end for all the waits of an operation."""

from __future__ import annotations

import time
from dataclasses import dataclass

from farm.errors import TrustUnavailableError


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a whole operation must be over; every wait in it takes what is left."""

    about: str
    seconds: float
    at: float

    @staticmethod
    def after(seconds: float, about: str) -> Deadline:
        """A deadline from now on; `about` names the operation in the error."""
        return Deadline(about, seconds, time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds that remain, more than 0.

        Raises:
            TrustUnavailableError: none remain.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise self.missed()
        return left

    def missed(self) -> TrustUnavailableError:
        """The error for an operation that was not over in time."""
        return TrustUnavailableError(
            f"{self.about} took longer than {self.seconds:g} s",
            hint="look whether the notary server answers, or raise trust-timeout",
        )
