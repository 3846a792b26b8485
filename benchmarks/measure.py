"""Timing: the fastest of several runs, since other load on the machine only adds time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7
TURNS = 20
"""Of calls whose ratio has a limit: more, because the fastest of seven still varied by a tenth."""


def seconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The shortest time of a call, in seconds."""
    return min(_once(call) for _ in range(rounds))


def fastest(*calls: Callable[[], object]) -> list[float]:
    """The shortest time of each call, in seconds; called in turn, they meet the same load."""
    rounds = [list(map(_once, calls)) for _ in range(TURNS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def _once(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement beside that of a peer."""

    what: str
    farm: float
    """Seconds."""
    peer: str
    peer_seconds: float
    """Seconds."""

    def line(self) -> str:
        """One line for people."""
        farm, peer = (f"{value * 1000:.0f} ms" for value in (self.farm, self.peer_seconds))
        return f"{self.what}: {farm}, {self.farm / self.peer_seconds:.2f} times {self.peer} ({peer})"
