"""A registry that fails in every way that it can: what heals is outlasted, and what does not is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fault.network.outcome import assert_done, assert_failed, assert_published, write
from tests.support import http_faults
from tests.support.http_faults import answer

if TYPE_CHECKING:
    from tests.fault.network.conftest import Services
    from tests.fault.rig import Rig

HEALING = {
    "r500": ("PUT", answer(500)),
    "r429": ("PUT", answer(429, retry_after=1)),
    "silent": ("PUT", http_faults.silence()),
    "reset": ("PUT", http_faults.reset(after=40)),
    "unheard": ("PUT", http_faults.lost_answer()),
    "truncated": ("GET", http_faults.truncated(keep=60)),
    "cutshort": ("GET", http_faults.truncated(keep=60, admits=True)),
    "wrongname": ("GET", http_faults.other_digest()),
    "wrongbytes": ("GET", http_faults.other_bytes()),
}
"""What happens once to a manifest on its way, by the name of the package whose it is."""


def test_pushes_outlast_what_a_registry_can_do_and_nothing_is_built_twice(
    farm: Rig, services: Services
) -> None:
    packages = write(farm, *HEALING, "midblob")
    faults = [services.registry.breaks("PATCH", "/midblob/blobs/uploads/", http_faults.reset(after=50))]
    for name, (method, act) in HEALING.items():
        # The image of one architecture, and the index. Both are looked for before there is one: the
        # command looks, then the worker, and the publisher.
        for tag in (f"{packages[name].tag}-amd64", packages[name].tag):
            at = f"/{name}/manifests/{tag}$"
            if method == "GET":
                services.registry.breaks("GET", at, http_faults.Exchange.pass_on, times=2)
            faults.append(services.registry.breaks(method, at, act))
    assert_done(farm.push("push-faults", *packages))
    assert [fault.path.pattern for fault in faults if fault.hits != 1] == []
    assert_published(farm, *packages.values())


def test_a_registry_that_is_only_read_is_told_as_such_and_holds_no_index(
    farm: Rig, services: Services
) -> None:
    packages = write(farm, "unwritable", "noindex")
    refused = answer(405, says="The operation is unsupported.")
    forever = float("inf")
    services.registry.breaks("POST|PUT|PATCH", "/unwritable/", refused, times=forever)
    services.registry.breaks("PUT", f"/noindex/manifests/{packages['noindex'].tag}$", refused, times=forever)
    push = farm.push("push-read-only", *packages)
    assert push.wait() == 1, push.said()
    assert_failed(farm, packages["unwritable"], because="unsupported")
    assert_failed(farm, packages["noindex"], because="unsupported")
    services.registry.mend()
    assert_done(farm.push("push-writable", *packages))
    assert_published(farm, packages["unwritable"], builds=2)
    assert_published(farm, packages["noindex"])
