"""Celery's consumer, which looks for a Redis that went away every few seconds and not twice a minute."""

from __future__ import annotations

import functools
import random
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.transport.redis import Channel

_LONGEST_PAUSE = 5.0
"""Seconds between two attempts at the most; a random part of it, so that not all workers come at once."""


class Consumer(CeleryConsumer):
    """Like Celery's, with shorter pauses: by default they grow to 30 s. It outlives a second loss, too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        # What was taken and not acknowledged when Redis went away, kombu gives back over a connection that is
        # gone, and the AttributeError ends the worker. The reconciler sends it again.
        Channel.do_restore = False
        super().__init__(*args, **options)

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once it is made, however long that takes."""
        pause = _LONGEST_PAUSE * random.uniform(0.5, 1.0)  # noqa: S311 - spreads arrivals, keeps no secret
        conn.ensure_connection = functools.partial(
            conn.ensure_connection, interval_start=0.5, interval_step=0.5, interval_max=pause
        )
        return super().ensure_connected(conn)
