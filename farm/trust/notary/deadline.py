"""A deadline that all waits of an operation share."""

from __future__ import annotations

import time
from dataclasses import dataclass

from farm.errors import TrustUnavailableError


@dataclass(frozen=True, slots=True)
class Deadline:
    """When an operation must have ended; each wait in it may take the time that is left."""

    about: str
    seconds: float
    at: float

    @staticmethod
    def after(seconds: float, about: str) -> Deadline:
        """A deadline `seconds` from now; `about` names the operation in the error."""
        return Deadline(about, seconds, time.monotonic() + seconds)

    def left(self) -> float:
        """The seconds that remain, more than 0.

        Raises:
            TrustUnavailableError: the deadline has passed.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise self.missed()
        return left

    def missed(self) -> TrustUnavailableError:
        """The error for an operation that took too long."""
        return TrustUnavailableError(
            f"{self.about} took longer than {self.seconds:g} s",
            hint="check that the notary server answers, or raise trust-timeout",
        )
