"""The settings and connections of a worker process; a connection is made when it is first used.

A child process must not share a connection with its parent, so each process makes its own.
"""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from farm.attestation.worker_key import load_worker_key
from farm.builders.docker_engine import Engine
from farm.registry.client import open_registry
from farm.state.store import Store
from farm.trust.places import policy_path, worker_key_path
from farm.trust.policy_file import PolicyFile
from farm.trust.signer import make_signer

if TYPE_CHECKING:
    from farm.attestation.worker_key import WorkerPrivateKey
    from farm.builders.docker_engine import EngineInfo
    from farm.model.order import SignedOrder
    from farm.registry.client import Registry
    from farm.registry.credentials import Credentials
    from farm.settings import Settings
    from farm.trust.policy import Policy
    from farm.trust.signer import Signer


class SharedFlag:
    """A flag that a worker's main process sets for all its pool processes, future ones included.

    It is a page of shared memory, which a fork inherits.
    """

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 1)

    @property
    def is_set(self) -> bool:
        """Whether it was set."""
        return self._page[0] != 0

    def set(self) -> None:
        """Set it."""
        self._page[0] = 1

    def clear(self) -> None:
        """Clear it."""
        self._page[0] = 0


@dataclass(frozen=True, slots=True)
class SharedFlags:
    """What the main process and the pool processes of a worker tell one another."""

    leaving: SharedFlag = field(default_factory=SharedFlag)
    """Set when jobs in progress must go back to their queues."""
    unknown: SharedFlag = field(default_factory=SharedFlag)
    """Set when a message or an order had fields that this release does not know."""


class WorkerContext:
    """The settings and connections of one process."""

    def __init__(self, settings: Settings, worker: str, flags: SharedFlags) -> None:
        self.settings = settings
        self.worker = worker
        self.flags = flags
        self.pid = os.getpid()
        self.orders: dict[str, SignedOrder] = {}
        """The verified orders of some runs, by run: they do not change, and are long where runs are large."""
        self._pruned: float | None = None
        self._info: tuple[float, EngineInfo | None] = (0.0, None)

    @cached_property
    def store(self) -> Store:
        """The state."""
        if self.settings.broker is None:
            raise RuntimeError("a worker is always started with a broker")
        return Store(self.settings.broker)

    @cached_property
    def credentials(self) -> Credentials:
        """The registry logins."""
        return self.registry.credentials

    @cached_property
    def registry(self) -> Registry:
        """The client that says what is published: it never reads from a mirror."""
        return open_registry(self.settings)

    @cached_property
    def sources(self) -> Registry:
        """The client for the inputs of builds: it may read from mirrors."""
        return open_registry(self.settings, mirrored=True)

    @cached_property
    def _policy_file(self) -> PolicyFile:
        return PolicyFile(policy_path(self.settings))

    @property
    def policy(self) -> Policy:
        """The policy as the file on disk says now."""
        return self._policy_file.current()

    @cached_property
    def worker_key(self) -> WorkerPrivateKey:
        """The key with which this worker attests what it pushed."""
        return load_worker_key(worker_key_path(self.settings))

    @cached_property
    def signer(self) -> Signer:
        """The signer of what is published here."""
        return make_signer(self.settings, self.registry)

    def engine(self) -> Engine:
        """A new connection to the Docker Engine, which the caller closes."""
        settings = self.settings
        return Engine.connect(settings.engine, certs=settings.engine_certs, timeout=settings.http_timeout)

    def engine_info(self, engine: Engine) -> EngineInfo:
        """What the engine says of itself; it is asked only now and then, since its answer takes 20 ms."""
        asked, info = self._info
        if info is None or time.monotonic() - asked > _INFO_INTERVAL:
            info = engine.info()
            self._info = time.monotonic(), info
        return info

    def pruning_due(self) -> bool:
        """Whether to prune the engine's cache now; True counts as pruned."""
        now = time.monotonic()
        if self._pruned is not None and now - self._pruned < _PRUNE_INTERVAL:
            return False
        self._pruned = now
        return True


_PRUNE_INTERVAL = 600.0
"""Seconds between two prunings while enough space is free."""
_INFO_INTERVAL = 60.0
"""Seconds for which an engine is not asked again what it is, such as where its data are."""
_configured: list[WorkerContext] = []


def configure(settings: Settings, worker: str) -> None:
    """Set what this worker works with, once, before the first pool process starts."""
    _configured[:] = [WorkerContext(settings, worker, SharedFlags())]


def worker_context() -> WorkerContext:
    """The context of this process."""
    known = _configured[0]
    # A forked child has its parent's context, with connections that it must not use.
    if known.pid != os.getpid():
        _configured[:] = [WorkerContext(known.settings, known.worker, known.flags)]
    return _configured[0]
