"""The supervisor of the private farm, `python -m farm.private_farm`: Redis, and on demand workers and Flower.

It stops when no command uses the farm and no run is open. So a `farm push` that was interrupted, or even
killed, leaves its run going, and no process is left when the run has ended.
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
from farm.settings import child_environment, without_signing_keys
from farm.state.run_list import count_open_runs
from farm.state.store import Store
from farm.state.workers import workers
from farm.system.locks import try_lock

if TYPE_CHECKING:
    from farm.settings import Settings

log = logging.getLogger("farm.private_farm")

_TICK = 0.2
"""Seconds between two checks of processes and users."""
_REDIS_TIMEOUT = 10.0
"""Seconds that Redis gets to start."""
_MAX_SLOTS = 4


class Supervisor:
    """Starts and watches the processes of a farm on this machine."""

    def __init__(self, settings: Settings) -> None:
        self.directory = StateDirectory.at(settings.state_dir)
        self.own_redis = settings.broker is None
        self.given = settings
        broker = settings.broker or self.directory.broker
        self.settings = replace(settings, broker=broker)
        self.store = Store(broker)
        self.children: list[Child] = []
        self.workers: list[Child] = []
        self.flower: Child | None = None
        self.stopped = threading.Event()

    def run(self) -> int:
        """Keep the farm up until a signal comes or nobody needs it; returns the exit code."""
        lock = try_lock(self.directory.supervisor_lock)
        if lock is None:
            # Two commands started one each: the other supervisor serves both.
            return 0
        # That of a supervisor that was killed: another process may have it by now.
        os.ftruncate(lock, 0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopped.set())
        try:
            self._start()
            self._watch()
        except FarmError as error:
            self.directory.write_failure(error)
            log.error("%s", error)  # noqa: TRY400 - an expected error needs no traceback
            return error.exit_code
        finally:
            self._end()
            os.close(lock)
        return 0

    def _start(self) -> None:
        self.directory.failure.unlink(missing_ok=True)
        # A killed supervisor leaves its markers; those of a farm that stays up say what to start again.
        wanted = (self.directory.workers_wanted, self.directory.flower_wanted)
        for marker in (self.directory.workers_up, *(() if self.directory.stay_up.exists() else wanted)):
            marker.unlink(missing_ok=True)
        self.directory.supervisor_lock.write_text(str(os.getpid()))
        self.directory.write_fingerprint(self.given)
        if self.own_redis:
            self.children.append(redis_child(self.directory))
            self.children[0].start()
        self._wait_for_redis()

    def _wait_for_redis(self) -> None:
        deadline = time.monotonic() + _REDIS_TIMEOUT
        while True:
            try:
                self.store.ping()
            except StateUnavailableError:
                # Redis also refuses commands while it loads its append-only file.
                if time.monotonic() > deadline or self.stopped.is_set():
                    raise
                time.sleep(0.02)
            else:
                return

    def _watch(self) -> None:
        while not self.stopped.wait(_TICK):
            if not self.workers and self.directory.workers_wanted.exists():
                self._start_workers()
            if not self.flower and self.directory.flower_wanted.exists():
                self._start_flower()
            for child in self.children:
                child.revive()
            self._watch_workers()
            if self.directory.stay_up.exists() or (lock := try_lock(self.directory.users_lock)) is None:
                continue
            if self._idle():
                # Keep the lock until this process ends: a command that comes now waits for that, and then
                # starts a farm of its own instead of using one that is about to stop.
                return
            os.close(lock)

    def _idle(self) -> bool:
        """Whether no run is open; those of a shared broker do not count."""
        if not self.own_redis:
            return True
        try:
            return count_open_runs(self.store) == 0
        except StateUnavailableError:
            return False

    def _start_workers(self) -> None:
        """Start one worker for all architectures that this machine can build, and one publisher."""
        certs, timeout = self.settings.engine_certs, self.settings.http_timeout
        with Engine.connect(self.settings.engine, certs=certs, timeout=timeout) as engine:
            elsewhere = (platform.removeprefix("linux/") for platform, _ in self.settings.builders)
            arches = list(dict.fromkeys((engine.info().architecture, *engine.emulated(), *elsewhere)))
        # More than processors: a build waits for the registry and for the network, too.
        slots = max(self.settings.concurrency, min(2 * (os.cpu_count() or 1), _MAX_SLOTS))
        # A build runs code of its package: keep the keys from the process that builds.
        builder = replace(without_signing_keys(self.settings), emulate=True, concurrency=slots)
        publisher = replace(self.settings, concurrency=1, order_key=None, worker_key=None)
        logs = self.directory.logs
        self.workers = [
            worker_child(arches, publish=False, logs=logs, environment=child_environment(builder)),
            worker_child((), publish=True, logs=logs, environment=child_environment(publisher)),
        ]
        for child in self.workers:
            child.start()

    def _start_flower(self) -> None:
        settings = replace(self.settings, flower_port=int(self.directory.flower_wanted.read_text()))
        log_file = self.directory.logs / "flower.log"
        self.flower = Child("flower", flower_command(), log_file, flower_environment(settings))
        self.flower.start()
        self.children.append(self.flower)

    def _watch_workers(self) -> None:
        """Restart a worker that ended; the error of one that never came up ends the farm."""
        if not self.workers or (
            self.directory.workers_up.exists() and all(child.running for child in self.workers)
        ):
            return
        present = {worker.name for worker in workers(self.store)}
        for child in self.workers:
            if not child.running and not self.directory.workers_up.exists():
                raise why_ended(child)
            child.revive()
        if all(child.name in present for child in self.workers):
            self.directory.workers_up.touch()

    def _end(self) -> None:
        # Workers first: they hand their jobs back through Redis.
        stop(self.workers)
        stop(self.children)
        self.store.close()
        own = self.directory
        for file in (own.workers_up, own.workers_wanted, own.flower_wanted, own.stay_up):
            file.unlink(missing_ok=True)
        own.supervisor_lock.write_text("")
