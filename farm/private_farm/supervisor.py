"""The private farm as a process: a Redis, and once wanted its workers; `python -m farm.private_farm`.

It holds on while somebody uses it or a run is open, and then takes itself down, so that a `farm push` that
was interrupted, even killed, leaves its run going and no process behind when that has ended.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.builders.docker_engine import Engine
from farm.errors import FarmError, StateUnavailableError
from farm.monitor.flower_launch import flower_command, flower_environment
from farm.private_farm.child_processes import Child, redis_child, stop, why_ended, worker_child
from farm.private_farm.state_directory import StateDirectory
from farm.settings import child_environment
from farm.state.runs import count_open_runs
from farm.state.store import Store
from farm.state.workers import workers

if TYPE_CHECKING:
    from farm.settings import Settings

log = logging.getLogger("farm.private_farm")

_TICK = 0.2
_REDIS_WAIT = 10.0
_MOST_SLOTS = 4


class Supervisor:
    """Starts and watches the processes of a farm on this machine."""

    def __init__(self, settings: Settings) -> None:
        self.place = StateDirectory.at(settings.state_dir)
        self.own_redis = settings.broker is None
        self.given = settings
        self.settings = replace(settings, broker=settings.broker or self.place.broker)
        self.children: list[Child] = []
        self.workers: list[Child] = []
        self.flower: Child | None = None
        self.stopped = threading.Event()
        self.store: Store | None = None

    def run(self) -> int:
        """Be the farm until told to stop, or until nobody needs it; returns the exit code."""
        lock = self.place.supervise()
        if lock is None:
            return 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopped.set())
        try:
            self._start()
            self._watch()
        except FarmError as error:
            self.place.tell_failure(error)
            log.error("%s", error)  # noqa: TRY400 - one sentence is what the farm's errors are
            return error.exit_code
        finally:
            self._end()
            os.close(lock)
        return 0

    def _start(self) -> None:
        self.place.failure.unlink(missing_ok=True)
        marks = (self.place.wanted, self.place.flower)
        for left in (self.place.up, *(() if self.place.kept.exists() else marks)):
            left.unlink(missing_ok=True)
        self.place.pid.write_text(str(os.getpid()))
        self.place.tell_fingerprint(self.given)
        if self.own_redis:
            child = redis_child(self.place.directory, self.place.socket, self.place.logs / "redis.log")
            child.start()
            self.children.append(child)
        self.store = self._connect()

    def _connect(self) -> Store:
        assert self.settings.broker is not None  # noqa: S101 - __init__ has set it
        store = Store(self.settings.broker)
        deadline = time.monotonic() + _REDIS_WAIT
        while True:
            try:
                store.ping()
            except StateUnavailableError:
                if time.monotonic() > deadline or self.stopped.is_set():
                    raise
                time.sleep(0.02)
            else:
                return store

    def _watch(self) -> None:
        unused: int | None = None
        while not self.stopped.wait(_TICK):
            if not self.workers and self.place.wanted.exists():
                self._start_workers()
            if not self.flower and self.place.flower.exists():
                self._start_flower()
            for child in self.children:
                child.revive()
            self._watch_workers()
            if not self.place.kept.exists() and (unused := self.place.unused()) is not None:
                if self._idle():
                    return
                os.close(unused)

    def _idle(self) -> bool:
        if self.store is None or not self.own_redis:
            return True
        try:
            return count_open_runs(self.store) == 0
        except StateUnavailableError:
            return False

    def _start_workers(self) -> None:
        """One worker for all that the engine can build here, one that publishes."""
        certs, timeout = self.settings.engine_certs, self.settings.http_timeout
        with Engine.connect(self.settings.engine, certs=certs, timeout=timeout) as engine:
            elsewhere = (platform.removeprefix("linux/") for platform, _ in self.settings.builders)
            arches = list(dict.fromkeys((engine.info().architecture, *engine.emulated(), *elsewhere)))
        slots = max(self.settings.concurrency, min(os.cpu_count() or 1, _MOST_SLOTS))
        builder = replace(self.settings, emulate=True, concurrency=slots)
        # The builder never sees the signing key's passphrase.
        builder = replace(
            builder,
            signing_key=None,
            signing_passphrase=None,
            signing_passphrase_command=None,
            root_passphrase=None,
        )
        publisher = replace(self.settings, concurrency=1)
        logs = self.place.logs
        self.workers = [
            worker_child(arches, publish=False, logs=logs, environment=child_environment(builder)),
            worker_child((), publish=True, logs=logs, environment=child_environment(publisher)),
        ]
        for child in self.workers:
            child.start()

    def _start_flower(self) -> None:
        settings = replace(self.settings, flower_port=int(self.place.flower.read_text()))
        log_file = self.place.logs / "flower.log"
        self.flower = Child("flower", flower_command(), log_file, flower_environment(settings))
        self.flower.start()
        self.children.append(self.flower)

    def _watch_workers(self) -> None:
        """Start a dead worker again; one that never came up says why, and ends the farm."""
        if not self.workers or (self.place.up.exists() and all(child.running for child in self.workers)):
            return
        assert self.store is not None  # noqa: S101 - _start has set it
        present = {worker.name for worker in workers(self.store)}
        for child in self.workers:
            if not child.running and not self.place.up.exists():
                raise why_ended(child)
            child.revive()
        if all(child.name in present for child in self.workers):
            self.place.up.touch()

    def _end(self) -> None:
        stop(self.workers)
        stop(self.children)
        if self.store:
            self.store.close()
        for left in (self.place.up, self.place.wanted, self.place.flower, self.place.kept):
            left.unlink(missing_ok=True)
        self.place.pid.unlink(missing_ok=True)
