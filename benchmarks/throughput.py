"""Jobs a second through the real broker, state and workers, where builds do nothing; beside bare chords."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.noop_worker import PUBLISHES, URL, bare_app, send_bare
from benchmarks.orders import Figure, make_run, redis_server
from farm.model.states import RunState
from farm.private_farm.own_keys import ensure_own_trust
from farm.scheduling.celery_app import make_app
from farm.scheduling.coordinator import submit_run
from farm.settings import Secret, Settings
from farm.state.store import Store
from farm.state.workers import workers
from farm.trust.orders import sign_run
from lab.demo import clean_environment
from lab.machine import ARCHES, ROOT
from lab.process import LabError, descendants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_LIMIT = 3600.0
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


def _measured(packages: int, run: Callable[[str, Store, int, Path], float], kind: str) -> _Cost:
    """Measure a run on a Redis and on workers of its own."""
    with (
        TemporaryDirectory(prefix="farm-b") as name,
        redis_server(Path(name)) as url,
        closing(Store(Secret(url))) as store,
    ):
        trust = ensure_own_trust(Path(name, "keys"))
        variables = clean_environment() | {
            "FARM_CONFIG": os.devnull,
            URL: url,
            "FARM_SIGN": "false",
            "FARM_POLICY": str(trust.policy),
            "FARM_ORDER_KEY": str(trust.order_key),
            "FARM_WORKER_KEY": str(trust.worker_key),
        }
        with _workers(kind, variables, Path(name)) as processes:
            _wait(lambda: _are_up(kind, url, store))
            before = [_commands(store), _memory(store), _cpu(processes)]
            seconds = run(url, store, packages, Path(name))
            after = [_commands(store), _memory(store), _cpu(processes)]
        return _Cost(seconds, int(after[0] - before[0]), int(after[1] - before[1]), after[2] - before[2])


def _farm_run(url: str, store: Store, packages: int, home: Path) -> float:
    trust = ensure_own_trust(home / "keys")
    settings = Settings(broker=Secret(url), policy=trust.policy, order_key=trust.order_key)
    ordered = sign_run(make_run(packages), settings)
    started = time.monotonic()
    run = submit_run(make_app(settings), store, ordered)
    _wait(lambda: store.text.hget(run.key("meta"), "state") == RunState.DONE)
    return time.monotonic() - started


def _bare_run(url: str, store: Store, packages: int, _home: Path) -> float:
    app = bare_app(url)
    started = time.monotonic()
    send_bare(app, packages)
    # Each build and each publication leaves a result, the chords nothing.
    _wait(lambda: int(store.text.dbsize()) >= (len(ARCHES) + 1) * packages)
    return time.monotonic() - started


def _are_up(kind: str, url: str, store: Store) -> bool:
    roles = len(ARCHES) + 1
    if kind == "farm":
        return len(workers(store)) == roles
    return len(bare_app(url).control.ping(timeout=1.0) or []) == roles


@contextmanager
def _workers(kind: str, variables: Mapping[str, str], home: Path) -> Iterator[list[int]]:
    """Start a worker for each architecture, and one that publishes; yields their process ids."""
    command = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "benchmarks.noop_worker", kind]
    processes = []
    with ExitStack() as stack:
        for role in (*ARCHES, PUBLISHES):
            output = stack.enter_context((home / f"{role}.log").open("wb"))
            process = stack.enter_context(
                subprocess.Popen([*command, role], cwd=ROOT, env=variables, stdout=output, stderr=output)
            )
            stack.callback(process.send_signal, signal.SIGTERM)
            processes.append(process.pid)
        yield processes


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _LIMIT
    while not condition():
        if time.monotonic() > end:
            raise LabError("the run does not end")
        time.sleep(0.05)


def _commands(store: Store) -> int:
    """The commands that Redis has served, those within scripts too."""
    found = store.text.info("commandstats")
    return sum(one["calls"] for name, one in found.items() if name != "cmdstat_info")


def _memory(store: Store) -> int:
    return int(store.text.info("memory")["used_memory"])


def _cpu(processes: Iterable[int]) -> float:
    """Seconds for which processors worked for these processes and those below them."""
    ticks = 0
    for pid in descendants(*processes):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
