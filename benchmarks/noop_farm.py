"""A Redis with workers that build nothing, of the farm or of bare Celery: see `benchmarks.noop_worker`."""

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

from benchmarks.noop_worker import PUBLISHES, URL, bare_app
from benchmarks.orders import redis_server
from farm.model import RunState
from farm.private_farm.own_keys import ensure_own_trust
from farm.settings import Secret, Settings
from farm.state.store import Store
from farm.state.workers import workers
from lab.demo import clean_environment
from lab.machine import ROOT
from lab.process import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from farm.state.run_handles import RunHandle

_LIMIT = 3600.0


class NoopFarm(NamedTuple):
    """What a benchmark uses of it."""

    url: str
    """Of Redis."""
    store: Store
    settings: Settings
    """With which runs are ordered."""
    processes: list[int]
    """The workers."""


@contextmanager
def running(kind: str, slots: Mapping[str, int]) -> Iterator[NoopFarm]:
    """A worker of `farm` or `bare` for each architecture, with some slots, and one that publishes."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="farm-b")))
        url = stack.enter_context(redis_server(home))
        store = stack.enter_context(closing(Store(Secret(url))))
        trust = ensure_own_trust(home / "keys")
        variables = clean_environment() | {
            "FARM_CONFIG": os.devnull,
            URL: url,
            "FARM_SIGN": "false",
            "FARM_POLICY": str(trust.policy),
            "FARM_ORDER_KEY": str(trust.order_key),
            "FARM_WORKER_KEY": str(trust.worker_key),
        }
        roles = {**slots, PUBLISHES: 1}
        processes = stack.enter_context(_workers(kind, variables, home, roles))
        wait_for(lambda: _up(kind, url, store) == len(roles))
        settings = Settings(broker=Secret(url), policy=trust.policy, order_key=trust.order_key)
        yield NoopFarm(url, store, settings, processes)


def wait_until_done(run: RunHandle) -> None:
    """Wait until all packages of a run are published."""
    wait_for(lambda: run.store.text.hget(run.key("meta"), "state") == RunState.DONE)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for a condition; LabError if it does not become true."""
    end = time.monotonic() + _LIMIT
    while not condition():
        if time.monotonic() > end:
            raise LabError("the run does not end")
        time.sleep(0.05)


def _up(kind: str, url: str, store: Store) -> int:
    return len(workers(store) if kind == "farm" else bare_app(url).control.ping(timeout=1.0) or [])


@contextmanager
def _workers(
    kind: str, variables: Mapping[str, str], home: Path, roles: Mapping[str, int]
) -> Iterator[list[int]]:
    command = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "benchmarks.noop_worker", kind]
    processes = []
    with ExitStack() as stack:
        for role, slots in roles.items():
            output = stack.enter_context((home / f"{role}.log").open("wb"))
            words, own = [*command, role], {**variables, "FARM_CONCURRENCY": str(slots)}
            process = stack.enter_context(
                subprocess.Popen(words, cwd=ROOT, env=own, stdout=output, stderr=output)
            )
            stack.callback(process.send_signal, signal.SIGTERM)
            processes.append(process.pid)
        yield processes
