"""How a worker's queues are opened and closed while it runs, so that it can be drained and resumed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

STALLED = 15.0
"""Seconds without a turn of the event loop after which the worker counts as hanging."""


class QueueControl:
    """Subscribes to the queues and unsubscribes; a message that Redis delivers meanwhile is requeued.

    Only the event loop may touch a consumer, so `request` leaves a callback there. It compares what was
    requested with what Celery consumes, so that a queue that was closed or opened for another reason does not
    stay so. Queues that were closed stay closed when the connection to Redis is made again.
    """

    def __init__(self, queues: Sequence[str], *, open_: bool) -> None:
        self.open = open_
        """Whether jobs are accepted, as of the last turn of the event loop."""
        self._queues = list(queues)
        self._requested = open_
        self._last_turn = time.monotonic()
        self._consumer: Any = None

    @property
    def stalled(self) -> bool:
        """Whether the event loop hangs, so that no job is accepted whatever was requested."""
        return time.monotonic() - self._last_turn > STALLED

    def prepare(self, app: Celery) -> None:
        """Deselect the queues of a drained worker before Celery could take the first message."""
        if not self.open:
            app.amqp.queues.deselect(self._queues)

    def attach(self, consumer: Any) -> None:
        """Take control of Celery's consumer, which has subscribed to the queues."""
        self._consumer = consumer
        self._last_turn = time.monotonic()

    def request(self, *, open_: bool) -> None:
        """Have the queues opened or closed at the next turn of the event loop."""
        self._requested = open_
        self._consumer.hub.call_soon(self._apply)

    def _apply(self) -> None:
        self._last_turn = time.monotonic()
        requested, consumer = self._requested, self._consumer
        if not consumer.task_consumer:
            return
        try:
            for queue in self._queues:
                if requested != consumer.task_consumer.consuming_from(queue):
                    change = consumer.add_task_queue if requested else consumer.cancel_task_queue
                    change(queue)
        except consumer.connection_errors:  # the event loop meets it, too, and reconnects
            return
        self.open = requested
