"""What a worker process works with: settings, and connections that are made when first needed.

A prefork child must not share a connection with its parent, so each process makes its own.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from farm.build.engine import Engine
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.state.store import Store

if TYPE_CHECKING:
    from farm.settings import Settings


class Site:
    """One process's connections."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self.settings = settings
        self.worker = worker
        self.pid = os.getpid()

    @cached_property
    def store(self) -> Store:
        """The state."""
        if self.settings.broker is None:
            raise RuntimeError("a worker is always started with a broker")
        return Store(self.settings.broker)

    @cached_property
    def credentials(self) -> Credentials:
        """The logins of docker's configuration."""
        return Credentials.load(self.settings.docker_config)

    @cached_property
    def registry(self) -> Registry:
        """The registry client."""
        return Registry(
            self.credentials,
            insecure=self.settings.insecure_registries,
            certs=self.settings.registry_certs,
            timeout=self.settings.http_timeout,
        )

    def engine(self) -> Engine:
        """A new connection to the Docker Engine, which the caller closes."""
        settings = self.settings
        return Engine.connect(settings.engine, certs=settings.engine_certs, timeout=settings.http_timeout)


_configured: list[Site] = []


def configure(settings: Settings, worker: str) -> None:
    """Say once, before any pool process exists, what this worker works with."""
    _configured[:] = [Site(settings, worker)]


def site() -> Site:
    """The site of this process."""
    known = _configured[0]
    if known.pid != os.getpid():
        configure(known.settings, known.worker)
    return _configured[0]
