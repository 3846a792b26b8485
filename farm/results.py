"""Where Celery keeps the results of tasks: in the farm's Redis."""

from __future__ import annotations

from typing import Any, TypeVar

from celery.backends.redis import RedisBackend

R = TypeVar("R")


class Results(RedisBackend):
    """Celery's own, but that a sender does not subscribe to results: the farm's state tells what landed.

    Each subscription was ended when the sender's process was, by then unable to connect, and told so.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do nothing when a task is sent."""

    def add_pending_result(self, result: R, weak: bool = False, start_drainer: bool = True) -> R:  # noqa: ARG002 - Celery's signature
        """Do nothing when a group keeps the results of its tasks together."""
        return result
