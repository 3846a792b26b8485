"""A registry that fails in many ways: temporary faults are survived, and permanent ones are reported."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from lab import services as lab_services
from lab.directory import own_directory
from tests.fault.network.outcome import assert_done, assert_failed, assert_published, write
from tests.support.farm_command import wait_until
from tests.support.proxy import http_faults
from tests.support.proxy.http import Exchange
from tests.support.proxy.http_faults import answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.services import Located
    from tests.fault.network.conftest import Services
    from tests.fault.rig import Rig

pytestmark = pytest.mark.timeout(900)
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
    "late": ("GET", answer(404)),
}
"""What happens once to a manifest on its way, by the name of its package."""


def test_pushes_survive_every_temporary_fault_of_a_registry_and_nothing_is_built_twice(
    farm: Rig, services: Services
) -> None:
    packages = write(farm, *HEALING, "midblob", "hidden")
    services.registry.breaks(".*", "/hidden/manifests/", http_faults.hidden(), times=float("inf"))
    faults = [services.registry.breaks("PATCH", "/midblob/blobs/uploads/", http_faults.reset(after=50))]
    for name, (method, act) in HEALING.items():
        # The image of one architecture, and the index. Before either exists, the command looks for it, and
        # then the worker or publisher.
        for tag in (f"{packages[name].tag}-amd64", packages[name].tag):
            at = f"/{name}/manifests/{tag}$"
            if method == "GET":
                services.registry.breaks("GET", at, Exchange.pass_on, times=2)
            faults.append(services.registry.breaks(method, at, act))
    assert_done(farm.push("push-faults", *packages))
    assert [fault.path.pattern for fault in faults if fault.hits != 1] == []
    assert_published(farm, *packages.values())
    log = farm.ask("logs", str(farm.run_of(packages["r500"].reference)), "r500", "amd64").out
    assert re.search(r"\b500\b.*; retrying in \d+ s \(attempt 2 of", log), log


def test_a_read_only_registry_is_reported_as_such_and_holds_no_index(farm: Rig, services: Services) -> None:
    packages = write(farm, "unwritable", "noindex")
    refused = answer(405, says="The operation is unsupported.")
    forever = float("inf")
    # An engine retries a refused blob for most of a minute, but gives up at once for a manifest.
    for name, tag in (
        ("unwritable", f"{packages['unwritable'].tag}-amd64"),
        ("noindex", packages["noindex"].tag),
    ):
        services.registry.breaks("PUT", f"/{name}/manifests/{tag}$", refused, times=forever)
    push = farm.push("push-read-only", *packages)
    assert push.wait() == 1, push.said()
    assert_failed(farm, packages["unwritable"], because="unsupported")
    assert_failed(farm, packages["noindex"], because="unsupported")
    services.registry.mend()
    assert_done(farm.push("push-writable", *packages))
    assert_published(farm, packages["unwritable"], builds=(1, 2))
    assert_published(farm, packages["noindex"])


@contextmanager
def registry_on_a_small_disk() -> Iterator[tuple[Located, Path]]:
    """A second registry, and its disk of 32 MiB."""
    with own_directory() as home:
        located = lab_services.registry(home, "small")
        disk = home / "small" / "data"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)]
        subprocess.run(mount, check=True, capture_output=True, timeout=30)
        located.service.start()
        try:
            yield located, disk
        finally:
            located.service.stop()


def test_a_push_waits_for_a_registry_whose_disk_is_full_until_there_is_room(farm: Rig) -> None:
    with registry_on_a_small_disk() as (small, disk):
        package = write(farm, "bulky", arches=("amd64",), padding=8 << 20)["bulky"]
        room = os.statvfs(disk)
        with (disk / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, room.f_bavail * room.f_frsize - (4 << 20))
        words = ("--org", f"{small.address}/full", "--no-sign")
        pushing = farm.push("push-full", package.name, words=words)
        wait_until(lambda: "no space left" in small.service.log.read_text(errors="replace"))
        (disk / "ballast").unlink()
        assert_done(pushing)
        there = f"{small.address}/full/bulky:{package.tag}"
        assert len(farm.builds(there, "amd64")) == 1
        assert farm.record(there).state == "published"
