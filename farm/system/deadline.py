"""One end for all the waits and retries of an operation."""

from __future__ import annotations

import math
import time
from typing import NamedTuple


class Deadline(NamedTuple):
    """When an operation must be over: whatever it calls gets the same deadline, and retries no longer."""

    at: float = math.inf
    """By the monotonic clock; infinite for an operation that is only limited by what it calls."""

    @staticmethod
    def after(seconds: float) -> Deadline:
        """A deadline from now on."""
        return Deadline(time.monotonic() + seconds)

    def or_after(self, seconds: float) -> Deadline:
        """This deadline, or one from now on if that is earlier."""
        return Deadline(min(self.at, time.monotonic() + seconds))

    @property
    def left(self) -> float:
        """The seconds that remain, 0 or less once it has passed."""
        return self.at - time.monotonic()

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.left <= 0
