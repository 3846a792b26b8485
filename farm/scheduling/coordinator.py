"""A plan becomes chords: one for each package whose needs stand, the rest as their needs land."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery import chord
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from farm.errors import CancelledError, FarmError, StateUnavailableError
from farm.model import JobState, PackageState
from farm.scheduling.celery_app import BUILD, PUBLISH, PUBLISH_QUEUE, SETTLE, build_queue
from farm.state import runs, transitions
from farm.state.records import failure_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from celery import Celery
    from celery.canvas import Signature

    from farm.model import ArchImage, Job, PackageWork, Run
    from farm.state.records import JobRecord
    from farm.state.store import Store

log = logging.getLogger(__name__)


def submit(app: Celery, store: Store, run: Run) -> None:
    """Store a run, then start each package that waits for no other.

    A broker that goes away once the run is stored is a warning: the run is taken up without us.

    Raises:
        StateUnavailableError: Redis went away before the run was stored.
    """
    runs.create_run(store, run)
    try:
        for work in run.works:
            if not work.needs:
                start(app, store, run.id, work)
    except StateUnavailableError as error:
        # Who follows the run finds out whether Redis comes back; then the reconciler sends what is missing.
        log.warning("%s is stored, but not all sent: %s; a publisher sends the rest", run.id, error)


def start(app: Celery, store: Store, run: str, work: PackageWork) -> bool:
    """Send the builds of one package, and its manifest behind them; False where somebody did so before.

    Killed at any line, it leaves the package due, and the reconciler sends what was not sent.
    """
    if not transitions.move_package(
        store, run, work.package, PackageState.BUILDING, come_from=[PackageState.WAITING]
    ):
        return False
    seen = store.now()
    queued = [queue_job(store, job, come_from=[JobState.WAITING]) for job in work.jobs]
    if work.jobs and not any(queued) and settle(store, run, work.package):
        # All of it was cancelled before; a message would find nothing to do, and may never be read.
        return True
    with _broker():
        if work.jobs:
            builds = [build_signature(app, job) for job in work.jobs]
            chord(builds, app=app)(publish_signature(app, run, work))
        else:
            publish_signature(app, run, work, images=[]).apply_async()
    if work.jobs:
        transitions.clear_due(store, run, work.package, seen=seen)
    return True


@contextmanager
def _broker() -> Iterator[None]:
    try:
        yield
    # Celery says by a RuntimeError that it has given up its result store.
    except (OperationalError, RedisError, RuntimeError) as error:
        raise StateUnavailableError(f"the broker does not answer: {error}") from error
    except AttributeError as error:
        # kombu closes a channel whose connection broke, and asks the closed one for its client.
        if (error.name, error.obj) != ("client", None):
            raise
        raise StateUnavailableError("the broker does not answer: the connection broke off") from error


def queue_job(
    store: Store,
    job: Job,
    *,
    come_from: Sequence[JobState],
    holding: str = "",
    lost: int = 0,
    resent: int = 0,
) -> JobRecord | None:
    """Record that a job's message is about to be sent; None where the job is not as expected."""
    return transitions.move_job(
        store,
        job.run,
        job.package,
        job.arch,
        JobState.QUEUED,
        come_from=come_from,
        holding=holding,
        token="",
        lost=lost,
        resent=resent,
    )


def send_job(app: Celery, job: Job) -> None:
    """Send one build by itself, to take the place of one that was lost; the reconciler publishes after it."""
    with _broker():
        build_signature(app, job).apply_async()


def send_index(app: Celery, run: str, work: PackageWork, images: Sequence[ArchImage]) -> None:
    """Send the publication of a package whose builds have landed, to take the place of one that was lost."""
    with _broker():
        publish_signature(app, run, work, images=[image.to_json() for image in images]).apply_async()


def build_signature(app: Celery, job: Job) -> Signature[Any]:
    """The task that builds one architecture, routed to that architecture's queue."""
    return app.signature(
        BUILD,
        kwargs={"job": job.to_json()},
        options={"queue": build_queue(job.arch), "shadow": job.title, "kwargsrepr": job.title},
    )


def publish_signature(
    app: Celery, run: str, work: PackageWork, *, images: list[dict[str, Any]] | None = None
) -> Signature[Any]:
    """The task that publishes and signs: as a chord's callback, or by itself where `images` are known.

    Its errback settles the package when a build did not land.
    """
    title = f"{work.reference.short} index"
    options = {"queue": PUBLISH_QUEUE, "shadow": title, "kwargsrepr": title}
    named = {"run": run, "package": work.package}
    if images is not None:
        return app.signature(PUBLISH, args=(images,), kwargs=named, options=options)
    settle = app.signature(
        SETTLE,
        kwargs=named,
        options={**options, "shadow": f"{work.reference.short} settle"},
        immutable=True,
    )
    return app.signature(PUBLISH, kwargs=named, options=options).on_error(settle)


def resend(app: Celery, message: str) -> None:
    """Send a task again that waited for a lease, as the very task that it was."""
    task = app.signature(json.loads(message))
    with _broker():
        # Celery forgets how its arguments are shown, and would show them all.
        task.apply_async(kwargsrepr=task.options["shadow"])


def landed(app: Celery, store: Store, run: str, package: str) -> list[str]:
    """Start the packages that waited for this one and now wait for nothing; returns their names."""
    seen = store.now()
    started = []
    for name in runs.dependents(store, run, package):
        work = runs.read_work(store, run, name)
        if runs.stand(store, run, work.needs) and start(app, store, run, work):
            started.append(name)
    transitions.clear_due(store, run, package, seen=seen)
    return started


def settle(store: Store, run: str, package: str) -> FarmError | None:
    """Fail a package whose builds have all ended and not all landed, and what needs it; returns why."""
    work = runs.read_work(store, run, package)
    error = failure_of(package, runs.read_jobs(store, run, package, work.arches))
    if error:
        end(store, run, package, error)
    return error


def end(store: Store, run: str, package: str, error: FarmError) -> None:
    """Fail or cancel a package, and with it every package of the run that needs it."""
    if transitions.end_packages(store, run, {package: error}):
        end_dependents(store, run, package)


def end_dependents(store: Store, run: str, package: str) -> None:
    """End every package of the run that needs one that did not come to stand."""
    seen = store.now()
    state = runs.read_package_record(store, run, package).state
    for name in runs.dependents(store, run, package):
        work = runs.read_work(store, run, name)
        kind = CancelledError if state is PackageState.CANCELLED else FarmError
        did = "was cancelled" if state is PackageState.CANCELLED else "failed"
        because = kind(f"{name}: needs {package}, which {did}", hint=f"farm retry {run}, once that is mended")
        transitions.end_jobs(store, run, {(name, job.arch): because for job in work.jobs})
        end(store, run, name, because)
    transitions.clear_due(store, run, package, seen=seen)
