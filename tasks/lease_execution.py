"""What executions of jobs and publications share: taking the lease, recording steps, recording errors."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from celery.exceptions import Ignore

from farm.errors import CancelledError, FarmError, LeaseLostError, StateUnavailableError, internal_error
from farm.scheduling.celery_app import QUEUES
from farm.scheduling.dispatch import send_again
from farm.state import leases
from tasks.retries import wait_for_redis

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from celery import Task

    from farm.model import JobState, PackageState
    from farm.state.leases import HeldLease
    from farm.state.records import JobRecord, PackageRecord
    from tasks.worker_context import WorkerContext

R = TypeVar("R")

log = logging.getLogger(__name__)


def message_of(task: Task[..., Any]) -> str:
    """The message that sends a running task again."""
    return json.dumps(task.signature_from_request())


@contextmanager
def under_lease(
    task: Task[..., Any], context: WorkerContext, name: str, *, run: str, wait: Callable[[str], None]
) -> Iterator[HeldLease]:
    """Hold a lease while the body runs, then send the tasks that waited for it.

    If another task has the lease, `wait` records that this one waits for that holder, and this one ends with
    Ignore: it is sent again when the lease is released.
    """
    try:
        lease = leases.take(
            context.store,
            name,
            duration=context.settings.lease,
            holder=f"{run} {context.worker}",
            message=message_of(task),
        )
    except leases.LeaseBusyError as busy:
        wait(busy.holder)
        raise Ignore(f"{name} is in progress: {busy.holder}") from busy
    with leases.hold(context.store, lease, send=lambda message: _send_waiting(task, message)) as held:
        yield held


def _send_waiting(task: Task[..., Any], message: str) -> None:
    """Send a message that waited for a lease, unless it is none: Redis kept it."""
    try:
        queue = json.loads(message)["options"]["queue"]
        if queue not in QUEUES:
            raise ValueError(f"the queue is {queue!r:.100}")  # noqa: TRY301 - handled like what cannot be read
        send_again(task.app, message)
    except StateUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - see the next line
        # Whatever it is, the work that held the lease is done, and the reconciler sends what was lost.
        log.warning("dropped what waited for a lease, since it is no message: %s", type(error).__name__)


def still_owned(record: JobRecord | PackageRecord | None, token: str) -> bool:
    """Whether the work is in progress under this fencing token, or succeeded under it."""
    return bool(record and record.token == token and (record.state.succeeded or not record.state.ended))


def record_step(
    move: Callable[[], JobRecord | PackageRecord | None],
    to: JobState | PackageState,
    held: HeldLease,
    *,
    title: str,
) -> None:
    """Record a transition, however long Redis is away; LeaseLostError if the record has another token."""

    def attempt() -> bool:
        # `move` returns the record in any case: the answer to an earlier attempt may have been lost.
        record = move()
        return record is not None and (record.state, record.token) == (to, held.lease.token)

    if not wait_for_redis(attempt, stop=held.stopped):
        raise LeaseLostError(f"{title}: was taken over or cancelled")


def run_recorded(
    work: Callable[[], R],
    fail: Callable[[FarmError], FarmError],
    *,
    stopped: threading.Event,
    title: str,
    hint: str,
) -> R:
    """Do work; `fail` records an error and returns it as it was recorded.

    Nothing is recorded if the work was taken over, cancelled or stopped, or if Redis stayed away: then the
    reconciler requeues it. The hint of an internal error says where its traceback is.
    """
    try:
        return work()
    except (LeaseLostError, StateUnavailableError):
        raise
    except FarmError as error:
        # An error that follows from being stopped says nothing about the work.
        if stopped.is_set() and (error.retryable or isinstance(error, CancelledError)):
            raise LeaseLostError(f"{title}: was stopped") from error
        raise fail(error) from error
    except Exception as error:
        # Without a record it would look like the death of the worker, and be tried on three more of them.
        log.exception("%s", title)
        if stopped.is_set():
            raise LeaseLostError(f"{title}: was stopped") from error
        raise fail(internal_error(error, hint=hint)) from error
