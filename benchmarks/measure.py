"""Timing: the best of several runs, since whatever else the machine does only ever adds time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7


def seconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The shortest time that a call took, in seconds."""
    return min(_once(call) for _ in range(rounds))


def _once(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


@dataclass(frozen=True, slots=True)
class Row:
    """One claim: what was measured, beside what."""

    what: str
    ours: float
    """Seconds."""
    peer: str
    theirs: float
    """Seconds."""

    def line(self) -> str:
        """One line for people."""
        ours, theirs = (f"{value * 1000:.0f} ms" for value in (self.ours, self.theirs))
        return f"{self.what}: {ours}, {self.ours / self.theirs:.2f} times {self.peer} ({theirs})"
