"""Read back what was just written: a registry with several replicas may take seconds to show it."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.system.deadline import Deadline

T = TypeVar("T")

SETTLING = 10.0
"""Seconds for which a registry may take to show what it has accepted."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


def until(settled: Callable[[T], bool], read: Callable[[], T], deadline: Deadline) -> T:
    """Read until the answer is settled; the last answer, if it is not by then."""
    end, longest = deadline.or_after(SETTLING), _FIRST_PAUSE
    while not settled(answer := read()) and not end.passed:
        # Jitter keeps clients apart.
        pause = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        time.sleep(max(0.0, min(pause, end.left)))
        longest = min(longest * 2, _LONGEST_PAUSE)
    return answer
