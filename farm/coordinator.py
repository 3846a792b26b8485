"""A plan becomes chords: one for each package whose needs stand, the rest as their needs land."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from celery import chord
from kombu.exceptions import OperationalError

from farm.errors import FarmError, StateUnavailableError
from farm.model import JobState, PackageState
from farm.queue import BUILD, PUBLISH, PUBLISH_QUEUE, SETTLE, build_queue
from farm.state import runs
from farm.state.records import failure_of

if TYPE_CHECKING:
    from celery import Celery
    from celery.canvas import Signature

    from farm.model import Job, PackageWork, Run
    from farm.state.store import Store

log = logging.getLogger(__name__)


def submit(app: Celery, store: Store, run: Run) -> None:
    """Store a run, then start each package that waits for no other.

    Raises:
        StateUnavailableError: Redis went away; what was stored is taken up again by the next submission.
    """
    runs.create_run(store, run)
    for work in run.works:
        if not work.needs:
            start(app, store, run.id, work)


def start(app: Celery, store: Store, run: str, work: PackageWork) -> bool:
    """Send the builds of one package, and its manifest behind them; False where somebody did so before."""
    if not runs.move_package(
        store, run, work.package, PackageState.BUILDING, come_from=[PackageState.WAITING]
    ):
        return False
    for job in work.jobs:
        runs.move_job(store, run, work.package, job.arch, JobState.QUEUED, come_from=[JobState.WAITING])
    try:
        _send(app, run, work)
    except OperationalError as error:
        raise StateUnavailableError(f"the broker does not answer: {error}") from error
    return True


def _send(app: Celery, run: str, work: PackageWork) -> None:
    callback = publish_signature(app, run, work)
    if work.jobs:
        chord([build_signature(app, job) for job in work.jobs], app=app)(callback)
    else:
        callback.clone(args=([],)).apply_async()


def build_signature(app: Celery, job: Job) -> Signature[Any]:
    """The task that builds one architecture, routed to that architecture's queue."""
    return app.signature(
        BUILD,
        kwargs={"job": job.to_json()},
        options={"queue": build_queue(job.arch), "shadow": job.title, "kwargsrepr": job.title},
    )


def publish_signature(app: Celery, run: str, work: PackageWork) -> Signature[Any]:
    """The callback that publishes and signs; its errback settles the package when a build did not land."""
    title = f"{work.reference.short} index"
    options = {"queue": PUBLISH_QUEUE, "shadow": title, "kwargsrepr": title}
    settle = app.signature(
        SETTLE,
        kwargs={"run": run, "package": work.package},
        options={**options, "shadow": f"{work.reference.short} settle"},
        immutable=True,
    )
    callback = app.signature(PUBLISH, kwargs={"run": run, "package": work.package}, options=options)
    return callback.on_error(settle)


def resend(app: Celery, message: str) -> None:
    """Send a task again that waited for a lease, as the very task that it was."""
    app.signature(json.loads(message)).apply_async()


def landed(app: Celery, store: Store, run: str, package: str) -> list[str]:
    """Start the packages that waited for this one and now wait for nothing; returns their names."""
    started = []
    for name in runs.dependents(store, run, package):
        work = runs.read_work(store, run, name)
        if runs.stand(store, run, work.needs) and start(app, store, run, work):
            started.append(name)
    return started


def settle(store: Store, run: str, package: str) -> FarmError | None:
    """Fail a package whose builds have all ended and not all landed, and what needs it; returns why."""
    work = runs.read_work(store, run, package)
    error = failure_of(package, runs.read_jobs(store, run, package, work.arches))
    if error:
        fail(store, run, package, error)
    return error


def fail(store: Store, run: str, package: str, error: FarmError) -> None:
    """Fail a package, and with it every package of the run that needs it."""
    if not runs.move_package(store, run, package, PackageState.FAILED, error=error):
        return
    for name in runs.dependents(store, run, package):
        work = runs.read_work(store, run, name)
        because = FarmError(
            f"{name}: needs {package}, which failed", hint="repair that one, then push both again"
        )
        for job in work.jobs:
            runs.move_job(store, run, name, job.arch, JobState.CANCELLED, error=because)
        fail(store, run, name, because)


def cancel(store: Store, run: str) -> int:
    """Cancel all that has not ended of a run; returns how many packages that were.

    Queued tasks find their job cancelled and end; running ones are told by their lease's keeper.
    """
    count = 0
    for name, package in runs.read_run(store, run).packages.items():
        if package.state.ended:
            continue
        for job in package.jobs.values():
            runs.move_job(store, run, name, job.arch, JobState.CANCELLED)
        count += runs.move_package(store, run, name, PackageState.CANCELLED)
    return count
