"""Dispatch: the messages of jobs and publications, as Celery sends them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from celery.backends import asynchronous
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from farm.errors import StateUnavailableError
from farm.scheduling.celery_app import BUILD, PUBLISH, PUBLISH_QUEUE, SETTLE, Priority, build_queue
from farm.state.store import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from celery import Celery
    from celery.canvas import Signature

    from farm.model import ArchImage, Job, PackageWork


_FARM = uuid5(NAMESPACE_URL, "linuxkit-farm")
RESULTS_LOST: str = asynchronous.E_RETRY_LIMIT_EXCEEDED  # type: ignore[attr-defined]
"""The text of the RuntimeError that Celery raises when it gives up its result backend."""


@contextmanager
def translate_broker_errors() -> Iterator[None]:
    """Raise StateUnavailableError for what Celery and kombu raise while the broker does not answer."""
    try:
        yield
    except (OperationalError, RedisError) as error:
        if denied := refusal(error.__cause__ or error):
            raise denied from error
        raise StateUnavailableError(f"the broker does not answer: {error}") from error
    except RuntimeError as error:
        # Celery has no class of its own for the result backend that it gives up; any other is a defect.
        if str(error) != RESULTS_LOST:
            raise
        raise StateUnavailableError("the broker does not answer: Celery lost its result backend") from error
    except AttributeError as error:
        # kombu closes a channel whose connection broke, then uses the `client` of the closed channel.
        if (error.name, error.obj) != ("client", None):
            raise
        raise StateUnavailableError("the broker does not answer: the connection broke") from error


@translate_broker_errors()
def connect(app: Celery) -> None:
    """Open the connection over which messages are sent, unless it is open."""
    with app.producer_or_acquire() as producer:
        producer.connection.default_channel  # noqa: B018 - a property that connects


@translate_broker_errors()
def open_chords(app: Celery, run: str, works: Iterable[PackageWork]) -> None:
    """Begin the chords of packages: their jobs may be sent then, each in its turn."""
    # Celery does this before it sends a chord's header as a whole.
    sizes = {_id(run, work.package): len(work.jobs) for work in works}
    if sizes:
        backend: Any = app.backend
        backend.open_chords(sizes)


@translate_broker_errors()
def send_in_chord(app: Celery, work: PackageWork, job: Job) -> None:
    """Send one job of a package's chord for the first time; the callback is the publication.

    The ids follow from the names, so that whoever sends the jobs, it is the same chord.
    """
    group, index = _id(job.run, job.package), [one.arch for one in work.jobs].index(job.arch)
    callback = publish_signature(app, job.run, work)
    callback.freeze(_id(job.run, job.package, "publish"), group_id=group)
    build_signature(app, job).apply_async(
        task_id=_id(job.run, job.package, job.arch), group_id=group, group_index=index, chord=callback
    )


def _id(*names: str) -> str:
    """The id of a task or group, by what it is for."""
    return str(uuid5(_FARM, " ".join(names)))


@translate_broker_errors()
def send_job(app: Celery, job: Job, priority: Priority) -> None:
    """Send one job outside a chord; the reconciler sends the publication after it."""
    build_signature(app, job, priority).apply_async()


@translate_broker_errors()
def send_publication(
    app: Celery, run: str, work: PackageWork, images: Sequence[ArchImage], priority: Priority
) -> None:
    """Send the publication of a package that builds nothing, or whose publication was lost."""
    built = [image.to_json() for image in images]
    publish_signature(app, run, work, images=built, priority=priority).apply_async()


@translate_broker_errors()
def send_again(app: Celery, message: str) -> None:
    """Send the message of a task that had been taken: the same task, so that its chord counts it."""
    task = app.signature(json.loads(message))
    # A signature made from a running task lacks kwargsrepr; without it Flower shows all arguments. And it has
    # what the worker made of `ignore_result`, which workers of older releases would refuse in a message.
    task.apply_async(kwargsrepr=task.options["shadow"], priority=Priority.REQUEUED, ignore_result=False)


def build_signature(app: Celery, job: Job, priority: Priority = Priority.NEW) -> Signature[Any]:
    """The task that builds one architecture, routed to that architecture's queue."""
    options = _options(build_queue(job.arch), job.title, priority)
    return app.signature(
        BUILD, kwargs={"run": job.run, "package": job.package, "arch": job.arch}, options=options
    )


def _options(queue: str, title: str, priority: Priority) -> dict[str, Any]:
    """The options with which every message is sent."""
    return {"queue": queue, "shadow": title, "kwargsrepr": title, "priority": priority}


def publish_signature(
    app: Celery,
    run: str,
    work: PackageWork,
    *,
    images: list[dict[str, Any]] | None = None,
    priority: Priority = Priority.NEW,
) -> Signature[Any]:
    """The task that publishes and signs: a chord's callback, or a task of its own if `images` are given.

    As a callback it has an errback, which settles the package when a job failed.
    """
    options = _options(PUBLISH_QUEUE, f"{work.reference.short} index", priority)
    arguments = {"run": run, "package": work.package}
    if images is not None:
        return app.signature(PUBLISH, args=(images,), kwargs=arguments, options=options)
    settle = app.signature(
        SETTLE,
        kwargs=arguments,
        options={**options, "shadow": f"{work.reference.short} settle"},
        immutable=True,
    )
    return app.signature(PUBLISH, kwargs=arguments, options=options).on_error(settle)
