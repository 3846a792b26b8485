"""How a worker ends: asked once, it finishes what it has in hand; asked again, it hands that back and goes.

SIGTERM and SIGINT ask; SIGQUIT asks twice at once. Celery would pass by a second SIGTERM, and on SIGQUIT kill
the pool, which leaves builds running in the engine and their leases to run out. Here each pool process stops
its own build and puts the job back, and only one that does not come to an end is killed.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from billiard.process import active_children

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.worker_context import SharedFlag

log = logging.getLogger("farm.worker")

HAND_BACK = 10.0
"""Seconds that jobs in hand are given to go back to their queues; what is left then, the lease gives back."""
_KILLED = 1


class GracefulShutdown:
    """The signals of a worker's main process, from the moment that it is ready."""

    def __init__(self, handing_back: SharedFlag, gone: Callable[[], None]) -> None:
        self._handing_back = handing_back
        self._gone = gone
        self._asked = False
        self._finish: Any = None

    def install(self) -> None:
        """Take the signals over from Celery, whose own answer to SIGTERM begins the first stage."""
        self._finish = signal.getsignal(signal.SIGTERM)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_ask)
        signal.signal(signal.SIGQUIT, self._on_quit)

    def _on_ask(self, number: int, frame: Any) -> None:
        if self._asked:
            self._hand_back()
            return
        self._asked = True
        self._finish(number, frame)

    def _on_quit(self, number: int, frame: Any) -> None:
        if not self._asked:
            self._on_ask(number, frame)
        self._hand_back()

    def _hand_back(self) -> None:
        if self._handing_back.is_set:
            return
        self._handing_back.set()
        limit = threading.Timer(HAND_BACK, self._kill)
        limit.daemon = True
        limit.start()

    def _kill(self) -> None:
        """End what did not come to an end by itself."""
        log.error("jobs in hand did not go back within %.0f s; their leases will give them back", HAND_BACK)
        for child in active_children():
            if child.pid is not None:
                os.kill(child.pid, signal.SIGKILL)
        self._gone()
        os._exit(_KILLED)
