"""A worker's heartbeats: what it is, which jobs are in progress, and whether it accepts more."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery.worker import state as celery_state

from farm.errors import FarmError
from farm.state.workers import (
    HEARTBEAT_INTERVAL,
    RunningJob,
    WorkerInfo,
    deregister,
    forget_silent,
    record_heartbeat,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.state.store import Store
    from workers.queue_control import QueueControl

log = logging.getLogger("farm.worker")

_JOIN_TIMEOUT = 5.0
"""Seconds to wait for a heartbeat that is being sent: it must not register the worker again."""


class Heartbeat:
    """A thread that reports this worker every second, and learns whether it is to be drained.

    It stops while Celery's event loop hangs, because the worker accepts no job then.
    """

    def __init__(
        self,
        store: Store,
        info: WorkerInfo,
        queues: QueueControl,
        find_trouble: Callable[[], str],
    ) -> None:
        self._store = store
        self._info = info
        self._queues = queues
        self._find_trouble = find_trouble
        self._stopped = threading.Event()
        self._last_sent = True
        self._forgot_silent = False
        self._drained = not queues.open
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    @property
    def leaving(self) -> bool:
        """Whether the worker is shutting down, because of a signal or by remote control."""
        return celery_state.should_stop is not None

    def start(self) -> None:
        """Send the first heartbeat, and go on."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more heartbeats, and deregister the worker."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_JOIN_TIMEOUT)
        try:
            deregister(self._store, self._info.name)
        except FarmError as error:
            log.warning("could not deregister: %s", error)

    def _run(self) -> None:
        while not self._stopped.is_set():
            if self.leaving or not self._queues.stalled:
                self._send()
            if not self.leaving:
                self._queues.request(open_=not self._drained)
            self._stopped.wait(HEARTBEAT_INTERVAL)

    def _send(self) -> None:
        try:
            drained = record_heartbeat(self._store, self._describe())
            if not self._forgot_silent:
                forget_silent(self._store)
                self._forgot_silent = True
        except Exception as error:
            # Whatever it is, the thread must go on: without it the worker works, but cannot be drained.
            if self._last_sent:
                log.warning("heartbeat not sent: %s", error, exc_info=not isinstance(error, FarmError))
            self._last_sent = False
            return
        if not self._last_sent:
            log.info("heartbeats are sent again")
        if drained != self._drained:
            log.info("drained: accepts no new job" if drained else "resumed: accepts jobs again")
        self._last_sent, self._drained = True, drained

    def _describe(self) -> WorkerInfo:
        return replace(
            self._info,
            jobs=jobs_in_progress(),
            consuming=self._queues.open and not self.leaving,
            leaving=self.leaving,
            trouble=self._find_trouble(),
        )


def jobs_in_progress() -> tuple[RunningJob, ...]:
    """The jobs and publications that the pool works on, oldest first."""
    jobs = [_job(request) for request in _requests()]
    return tuple(sorted((job for job in jobs if job), key=lambda job: job.since))


def _requests() -> tuple[Any, ...]:
    while True:
        try:
            return tuple(celery_state.active_requests)
        except RuntimeError:  # the event loop changed the set while it was read
            continue


def _job(request: Any) -> RunningJob | None:
    arguments = request.kwargs
    since = request.time_start or 0.0
    if not {"run", "package"} <= arguments.keys():
        return None
    return RunningJob(arguments["run"], arguments["package"], arguments.get("arch", ""), since)
