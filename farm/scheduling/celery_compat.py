"""Where Celery does not do what the farm needs: one class for each change."""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP
from celery.backends.redis import RedisBackend


class Messages(AMQP):
    """Celery's messages, with the task's title as its name in the event `task-sent` too.

    Celery puts the name of the function there. Flower keeps the name of the last event: if `task-sent`
    arrived after the worker's events, Flower forgot which package and architecture a task is for.
    """

    def as_task_v2(self, *args: Any, **options: Any) -> Any:
        """Return the message of a task, with its event."""
        message = super().as_task_v2(*args, **options)
        if message.sent_event and message.headers["shadow"]:
            message.sent_event["name"] = message.headers["shadow"]
        return message


class Results(RedisBackend):
    """Celery's result backend, without subscriptions: the farm reads results from its own state.

    A subscription ends when Python collects garbage, or when the sender exits. While Redis was away that
    blocked the sender for minutes, and printed errors after the last line of a command.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do nothing, where Celery subscribes to a single task."""

    def add_pending_result(self, result: Any, *_: Any, **__: Any) -> Any:
        """Do nothing, where Celery subscribes to each task of a chord."""
        return result
