"""What a worker does with a message that it cannot read: it leaves it to a worker of a newer release."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NoReturn

from celery.exceptions import Ignore

from farm.errors import NotUnderstoodError
from farm.scheduling.dispatch import send_again
from tasks.lease_execution import message_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Task

    from tasks.worker_context import WorkerContext

log = logging.getLogger(__name__)

_CLOSE_TIMEOUT = 20.0
"""Seconds in which the main process closes the queues."""
_POLL = 0.05


def hand_over(
    task: Task[..., Any], context: WorkerContext, error: NotUnderstoodError, *, requeue: Callable[[], object]
) -> NoReturn:
    """Let this worker accept nothing more, then put the message back at the head of its queue.

    `requeue` renews the time since when the record waits, so that the message does not count as lost
    meanwhile. Nothing counts as an attempt.
    """
    # First, since a message that does not even name its record must not stop the worker.
    requeue()
    log.error("%s accepts no more jobs until it is upgraded: %s", context.worker, error)
    context.flags.outdated.set()
    deadline = time.monotonic() + _CLOSE_TIMEOUT
    # Before that, this worker could take the message itself.
    while not (context.flags.closed.is_set or time.monotonic() > deadline):
        time.sleep(_POLL)
    requeue()
    send_again(task.app, message_of(task))
    raise Ignore(str(error)) from error


def refuse_unknown(unknown: dict[str, Any]) -> None:
    """Raise a NotUnderstoodError for arguments of a task that this release does not know."""
    if unknown:
        raise NotUnderstoodError(
            f"the task has arguments that this farm does not know: {', '.join(sorted(unknown))}",
            hint="upgrade the farm on this machine",
        )
