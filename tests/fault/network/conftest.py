"""A farm of separate processes, whose registry and notary server fail as a test chooses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.fault.rig import Rig, running_rig
from tests.support.proxy.http import HttpProxy, http_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.lab import Lab

WORKERS = ("amd64-1", "arm64-1", "publish-1", "publish-2")
IMPATIENT = {
    "FARM_CONCURRENCY": "4",
    "FARM_HTTP_TIMEOUT": "5s",
    "FARM_PUSH_SILENCE": "8s",
    "FARM_TRUST_TIMEOUT": "12s",
}
"""Short time-outs, so that a test does not wait long for them."""


@dataclass(frozen=True)
class Services:
    """The proxies in front of the real services."""

    registry: HttpProxy
    notary: HttpProxy


@pytest.fixture(scope="package")
def services(lab: Lab) -> Iterator[Services]:
    certificate = (lab.notary_ca, lab.notary_ca.with_name("server.key"))
    with (
        http_proxy(lab.registry) as registry,
        http_proxy(urlsplit(lab.notary_url).netloc, tls=certificate) as notary,
    ):
        yield Services(registry, notary)


@pytest.fixture(scope="package")
def farm(lab: Lab, services: Services) -> Iterator[Rig]:
    """The farm, with all workers ready."""
    faulty = replace(lab, registry=services.registry.address, notary_url=services.notary.url)
    with running_rig(faulty, ()) as rig:
        started = [rig.worker(name, **IMPATIENT) for name in WORKERS]
        for worker in started:
            worker.wait_ready()
        yield rig


@pytest.fixture(autouse=True)
def mended(services: Services) -> Iterator[None]:
    """Remove a test's faults at its end."""
    yield
    services.registry.mend()
    services.notary.mend()
