"""What a worker process works with: settings, and connections that are made when first needed.

A prefork child must not share a connection with its parent, so each process makes its own.
"""

from __future__ import annotations

import mmap
import os
import time
from functools import cached_property
from typing import TYPE_CHECKING

from farm.builders.docker_engine import Engine
from farm.registry.connect import open_registry
from farm.state.store import Store

if TYPE_CHECKING:
    from farm.registry.client import Registry
    from farm.registry.credentials import Credentials
    from farm.settings import Settings


class SharedFlag:
    """A bit that a worker's main process sets once for its pool processes, those to come too."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 1)

    @property
    def is_set(self) -> bool:
        """Whether it was set."""
        return self._page[0] != 0

    def set(self) -> None:
        """Set it, for good."""
        self._page[0] = 1


class WorkerContext:
    """One process's connections."""

    def __init__(self, settings: Settings, worker: str, leaving: SharedFlag) -> None:
        self.settings = settings
        self.worker = worker
        self.leaving = leaving
        """Set when jobs in hand are to go back to their queues."""
        self.pid = os.getpid()
        self._tidied: float | None = None

    @cached_property
    def store(self) -> Store:
        """The state."""
        if self.settings.broker is None:
            raise RuntimeError("a worker is always started with a broker")
        return Store(self.settings.broker)

    @cached_property
    def credentials(self) -> Credentials:
        """The logins."""
        return self.registry.credentials

    @cached_property
    def registry(self) -> Registry:
        """The registry client that decides what stands."""
        return open_registry(self.settings)

    @cached_property
    def sources(self) -> Registry:
        """The registry client for what builds take in: it may read from mirrors."""
        return open_registry(self.settings, mirrored=True)

    def engine(self) -> Engine:
        """A new connection to the Docker Engine, which the caller closes."""
        settings = self.settings
        return Engine.connect(settings.engine, certs=settings.engine_certs, timeout=settings.http_timeout)

    def tidy_due(self) -> bool:
        """Whether the engine's cache should be looked at again; asking counts as looking."""
        now = time.monotonic()
        if self._tidied is not None and now - self._tidied < _TIDY_EVERY:
            return False
        self._tidied = now
        return True


_TIDY_EVERY = 600.0
"""Seconds between two prunings of a cache that leaves room enough."""
_configured: list[WorkerContext] = []


def configure(settings: Settings, worker: str) -> None:
    """Say once, before any pool process exists, what this worker works with."""
    _configured[:] = [WorkerContext(settings, worker, SharedFlag())]


def site() -> WorkerContext:
    """The site of this process."""
    known = _configured[0]
    if known.pid != os.getpid():
        _configured[:] = [WorkerContext(known.settings, known.worker, known.leaving)]
    return _configured[0]


def leaving() -> SharedFlag:
    """What tells every pool process of this worker to hand its job back."""
    return _configured[0].leaving
