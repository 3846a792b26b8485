"""Real Redis: each test has a database of its own, which is empty before and after."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from farm.scheduling import coordinator
from farm.scheduling.celery_app import make_app
from farm.scheduling.reconciler import keep_reconciling, reconcile
from farm.scheduling.send_ready import send_ready
from farm.settings import Secret, Settings
from farm.state.run_handles import RunHandle
from farm.state.runs import read_jobs, read_work
from farm.state.store import OPEN_RUNS, Store
from tests.support.values import ordered, run_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

    from farm.model import PackageWork
    from farm.state.records import JobRecord
    from farm.state.run_handles import PackageHandle
    from lab.lab import Lab

KEEP = 600.0
"""Seconds for which a run that has ended is kept."""
# Acceptance tests count from 1 upwards; the lab's Redis has 1000.
_numbers = itertools.count(999, -1)


@pytest.fixture
def redis_url(lab: Lab) -> Iterator[str]:
    """The URL of an empty database."""
    url = f"{lab.redis_url.rpartition('/')[0]}/{next(_numbers)}"
    with Redis.from_url(url) as redis:
        redis.flushdb()
        yield url
        redis.flushdb()


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    """The state in that database."""
    store = Store(Secret(redis_url))
    yield store
    store.close()


class Farm:
    """A farm without workers: the state, the real broker with its queues, and a coordinator."""

    def __init__(self, app: Celery, store: Store) -> None:
        self.app = app
        self.store = store
        self.r1 = RunHandle(store, "r1")
        self.foo = self.r1.package("linuxkit/foo")
        self.bar = self.r1.package("linuxkit/bar")
        self.job = self.foo.job("amd64")

    @property
    def record(self) -> JobRecord:
        """The record of foo's job for amd64."""
        return read_jobs(self.foo, ["amd64"])[0]

    def submit(self, *works: PackageWork, run: str = "r1") -> None:
        """Submit a run."""
        coordinator.submit_run(self.app, self.store, ordered(run_of(*works, run=run)))

    def start(self, package: PackageHandle) -> bool:
        """Start a package, and send its jobs."""
        started = coordinator.start_packages(self.app, package.run, [read_work(package)])
        send_ready(self.app, self.store)
        return bool(started)

    def reconcile(
        self, *runs: str, after: float = 60.0, steady: bool = True, reported: set[str] | None = None
    ) -> int:
        """Reconcile once, after a time without any change of r1 or these runs; returns the steps taken."""
        for run in runs or ("r1",):
            let_time_pass(self.store, run, after)
        return reconcile(self.app, self.store, keep=KEEP, steady=steady, reported=reported)

    def take(self, queue: str) -> list[dict[str, Any]]:
        """Remove every message from a queue; returns them as {task, args, kwargs, shown}."""
        taken = []
        with self.app.connection_for_read() as connection, connection.channel() as opened:
            channel: Any = opened
            while message := channel.basic_get(queue, no_ack=True):
                args, kwargs, _ = message.decode()
                facts = {"task": message.headers["task"], "shown": message.headers["kwargsrepr"]}
                taken.append({**facts, "args": args, "kwargs": kwargs})
        return taken

    def arches(self, *arches: str) -> list[str]:
        """Remove the jobs from these architectures' queues; returns PACKAGE ARCH of each."""
        jobs = [message["kwargs"] for arch in arches for message in self.take(f"build.{arch}")]
        return [f"{job['package']} {job['arch']}" for job in jobs]

    def indexes(self) -> list[str]:
        """Remove the publications from their queue; returns the packages."""
        return [message["kwargs"]["package"] for message in self.take("publish")]


@pytest.fixture
def farm(redis_url: str, store: Store) -> Iterator[Farm]:
    """A farm in the same database."""
    app: Any = make_app(Settings(broker=Secret(redis_url)))
    yield Farm(app, store)
    app.backend.client.close()
    app.close()


@contextmanager
def reconciling(farm: Farm, publishers: int = 1) -> Iterator[None]:
    """Some publishers that reconcile as long as the body runs."""
    stop = threading.Event()
    with ThreadPoolExecutor(publishers) as pool:
        running = [
            pool.submit(keep_reconciling, farm.app, farm.store, name=f"p{number}", keep=KEEP, stop=stop)
            for number in range(publishers)
        ]
        try:
            yield
        finally:
            stop.set()
        for one in running:
            one.result()


def let_time_pass(store: Store, run: str, seconds: float = 60.0) -> None:
    """Let everything in a run that waits have waited longer."""
    for key in (OPEN_RUNS, *store.text.scan_iter(f"farm:{{{run}}}:*", _type="zset")):
        waiting: Any = store.text.zrange(key, 0, -1, withscores=True)
        for member, since in waiting:
            store.text.zadd(key, {member: since - seconds})
