"""The coordinator: starts packages whose dependencies have succeeded, and ends those whose jobs failed.

Each function may be cut off at any line. What it leaves undone is in the state, and the reconciler does it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from farm.errors import CancelledError, FarmError, StateUnavailableError
from farm.model import JobState, PackageState
from farm.scheduling.celery_app import Priority
from farm.scheduling.dispatch import open_chord, send_publication
from farm.scheduling.send_ready import try_to_send_ready
from farm.state import transitions
from farm.state.ready import make_ready
from farm.state.records import JobPatch, failure_of
from farm.state.runs import (
    all_succeeded,
    create_run,
    dependents,
    read_jobs,
    read_package,
    read_work,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from celery import Celery

    from farm.model import PackageWork
    from farm.model.order import OrderedRun
    from farm.state.records import JobRecord
    from farm.state.run_handles import JobHandle, PackageHandle, RunHandle
    from farm.state.store import Store

log = logging.getLogger(__name__)


def submit_run(app: Celery, store: Store, ordered: OrderedRun, *, once: str = "") -> RunHandle:
    """Store a run, then start the packages without dependencies; returns its handle.

    A broker that becomes unavailable once the run is stored is only a warning: a publisher continues the run.
    """
    run, handle = ordered.run, create_run(store, ordered, once=once)
    if handle.id != run.id:
        return handle
    try:
        for work in run.works:
            if not work.needs:
                start_package(app, handle, work)
        try_to_send_ready(app, store)
    except StateUnavailableError as error:
        # Not an error of the submission: pushing again would make a second run of the same packages.
        log.warning("%s is stored, but not all sent: %s; a publisher sends the rest", run.id, error)
    return handle


def start_package(app: Celery, run: RunHandle, work: PackageWork) -> bool:
    """Start a package: its jobs become ready, or its publication is sent; False if that was done.

    `send_ready` sends the jobs, in their turn, and the publication is their callback.
    """
    package = run.package(work.package)
    # First of all, because of two that start a package at once only one gets past this transition. Until
    # `clear_due` the package stays due, so that the reconciler does what the rest does not.
    if not transitions.move_package(package, PackageState.BUILDING, expected_states=[PackageState.WAITING]):
        return False
    handled = run.store.now()
    if not work.jobs:
        send_publication(app, run.id, work, [], Priority.NEW)
        return True
    open_chord(app, run.id, work)
    if not make_ready(package, [job.arch for job in work.jobs]) and settle(package):
        # All jobs were cancelled before.
        return True
    transitions.clear_due(package, handled=handled)
    return True


def queue_job(
    job: JobHandle,
    *,
    expected_states: Collection[JobState],
    expected_token: str = "",
    lost: int = 0,
    resent: int = 0,
) -> JobRecord | None:
    """Record that a job's message is about to be sent; None if the job is not as expected.

    The cleared token keeps a holder that was taken for dead from changing the record.
    """
    return transitions.move_job(
        job,
        JobState.QUEUED,
        JobPatch(token="", lost=lost, resent=resent),
        expected_states=expected_states,
        expected_token=expected_token,
    )


def start_dependents(app: Celery, package: PackageHandle) -> list[str]:
    """Start the dependents of a package whose dependencies have all succeeded; returns their names."""
    # Read first: what becomes due after this is not cleared at the end.
    handled = package.store.now()
    run, started = package.run, []
    for dependent in dependents(package):
        work = read_work(dependent)
        if all_succeeded(run, work.needs) and start_package(app, run, work):
            started.append(dependent.name)
    transitions.clear_due(package, handled=handled)
    if started:
        try_to_send_ready(app, package.store)
    return started


def settle(package: PackageHandle) -> FarmError | None:
    """End a package whose jobs have ended and not all succeeded, and its dependents; returns why."""
    error = failure_of(package.name, read_jobs(package, read_work(package).arches))
    if error:
        end_package(package, error)
    return error


def end_package(package: PackageHandle, error: FarmError) -> None:
    """Fail or cancel a package, and every package of the run that depends on it."""
    if transitions.end_packages(package.run, {package: error}):
        end_dependents(package)


def end_dependents(package: PackageHandle) -> None:
    """End every package of the run that depends on one that did not succeed, however long the chain."""
    unfinished = [package]
    while unfinished:
        unfinished += _end_direct_dependents(unfinished.pop())


def _end_direct_dependents(package: PackageHandle) -> list[PackageHandle]:
    """Returns those that had not ended before; until their own dependents have ended they are due."""
    ended = []
    handled = package.store.now()
    cancelled = read_package(package).state is PackageState.CANCELLED
    for dependent in dependents(package):
        kind = CancelledError if cancelled else FarmError
        error = kind(
            f"{dependent}: needs {package}, which {'was cancelled' if cancelled else 'failed'}",
            hint=f"farm retry {package.run}, once that is fixed",
        )
        # Jobs first: a package that has ended is not looked at again, and its jobs would wait forever.
        jobs = read_work(dependent).jobs
        transitions.cancel_jobs(package.run, {dependent.job(job.arch): error for job in jobs})
        if transitions.end_packages(package.run, {dependent: error}):
            ended.append(dependent)
    transitions.clear_due(package, handled=handled)
    return ended
