"""What Celery sends: its messages, and what it tells those who watch of each."""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP


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
