"""Chaos: many packages and a random fault every two seconds, from a seed that is printed.

make chaos ARGS="--seed 7 --seconds 60 --packages 10"
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from farm.model import RunState
from farm.state.run_handles import RunHandle
from farm.state.run_list import list_runs
from farm.state.runs import read_run
from lab.lab import running_lab
from tests.fault.outcome import check_images, needless_builds, plan_of
from tests.fault.rig import ARCHES, LEASE, Backend, Rig, running_rig
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EVERY = 2.0
"""Seconds between two faults."""
WORKERS = (*(f"{arch}-{number}" for arch in ARCHES for number in (1, 2)), "publish-1", "publish-2")
_COORDINATOR, _REDIS = "push-chaos", "redis"
_LIMIT = 900.0
"""Seconds after the last fault for all to be done."""


@dataclass
class Chaos:
    """One chaos run."""

    rig: Rig
    names: Sequence[str]
    random: random.Random
    references: list[str] = field(default_factory=list)
    survived: Counter[str] = field(default_factory=Counter)
    last: int = 0
    """Exit code of the push after the last fault."""
    _pauses: threading.Event = field(default_factory=threading.Event)
    """Never set; a fault that lasts waits on it."""
    _struck: set[str] = field(default_factory=set)
    """Whom a fault affects at the moment."""

    def write(self) -> None:
        """Write the packages; every second one is built from an earlier one."""
        for number, name in enumerate(self.names):
            needs = self.random.choice(self.references[: number // 2 + 1]) if number % 2 else ""
            self.references.append(
                self.rig.package(name, seconds=round(self.random.uniform(0.1, 1.0), 1), needs=needs)
            )
        self.rig.prepare(*self.names)

    def strike(self, seconds: float) -> None:
        """Cause a fault every two seconds, for some seconds; faults that last overlap."""
        workers = [process.name for process in self.rig.workers]
        faults: list[tuple[Callable[[str], str], list[str]]] = [
            *2 * [(self._kill_child, workers), (self._kill_worker, workers)],
            *2 * [(self._freeze, workers), (self._cut, workers)],
            (self._kill_redis, [_REDIS]),
            (self._kill_coordinator, [_COORDINATOR]),
        ]
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(16) as pool:
            lasting = []
            while time.monotonic() < until:
                fault, victims = self.random.choice(faults)
                if free := [one for one in victims if self._is_free(one)]:
                    victim = self.random.choice(free)
                    self._struck.add(victim)
                    lasting.append(pool.submit(self._survive, fault, victim))
                self._pauses.wait(EVERY)
            self.survived.update(one.result() for one in lasting)

    def _is_free(self, victim: str) -> bool:
        return victim not in self._struck and (victim == _REDIS or self.rig.processes[victim].running)

    def _survive(self, fault: Callable[[str], str], victim: str) -> str:
        name = fault(victim)
        self._struck.discard(victim)
        return name

    def _wait_leases(self, least: float, most: float) -> None:
        self._pauses.wait(self.random.uniform(least, most) * LEASE)

    def _kill_child(self, victim: str) -> str:
        self.rig.processes[victim].kill_child()
        return "kill -9 of a child"

    def _kill_worker(self, victim: str) -> str:
        self.rig.processes[victim].kill()
        # As a supervisor does: while Redis is away, a worker ends when it starts.
        while not self.rig.processes[victim].start().comes_up():
            self._pauses.wait(1)
        return f"kill -9 of a {_role(victim)}"

    def _freeze(self, victim: str) -> str:
        self.rig.processes[victim].freeze()
        self._wait_leases(0.5, 2.5)
        self.rig.processes[victim].thaw()
        return f"a {_role(victim)} frozen, then thawed"

    def _cut(self, victim: str) -> str:
        other = Backend.NOTARY if _role(victim) == "publisher" else Backend.ENGINE
        backend = self.random.choice([Backend.REDIS, other])
        proxy = self.rig.proxy(victim, backend)
        proxy.cut()
        self._wait_leases(0.5, 2)
        proxy.mend()
        return f"connections to {backend} cut, then restored"

    def _kill_redis(self, _victim: str) -> str:
        self.rig.kill_redis()
        self._wait_leases(0, 2)
        self.rig.redis.start()
        return "kill -9 of Redis, then started again"

    def _kill_coordinator(self, victim: str) -> str:
        self.rig.processes[victim].kill()
        self.rig.processes[victim].start()
        return "kill -9 of farm push, then again"

    def keep_redis_away(self, seconds: float) -> None:
        self.rig.kill_redis()
        self._pauses.wait(seconds)
        self.rig.redis.start()
        self.survived[f"Redis away for {seconds:.0f} s"] += 1

    def settle(self) -> None:
        """Wait until no run is open; then push again, as a user who finds `farm push` dead does."""
        wait_until(lambda: not self._runs(RunState.OPEN), _LIMIT)
        self.rig.processes[_COORDINATOR].wait(_LIMIT)
        self.last = self.rig.processes[_COORDINATOR].start().wait(_LIMIT)

    def _runs(self, state: RunState) -> list[str]:
        return [row["run"] for row in list_runs(self.rig.store, 1000) if row["state"] == state]

    def failed(self) -> list[str]:
        """Runs that failed, and the last push if it failed."""
        reasons = [
            f"{run}: {package.error}"
            for run in self._runs(RunState.FAILED)
            for package in read_run(RunHandle(self.rig.store, run)).packages.values()
            if package.error
        ]
        return reasons + ([f"the last push ended with {self.last}"] if self.last else [])

    def lost(self) -> list[str]:
        """Packages that are not published with the right images and signed."""
        lost = []
        for reference, found in plan_of(self.rig, self.references).items():
            if found["why"] == "published and signed":
                check_images(self.rig, reference, found["index"]["digest"])
            else:
                lost.append(f"{reference}: {found['why']}")
        return lost

    def doubled(self) -> list[str]:
        """Builds that started although their image had been attested."""
        return [
            f"{reference} {arch} on {build.process}"
            for reference in self.references
            for arch in ARCHES
            for build in needless_builds(self.rig, reference, arch)
        ]

    def lines(self) -> list[str]:
        """The table of survived faults."""
        rows = [*sorted(self.survived.items()), ("total", self.survived.total())]
        return ["faults survived", *(f"  {name:<40} {count:4}" for name, count in rows)]


def _role(victim: str) -> str:
    return "publisher" if victim.startswith("publish") else "worker"


def run_chaos(rig: Rig, *, seed: int, seconds: float, packages: int, away: float = 0) -> Chaos:
    """Run chaos on a farm, with Redis away in the middle; returns when all runs have ended."""
    chaos = Chaos(rig, [f"chaos-{number}" for number in range(packages)], random.Random(seed))
    chaos.write()
    rig.push(_COORDINATOR, *chaos.names)
    chaos.strike(seconds / 2)
    if away:
        chaos.keep_redis_away(away)
    chaos.strike(seconds / 2)
    chaos.settle()
    return chaos


def main() -> int:
    """Run chaos on a farm of its own; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.chaos")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--packages", type=int, default=30)
    parser.add_argument(
        "--away", type=float, default=60.0, help="seconds for which Redis is away in the middle"
    )
    options = parser.parse_args()
    _say(f"seed {options.seed}, {options.packages} packages, faults for {options.seconds:.0f} s")
    begun = time.monotonic()
    with running_lab() as lab, running_rig(lab, WORKERS) as rig:
        chaos = run_chaos(rig, **vars(options))
        lost, doubled, failed = chaos.lost(), chaos.doubled(), chaos.failed()
    _say("\n".join([*chaos.lines(), *failed, *lost, *doubled]))
    _say(
        f"{len(chaos.names) * len(ARCHES)} images in {time.monotonic() - begun:.0f} s, seed {options.seed}: "
        f"{len(lost)} packages lost, {len(doubled)} builds doubled"
    )
    return 1 if lost or doubled or failed else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command prints


if __name__ == "__main__":
    sys.exit(main())
