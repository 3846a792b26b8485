"""Timing: the fastest of several runs, since other load on the machine only adds time."""

from __future__ import annotations

import resource
import statistics
import time
from dataclasses import dataclass, field
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
    return list(map(min, in_turn(*calls)))


def in_turn(
    *calls: Callable[[], object], rounds: int = TURNS, clock: Callable[[], float] = time.perf_counter
) -> list[list[float]]:
    """The times of each call, in seconds; called in turn, they meet the same load."""
    times = [[_once(call, clock) for call in calls] for _ in range(rounds)]
    return list(map(list, zip(*times, strict=True)))


def cpu_of_children() -> float:
    """Seconds for which processors worked for child processes that have ended, and for theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _once(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    call()
    return clock() - started


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


@dataclass(frozen=True, slots=True)
class Ratio:
    """A measurement as a ratio to that of a peer, of which the median of pairs taken in turn counts."""

    what: str
    farm: list[float]
    """Seconds, round by round; or another figure of both."""
    peer: str
    peers: list[float]
    limit: float
    unit: str = "ms"

    @property
    def median(self) -> float:
        """The median ratio."""
        return statistics.median(one / other for one, other in zip(self.farm, self.peers, strict=True))

    def line(self) -> str:
        """One line for people."""
        scale = 1000 if self.unit == "ms" else 1
        farm, peer = (
            f"{statistics.median(times) * scale:.0f} {self.unit}" for times in (self.farm, self.peers)
        )
        verdict = "" if self.median <= self.limit else "  MISSED"
        return (
            f"{self.what}: {farm}, {self.median:.3f} times {self.peer} ({peer}); "
            f"limit {self.limit}, {len(self.farm)} pairs{verdict}"
        )


def ratio(
    what: str,
    farm: Callable[[], object],
    peer: str,
    peer_call: Callable[[], object],
    limit: float,
    rounds: int = ROUNDS,
) -> Ratio:
    """The ratio of two calls, made in turn."""
    here, there = in_turn(farm, peer_call, rounds=rounds)
    return Ratio(what, here, peer, there, limit)


@dataclass(frozen=True, slots=True)
class Pairs:
    """One measurement, round by round; with those of an older checkout, taken in turn."""

    what: str
    here: list[float]
    """Seconds."""
    there: list[float] = field(default_factory=list)
    """Seconds; [] where nothing is compared."""

    def line(self) -> str:
        """One line for people."""
        if not self.there:
            return f"{self.what}: {_summary(self.here)}"
        more = min(self.here) - min(self.there)
        pairs = [here - there for here, there in zip(self.here, self.there, strict=True)]
        return (
            f"{self.what}: {_summary(self.here)}, before {_summary(self.there)}: {more * 1000:+.0f} ms of the"
            f" minima, {statistics.median(pairs) * 1000:+.0f} ms in the median pair,"
            f" {min(self.here) / min(self.there):.2f} times"
        )


def _summary(times: list[float]) -> str:
    return f"{min(times) * 1000:.0f} ms (median {statistics.median(times) * 1000:.0f} of {len(times)})"
