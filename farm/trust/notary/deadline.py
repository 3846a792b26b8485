"""The deadline of one operation on keys or on the notary server, with the error for missing it."""

from __future__ import annotations

from dataclasses import dataclass

from farm.errors import TrustUnavailableError
from farm.system.deadline import Deadline


@dataclass(frozen=True, slots=True)
class TrustDeadline:
    """When an operation must have ended; each wait in it may take the time that is left."""

    about: str
    seconds: float
    deadline: Deadline

    @staticmethod
    def after(seconds: float, about: str) -> TrustDeadline:
        """A deadline `seconds` from now; `about` names the operation in the error."""
        return TrustDeadline(about, seconds, Deadline.after(seconds))

    def left(self) -> float:
        """The seconds that remain, more than 0.

        Raises:
            TrustUnavailableError: the deadline has passed.
        """
        left = self.deadline.left
        if not left:
            raise self.missed()
        return left

    def missed(self) -> TrustUnavailableError:
        """The error for an operation that took too long."""
        return TrustUnavailableError(
            f"{self.about} took longer than {self.seconds:g} s",
            hint="check that the notary server answers, or raise trust-timeout",
        )
