"""What a worker does with a message or record that it cannot read: it rejects the message, and goes on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn

from celery.exceptions import Ignore

from farm.errors import NotUnderstoodError
from tasks.worker_context import worker_context

if TYPE_CHECKING:
    from farm.errors import FarmError

log = logging.getLogger(__name__)


def reject(what: str, error: FarmError) -> NoReturn:
    """End a task whose record cannot be read; the reconciler sends it again, perhaps to a newer worker."""
    log.warning("rejected a message for %s: %s", what, error)
    worker_context().flags.unknown.set()
    raise Ignore(str(error)) from error


def refuse_unknown(unknown: dict[str, Any]) -> None:
    """Raise a NotUnderstoodError for arguments of a task that this release does not know."""
    if unknown:
        raise NotUnderstoodError(
            f"the task has arguments that this farm does not know: {', '.join(sorted(unknown))}",
            hint="upgrade the farm on this machine",
        )
