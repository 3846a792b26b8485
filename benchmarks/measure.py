"""Timing: the fastest of several runs, since other load on the machine only adds time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7


def seconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The shortest time of a call, in seconds."""
    return min(_once(call) for _ in range(rounds))


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
