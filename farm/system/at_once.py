"""Call a function for many items at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
R = TypeVar("R")

THREADS = 16
"""Enough to hide the latency of a service; it serves one client."""


def at_once(
    call: Callable[[T], R],
    items: Iterable[T],
    *,
    threads: int = THREADS,
    stop: Callable[[], None] = lambda: None,
) -> list[R]:
    """Call a function for each item, many at a time; after an error, which is raised, start no more.

    Calls in progress are waited for; `stop` tells them to end.
    """
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(call, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
            stop()
