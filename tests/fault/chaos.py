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
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from farm.model import RunState
from farm.state import runs
from farm.state.run_handles import RunHandle
from farm.state.runs import read_run
from lab.lab import running_lab
from tests.fault.outcome import check_images, plan_of
from tests.fault.rig import ARCHES, LEASE, Backend, Rig, running_rig
from tests.support.farm_command import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from tests.fault.process import Process

EVERY = 2.0
"""Seconds between two faults."""
WORKERS = (*(f"{arch}-{number}" for arch in ARCHES for number in (1, 2)), "publish-1", "publish-2")
_COORDINATOR = "push-chaos"
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
    pauses: threading.Event = field(default_factory=threading.Event)
    """Never set; a fault that lasts waits on it."""
    last: int = 0
    """Exit code of the push after the last fault."""
    _struck: set[str] = field(default_factory=set)
    """Processes that a fault affects at the moment."""

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
        faults: list[Callable[[], str | None]] = [
            self._kill_child,
            self._kill_child,
            self._kill_worker,
            self._kill_worker,
            self._freeze,
            self._freeze,
            self._cut,
            self._cut,
            self._kill_redis,
            self._kill_coordinator,
        ]
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(16) as pool:
            lasting: list[Future[str | None]] = []
            while time.monotonic() < until:
                lasting.append(pool.submit(self.random.choice(faults)))
                self.pauses.wait(EVERY)
            self.survived.update(name for one in lasting if (name := one.result()))

    def _victim(self) -> Process | None:
        free = [one for one in self.rig.workers if one.name not in self._struck and one.running]
        if not free:
            return None
        victim = self.random.choice(free)
        self._struck.add(victim.name)
        return victim

    def _kill_child(self) -> str | None:
        victim = self._victim()
        if victim is None:
            return None
        victim.kill_child()
        self._struck.discard(victim.name)
        return "kill -9 of a child"

    def _kill_worker(self) -> str | None:
        victim = self._victim()
        if victim is None:
            return None
        victim.kill()
        # As a supervisor does: while Redis is away, a worker ends when it starts.
        while not victim.start().comes_up():
            self.pauses.wait(1)
        self._struck.discard(victim.name)
        return f"kill -9 of a {'publisher' if victim.name.startswith('publish') else 'worker'}"

    def _freeze(self) -> str | None:
        victim = self._victim()
        if victim is None:
            return None
        victim.freeze()
        self.pauses.wait(self.random.uniform(0.5, 2.5) * LEASE)
        victim.thaw()
        self._struck.discard(victim.name)
        return f"a {'publisher' if victim.name.startswith('publish') else 'worker'} frozen, then thawed"

    def _cut(self) -> str | None:
        victim = self._victim()
        if victim is None:
            return None
        other = Backend.NOTARY if victim.name.startswith("publish") else Backend.ENGINE
        backend = self.random.choice([Backend.REDIS, other])
        proxy = self.rig.proxy(victim.name, backend)
        proxy.cut()
        self.pauses.wait(self.random.uniform(0.5, 2) * LEASE)
        proxy.mend()
        self._struck.discard(victim.name)
        return f"connections to {backend} cut, then restored"

    def _kill_redis(self) -> str | None:
        if "redis" in self._struck:
            return None
        self._struck.add("redis")
        self.rig.kill_redis()
        self.pauses.wait(self.random.uniform(0, 2) * LEASE)
        self.rig.redis.start()
        self._struck.discard("redis")
        return "kill -9 of Redis, then started again"

    def keep_redis_away(self, seconds: float) -> None:
        """Kill Redis, and start it again after some seconds."""
        self.rig.kill_redis()
        self.pauses.wait(seconds)
        self.rig.redis.start()
        self.survived[f"Redis away for {seconds:.0f} s"] += 1

    def _kill_coordinator(self) -> str | None:
        push = self.rig.processes[_COORDINATOR]
        if _COORDINATOR in self._struck or not push.running:
            return None
        self._struck.add(_COORDINATOR)
        push.kill()
        push.start()
        self._struck.discard(_COORDINATOR)
        return "kill -9 of farm push, then again"

    def settle(self) -> None:
        """Wait until no run is open; then push again, as a user who finds `farm push` dead does."""
        wait_until(lambda: not self._runs(RunState.OPEN), _LIMIT)
        self.rig.processes[_COORDINATOR].wait(_LIMIT)
        self.last = self.rig.processes[_COORDINATOR].start().wait(_LIMIT)

    def _runs(self, state: RunState) -> list[str]:
        return [row["run"] for row in runs.list_runs(self.rig.store, 1000) if row["state"] == state]

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
        plan = plan_of(self.rig, self.references)
        for reference, found in plan.items():
            if found["why"] == "published and signed":
                check_images(self.rig, reference, found["index"]["digest"])
        return [
            f"{reference}: {found['why']}"
            for reference, found in plan.items()
            if found["why"] != "published and signed"
        ]

    def doubled(self) -> list[str]:
        """Builds that started although their image had been pushed."""
        return [
            f"{reference} {arch} on {build.process}"
            for reference in self.references
            for arch in ARCHES
            for build in self.rig.needless_builds(reference, arch)
        ]

    def lines(self) -> list[str]:
        """The table of survived faults."""
        rows = [f"  {name:<40} {count:4}" for name, count in sorted(self.survived.items())]
        return ["faults survived", *rows, f"  {'total':<40} {self.survived.total():4}"]


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
    with ExitStack() as stack:
        rig = stack.enter_context(running_rig(stack.enter_context(running_lab()), WORKERS))
        chaos = run_chaos(
            rig, seed=options.seed, seconds=options.seconds, packages=options.packages, away=options.away
        )
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
