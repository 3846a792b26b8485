"""How a worker takes the loss of its connection to Redis, where Celery would wait too long."""

from __future__ import annotations

import functools
import random
from typing import Any

from celery.app.events import Events as CeleryEvents
from celery.events.dispatcher import EventDispatcher
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.transport.redis import Channel

_LONGEST_PAUSE = 5.0
"""Seconds between two attempts at most; a random part of it, so that workers do not reconnect all at once."""


class Consumer(CeleryConsumer):
    """Reconnects every few seconds, where Celery's pauses grow to 30 s; survives a second loss as well."""

    def __init__(self, *args: Any, **options: Any) -> None:
        # At a second loss, kombu returns unacknowledged messages over a connection that is gone, and the
        # AttributeError ends the worker. The reconciler requeues their jobs.
        Channel.do_restore = False
        super().__init__(*args, **options)

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection when it is made, however long that takes."""
        pause = _LONGEST_PAUSE * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        conn.ensure_connection = functools.partial(
            conn.ensure_connection, interval_start=0.5, interval_step=0.5, interval_max=pause
        )
        return super().ensure_connected(conn)


class Dispatcher(EventDispatcher):
    """Sends an event once, so that the consumer ends at a signal.

    Celery's own heartbeats are sent again until Redis answers: until then, no signal ended the worker.
    """

    def send(self, *args: Any, **options: Any) -> Any:
        """Send an event once; Celery keeps one that fails, and sends it when the consumer has reconnected."""
        return super().send(*args, **options | {"retry": False})


class Events(CeleryEvents):
    """Celery's events, sent by `Dispatcher`."""

    dispatcher_cls = f"{__name__}:{Dispatcher.__name__}"
