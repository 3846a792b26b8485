"""The event loop in which all proxies of this process run, in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import functools
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


@functools.cache
def loop() -> asyncio.AbstractEventLoop:
    """The loop; started when it is first needed, stopped when the process ends."""
    started = asyncio.new_event_loop()
    thread = threading.Thread(target=started.run_forever, name="proxies", daemon=True)
    thread.start()

    def stop() -> None:
        started.call_soon_threadsafe(started.stop)
        thread.join()
        started.close()

    atexit.register(stop)
    return started


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the loop, from another thread, and return its result."""
    return asyncio.run_coroutine_threadsafe(work, loop()).result(30)
