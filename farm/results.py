"""Where Celery keeps the results of tasks: in the farm's Redis."""

from __future__ import annotations

from typing import Any

from celery.backends.redis import RedisBackend


class Results(RedisBackend):
    """Celery's own, but that a sender does not subscribe to results: the farm's state tells what landed.

    A subscription is given up again when Python collects garbage, or when the sender ends. With Redis away,
    that held up whatever was under way just then, and told of it after the last line of a command.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do nothing; Celery subscribes here to a single task."""

    def add_pending_result(self, result: Any, *_: Any, **__: Any) -> Any:
        """Do nothing; Celery subscribes here to each task of a chord."""
        return result
