"""A worker's signs of life: what it is, what it has in hand, and whether it takes more."""

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

_LAST_WORDS = 5.0
"""Seconds that a sign of life under way is waited for, so that it does not follow the goodbye."""


class Heartbeat:
    """A thread that tells the farm of this worker every second, and hears whether it is to be drained.

    It falls silent when the worker serves nobody: when its event loop stands still.
    """

    def __init__(self, store: Store, info: WorkerInfo, tap: QueueControl, trouble: Callable[[], str]) -> None:
        self._store = store
        self._info = info
        self._tap = tap
        self._trouble = trouble
        self._ended = threading.Event()
        self._told = True
        self._swept = False
        self._drained = not tap.open
        self._thread = threading.Thread(target=self._run, name="signs of life", daemon=True)

    @property
    def leaving(self) -> bool:
        """Whether the worker was told to end, by a signal or by remote control."""
        return celery_state.should_stop is not None

    def begin(self) -> None:
        """Give the first sign, and go on."""
        self._thread.start()

    def end(self) -> None:
        """Give no more signs, and say goodbye."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_LAST_WORDS)
        try:
            deregister(self._store, self._info.name)
        except FarmError as error:
            log.warning("could not say goodbye: %s", error)

    def _run(self) -> None:
        while not self._ended.is_set():
            if self.leaving or not self._tap.stalled:
                self._tell()
            if not self.leaving:
                self._tap.want(not self._drained)
            self._ended.wait(HEARTBEAT_INTERVAL)

    def _tell(self) -> None:
        now = replace(
            self._info,
            jobs=in_hand(),
            consuming=self._tap.open and not self.leaving,
            leaving=self.leaving,
            trouble=self._trouble(),
        )
        try:
            drained = record_heartbeat(self._store, now)
            if not self._swept:
                forget_silent(self._store)
                self._swept = True
        except FarmError as error:
            if self._told:
                log.warning("no sign of life given: %s", error)
            self._told = False
            return
        if not self._told:
            log.info("signs of life are given again")
        if drained != self._drained:
            log.info("drained: takes no new job" if drained else "resumed: takes jobs again")
        self._told, self._drained = True, drained


def in_hand() -> tuple[RunningJob, ...]:
    """What the pool works on now."""
    found = [_job(request) for request in _requests()]
    return tuple(sorted((job for job in found if job), key=lambda job: job.since))


def _requests() -> tuple[Any, ...]:
    while True:
        try:
            return tuple(celery_state.active_requests)
        except RuntimeError:  # the event loop changed the set while it was read
            continue


def _job(request: Any) -> RunningJob | None:
    words = request.kwargs
    since = request.time_start or 0.0
    if job := words.get("job"):
        return RunningJob(job["run"], job["package"], job["arch"], since)
    return RunningJob(words["run"], words["package"], "", since) if "run" in words else None
