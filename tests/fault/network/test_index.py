"""One tag, many publishers without a common lease: its index ends up with all their architectures."""

from __future__ import annotations

import json
import multiprocessing
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import RegistryUnavailableError
from farm.model import ARCHES, ArchImage, Descriptor, Platform, Reference, digest_of
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.index import platforms
from farm.registry.oci import OCI_MANIFEST
from farm.registry.publish_index import IndexPublication
from farm.registry.published_images import read_index
from lab.images import push_bytes
from tests.support.proxy.http import http_proxy
from tests.support.proxy.http_faults import answer, preceded_by

if TYPE_CHECKING:
    from lab.lab import Lab

pytestmark = pytest.mark.timeout(900)
PUBLISHERS = 8
ROUNDS = 3
LIMIT = 60.0
_NO_LOGINS = Credentials(Path("/nonexistent"))


def push_image(registry: Registry, reference: Reference, arch: str) -> ArchImage:
    """Push a unique image without layers under NAME:TAG-ARCH."""
    config = json.dumps({"architecture": arch, "os": "linux", "author": secrets.token_hex(8)}).encode()
    push_bytes(registry, reference, config)
    kind = "application/vnd.oci.image.config.v1+json"
    about = {"mediaType": kind, "digest": digest_of(config), "size": len(config)}
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": about, "layers": []}).encode()
    registry.put_manifest(reference.for_arch(arch), OCI_MANIFEST, body)
    member = Descriptor(OCI_MANIFEST, digest_of(body), len(body), Platform(arch))
    return ArchImage(arch, reference.for_arch(arch), (member,))


def publish(registry: Registry, reference: Reference, *arches: str) -> list[Descriptor]:
    """Build and publish as a separate farm; returns what was signed, in order."""
    signed: list[Descriptor] = []
    built = [push_image(registry, reference, arch) for arch in arches]
    publication = IndexPublication(registry, reference, built)
    publication.publish(check_lease=lambda: None, sign=signed.append, stop=threading.Event())
    return signed


def publish_in_turn(names: list[str], number: int, together: Any) -> None:
    """One of many processes, which publishes two architectures of each tag at the same time as the others."""
    arches = (ARCHES[number % len(ARCHES)], ARCHES[(number + 1) % len(ARCHES)])
    with Registry(_NO_LOGINS, timeout=LIMIT) as registry:
        for name in names:
            together.wait(LIMIT)
            publish(registry, Reference.parse(name), *arches)


def test_eight_processes_publish_overlapping_architectures_and_none_is_lost(lab: Lab) -> None:
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(PUBLISHERS)
    names = [f"{lab.registry}/race/{secrets.token_hex(4)}:1" for _ in range(ROUNDS)]
    processes = [
        spawn.Process(target=publish_in_turn, args=(names, number, together)) for number in range(PUBLISHERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT)
    assert [process.exitcode for process in processes] == [0] * PUBLISHERS
    with Registry(_NO_LOGINS, timeout=LIMIT) as registry:
        indexes = [read_index(registry, Reference.parse(name))[0] for name in names]
    assert [index and platforms(index) for index in indexes] == [frozenset(ARCHES)] * ROUNDS
    assert [index and len(index.manifests) for index in indexes] == [len(ARCHES)] * ROUNDS


def test_a_publisher_that_overwrites_a_newer_index_notices_and_signs_the_final_one(lab: Lab) -> None:
    with http_proxy(lab.registry) as proxy, Registry(_NO_LOGINS, timeout=LIMIT) as registry:
        reference = Reference.parse(f"{proxy.address}/race/{secrets.token_hex(4)}:1")
        others: list[Descriptor] = []
        # Another farm publishes after this one has read the tag and before it pushes.
        proxy.breaks(
            "PUT", "/manifests/1$", preceded_by(lambda: others.extend(publish(registry, reference, "arm64")))
        )
        signed = publish(registry, reference, "amd64")
        index, found = read_index(registry, reference)
    assert index is not None
    assert platforms(index) == {"amd64", "arm64"}
    assert (len(others), signed[-1]) == (1, found)


def test_a_publisher_whose_index_never_appears_reports_it(lab: Lab) -> None:
    with http_proxy(lab.registry) as proxy, Registry(_NO_LOGINS, timeout=LIMIT) as registry:
        reference = Reference.parse(f"{proxy.address}/race/{secrets.token_hex(4)}:1")
        publish(registry, reference, "amd64")
        swallowed = answer(201, says="")
        proxy.breaks("PUT", "/manifests/1$", swallowed, times=float("inf"))
        with pytest.raises(RegistryUnavailableError, match="accepted the push, but does not show it"):
            publish(registry, reference, "arm64")
