"""Two farms, each with a Redis of its own, push one tree: nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.model import Reference
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.index import platforms
from farm.registry.published_images import read_index
from farm.trust.notary.verify import read_signatures
from tests.fault.network.outcome import assert_done, write
from tests.support.proxy.http_faults import preceded_by

if TYPE_CHECKING:
    from tests.fault.network.conftest import Services
    from tests.fault.process import Process
    from tests.fault.rig import Rig

pytestmark = pytest.mark.timeout(900)
PATIENT = {"FARM_HTTP_TIMEOUT": "120s"}
"""Long enough for a request during which the other farm does all its work."""


def start_farm(rig: Rig, name: str, arch: str, database: int) -> list[Process]:
    """A worker and a publisher on a database of their own."""
    names = (f"{arch}-{name}", f"publish-{name}")
    return [rig.worker(one, **PATIENT, **broker(rig, database)) for one in names]


def broker(rig: Rig, database: int) -> dict[str, str]:
    return {"FARM_BROKER": f"{rig.broker.rpartition('/')[0]}/{database}"}


def test_each_pushes_its_own_architecture_and_the_signed_index_holds_both(
    farm: Rig, services: Services
) -> None:
    package = write(farm, "divided")["divided"]
    workers = start_farm(farm, "one", "arm64", 1) + start_farm(farm, "other", "amd64", 2)
    for worker in workers:
        worker.wait_ready()

    def push(name: str, arch: str, database: int) -> None:
        words = ("--only", arch, "--partial")
        assert_done(farm.push(name, package.name, words=words, **broker(farm, database)))

    # The other farm publishes and signs after this one has read the tag and before it pushes.
    between = services.registry.breaks(
        "PUT", f"/divided/manifests/{package.tag}$", preceded_by(lambda: push("push-other", "amd64", 2))
    )
    try:
        push("push-one", "arm64", 1)
    finally:
        for worker in workers:
            worker.kill()
    assert between.hits == 1
    held = Reference.parse(package.reference.replace(f"localhost:{farm.registry.port}", farm.lab.registry))
    with Registry(Credentials(farm.home), timeout=30) as registry:
        index, found = read_index(registry, held)
    assert index is not None
    assert found is not None
    assert platforms(index) == {"amd64", "arm64"}
    reference = Reference.parse(package.reference)
    signed = read_signatures([reference.name], farm.notary)[reference.name].tags[str(reference.tag)]
    assert (signed.digest, signed.size) == (found.digest, found.size)
