"""Which of Celery's remote control commands a worker answers: those that only look.

Whoever reaches Redis can send them to all workers; so does Flower. The others contradict what the farm
records: a worker whose queues were cancelled counted as free, and a terminated build was built again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.worker.control import Panel, control_command

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("farm.worker")

ANSWERED = frozenset(
    {
        *("active", "active_queues", "conf", "ping", "query_task", "registered", "reserved", "revoked"),
        *("scheduled", "stats"),
        # Events are sent in any case; Flower asks for them every few seconds.
        *("enable_events", "heartbeat"),
    }
)
_INSTEAD = "use farm workers drain, farm cancel, or the settings of the worker"


def refuse_changes() -> None:
    """Replace every other command, also those of a newer Celery, by a refusal."""
    for name in set(Panel.data) - ANSWERED:
        control_command(name=name)(_refusal(name))


def _refusal(name: str) -> Callable[..., dict[str, str]]:
    def refuse(state: Any, **arguments: Any) -> dict[str, str]:  # noqa: ARG001 - Celery calls it so
        log.warning("refused the remote control command %s", name)
        return {"error": f"workers of a farm refuse {name}: {_INSTEAD}"}

    return refuse
