"""Whether a worker takes jobs: its queues are left and joined again on the event loop, as any thread asks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

STALLED = 15.0
"""Seconds without a turn of the event loop after which a worker serves nobody."""


class QueueControl:
    """Joins and leaves the queues; a message that Redis hands over meanwhile goes back to its queue.

    Only the event loop may touch a consumer, so `want` leaves it word there. Queues that were left stay so
    when the connection to Redis is made anew.
    """

    def __init__(self, queues: Sequence[str], *, open_: bool) -> None:
        self.open = open_
        """Whether jobs are taken, as of the last turn of the loop."""
        self._queues = list(queues)
        self._wanted = open_
        self._turned = time.monotonic()
        self._consumer: Any = None

    @property
    def stalled(self) -> bool:
        """Whether the event loop stands still, so that nothing is taken whatever was asked for."""
        return time.monotonic() - self._turned > STALLED

    def prepare(self, app: Celery) -> None:
        """Leave the queues out from the start where no job is wanted, before the first could be taken."""
        if not self.open:
            app.amqp.queues.deselect(self._queues)

    def attach(self, consumer: Any) -> None:
        """Take charge of Celery's consumer, which has joined the queues."""
        self._consumer = consumer
        self._turned = time.monotonic()

    def want(self, open_: bool) -> None:
        """Ask for the queues to be joined or left, at the next turn of the loop."""
        self._wanted = open_
        self._consumer.hub.call_soon(self._turn)

    def _turn(self) -> None:
        self._turned = time.monotonic()
        wanted, consumer = self._wanted, self._consumer
        if wanted == self.open or not consumer.task_consumer:
            return
        for queue in self._queues:
            if wanted:
                consumer.add_task_queue(queue)
            else:
                consumer.cancel_task_queue(queue)
        self.open = wanted
