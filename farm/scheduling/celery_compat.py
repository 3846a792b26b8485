"""Where Celery does not do what the farm needs: one class for each thing that is changed."""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP
from celery.backends.redis import RedisBackend


class Messages(AMQP):
    """Celery's own, but that the news of a message names the task as the message does, by its title.

    Celery gives the bare name of the function there. Flower takes what it hears last: where that news came
    behind the worker's own, it forgot which package and architecture a task is for.
    """

    def as_task_v2(self, *args: Any, **options: Any) -> Any:
        """The message of a task, and the news of it."""
        message = super().as_task_v2(*args, **options)
        if message.sent_event and message.headers["shadow"]:
            message.sent_event["name"] = message.headers["shadow"]
        return message


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
