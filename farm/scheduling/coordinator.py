"""The coordinator: starts packages whose dependencies have succeeded, and ends those whose jobs failed.

Each function may be cut off at any line. What it leaves undone is in the state, and the reconciler does it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from farm.errors import CancelledError, FarmError, StateUnavailableError
from farm.model import JobState, PackageState
from farm.scheduling.celery_app import Priority
from farm.scheduling.dispatch import open_chords, send_publication
from farm.scheduling.send_ready import try_to_send_ready
from farm.state import transitions
from farm.state.ready import make_ready
from farm.state.records import JobPatch, failure_of
from farm.state.runs import (
    create_run,
    dependents,
    read_jobs,
    read_package,
    read_work,
    read_works,
    succeeded,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from celery import Celery

    from farm.model import PackageWork
    from farm.model.order import OrderedRun
    from farm.state.records import JobRecord
    from farm.state.run_handles import JobHandle, PackageHandle, RunHandle
    from farm.state.store import Store

log = logging.getLogger(__name__)

_AT_ONCE = 500
"""Packages that are started in the same round trips."""


def submit_run(app: Celery, store: Store, ordered: OrderedRun, *, once: str = "") -> RunHandle:
    """Store a run, then start the packages without dependencies; returns its handle.

    A broker that becomes unavailable once the run is stored is only a warning: a publisher continues the run.
    """
    run, handle = ordered.run, create_run(store, ordered, once=once)
    if handle.id != run.id:
        return handle
    try:
        start_packages(app, handle, [work for work in run.works if not work.needs])
        try_to_send_ready(app, store)
    except StateUnavailableError as error:
        # Not an error of the submission: pushing again would make a second run of the same packages.
        log.warning("%s is stored, but not all sent: %s; a publisher sends the rest", run.id, error)
    return handle


def start_packages(app: Celery, run: RunHandle, works: Sequence[PackageWork]) -> list[PackageHandle]:
    """Start packages: their jobs become ready, or their publications are sent.

    `send_ready` sends the jobs, in their turn, and the publication is their callback. Returns the packages
    that were started here, without those that had been started before.
    """
    parts = (works[at : at + _AT_ONCE] for at in range(0, len(works), _AT_ONCE))
    return [package for part in parts for package in _start(app, run, part)]


def _start(app: Celery, run: RunHandle, works: Sequence[PackageWork]) -> list[PackageHandle]:
    known = {run.package(work.package): work for work in works}
    # First of all, because of two that start a package at once only one gets past this transition. Until
    # `clear_due` the package stays due, so that the reconciler does what the rest does not.
    started = transitions.start_packages(run, list(known))
    if not started:
        return []
    handled = run.store.now()
    for package in started:
        if not known[package].jobs:
            send_publication(app, run.id, known[package], [], Priority.NEW)
    building = {package: known[package] for package in started if known[package].jobs}
    open_chords(app, run.id, building.values())
    ready = make_ready(run, {package: [job.arch for job in work.jobs] for package, work in building.items()})
    # Without a job that waits, all were cancelled before.
    ended = {package for package in building if package not in ready and settle(package)}
    transitions.clear_due(run, building.keys() - ended, handled=handled)
    return started


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


def start_dependents(app: Celery, package: PackageHandle) -> list[PackageHandle]:
    """Start the dependents of a package whose dependencies have all succeeded; returns them."""
    # Read first: what becomes due after this is not cleared at the end.
    handled = package.store.now()
    run = package.run
    works = read_works(run, [dependent.name for dependent in dependents(package)])
    built = succeeded(run, (need for work in works for need in work.needs))
    started = start_packages(app, run, [work for work in works if built.issuperset(work.needs)])
    transitions.clear_due(run, [package], handled=handled)
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
    transitions.clear_due(package.run, [package], handled=handled)
    return ended
