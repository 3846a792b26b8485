"""How a worker ends: the first signal lets it finish its jobs, the second makes it hand them back.

SIGTERM and SIGINT count as one signal each, SIGQUIT as two. Celery ignores a second SIGTERM, and on SIGQUIT
kills its pool, so that builds go on in the engine and leases block their images until they expire. Here each
pool process stops its own build and requeues the job; only a process that does not finish in time is killed.
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

HAND_BACK_TIMEOUT = 10.0
"""Seconds that jobs in progress get to return to their queues; after that the reconciler requeues them."""
_KILLED = 1


class GracefulShutdown:
    """The signal handlers of a worker's main process, from the moment that it is ready."""

    def __init__(self, hand_back: SharedFlag, deregister: Callable[[], None]) -> None:
        self._hand_back_flag = hand_back
        self._deregister = deregister
        self._asked = False
        self._warm_shutdown: Any = None

    def install(self) -> None:
        """Take the signals over from Celery, whose own SIGTERM handler remains the first stage."""
        self._warm_shutdown = signal.getsignal(signal.SIGTERM)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_terminate)
        signal.signal(signal.SIGQUIT, self._on_quit)

    def _on_terminate(self, number: int, frame: Any) -> None:
        if self._asked:
            self._hand_back()
            return
        self._asked = True
        self._warm_shutdown(number, frame)

    def _on_quit(self, number: int, frame: Any) -> None:
        if not self._asked:
            self._on_terminate(number, frame)
        self._hand_back()

    def _hand_back(self) -> None:
        # The flag is shared memory: a pool process can read it during a build, but would read a message from
        # its pipe only after the build.
        if self._hand_back_flag.is_set:
            return
        self._hand_back_flag.set()
        # A thread, because the main thread is inside Celery's event loop, which must go on to reap the pool.
        limit = threading.Timer(HAND_BACK_TIMEOUT, self._kill)
        limit.daemon = True
        limit.start()

    def _kill(self) -> None:
        log.error(
            "jobs in progress were not handed back within %.0f s; they are requeued when their leases expire",
            HAND_BACK_TIMEOUT,
        )
        for child in active_children():
            if child.pid is not None:
                # Not SIGTERM: that is what the process has just failed to act on.
                os.kill(child.pid, signal.SIGKILL)
        self._deregister()
        # sys.exit would end only this thread.
        os._exit(_KILLED)
