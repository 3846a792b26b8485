"""Jobs a second through the real broker, state and workers, where builds do nothing; beside bare chords."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.noop_farm import NoopFarm, running, wait_for, wait_until_done
from benchmarks.noop_worker import bare_app, send_bare
from benchmarks.orders import Figure, make_run
from farm.scheduling.celery_app import make_app
from farm.scheduling.coordinator import submit_run
from farm.trust.orders import sign_run
from lab.machine import ARCHES
from lab.process import descendants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from farm.state.store import Store

_LEAST_RATE, _MOST_GROWTH = 0.7, 1.1


class _Cost(NamedTuple):
    """Of one run."""

    seconds: float
    commands: int
    """That Redis served."""
    memory: int
    """Bytes by which Redis grew."""
    cpu: float
    """Seconds of the workers' processors."""


def rows(packages: int) -> Iterator[Figure]:
    """Runs of some packages and of a tenth of them, by the farm and by bare Celery."""
    few = max(1, packages // 10)
    farm = {count: _measured(count, _farm_run, "farm") for count in (few, packages)}
    bare = _measured(packages, _bare_run, "bare")
    for count, cost in (*farm.items(), (packages, bare)):
        jobs = count * len(ARCHES)
        yield Figure(
            f"{'bare Celery' if cost is bare else 'farm'}, {count} packages for {len(ARCHES)} architectures",
            f"{jobs / cost.seconds:.0f} jobs/s; for each {cost.commands / jobs:.0f} commands of Redis, "
            f"{cost.cpu / jobs * 1000:.1f} ms of workers' processors, {cost.memory / jobs / 1000:.1f} kB",
        )
    rate = bare.seconds / farm[packages].seconds
    yield Figure(
        f"farm's rate beside bare Celery's (limit {_LEAST_RATE})", f"{rate:.2f}{_missed(rate < _LEAST_RATE)}"
    )
    growth = farm[packages].seconds / packages / (farm[few].seconds / few)
    yield Figure(
        f"time for a job, {packages} packages beside {few} (limit {_MOST_GROWTH})",
        f"{growth:.2f}{_missed(growth > _MOST_GROWTH)}",
    )


def _missed(missed: bool) -> str:
    return "  MISSED" if missed else ""


def _measured(packages: int, run: Callable[[NoopFarm, int], float], kind: str) -> _Cost:
    """Measure a run on a Redis and on workers of its own."""
    with running(kind, dict.fromkeys(ARCHES, 1)) as farm:
        before = [_commands(farm.store), _memory(farm.store), _cpu(farm.processes)]
        seconds = run(farm, packages)
        after = [_commands(farm.store), _memory(farm.store), _cpu(farm.processes)]
    return _Cost(seconds, int(after[0] - before[0]), int(after[1] - before[1]), after[2] - before[2])


def _farm_run(farm: NoopFarm, packages: int) -> float:
    ordered = sign_run(make_run(packages), farm.settings)
    started = time.monotonic()
    wait_until_done(submit_run(make_app(farm.settings), farm.store, ordered))
    return time.monotonic() - started


def _bare_run(farm: NoopFarm, packages: int) -> float:
    app = bare_app(farm.url)
    started = time.monotonic()
    send_bare(app, packages)
    # Each build and each publication leaves a result.
    wait_for(lambda: _results(farm.store) >= (len(ARCHES) + 1) * packages)
    return time.monotonic() - started


def _results(store: Store) -> int:
    return sum(1 for _ in store.text.scan_iter("celery-task-meta-*", count=10_000))


def _commands(store: Store) -> int:
    """The commands that Redis has served, those within scripts too."""
    found = store.text.info("commandstats")
    return sum(one["calls"] for name, one in found.items() if name not in ("cmdstat_info", "cmdstat_scan"))


def _memory(store: Store) -> int:
    return int(store.text.info("memory")["used_memory"])


def _cpu(processes: Iterable[int]) -> float:
    """Seconds for which processors worked for these processes and those below them."""
    ticks = 0
    for pid in descendants(*processes):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
