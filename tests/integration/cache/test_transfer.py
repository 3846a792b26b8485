"""Images between caches and a real registry, also over connections that break."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

import pytest

from farm.cache import transfer
from farm.cache.maintenance import verify
from farm.cache.named_images import add_images, find_image
from farm.cache.transfer import published_names, pull_all, pull_images, push_all
from farm.errors import (
    CacheError,
    RegistryDamagedError,
    RegistryDeniedError,
    RegistryError,
    RegistryUnavailableError,
)
from farm.model import Descriptor, Reference
from farm.registry.blobs import CONCURRENT_BLOBS, BlobUpload, pull_blob, push_blob
from farm.registry.oci import OCI_MANIFEST
from farm.system.deadline import Deadline
from tests.support.images import LAYER, add, tar
from tests.support.proxy.http import http_proxy
from tests.support.proxy.tcp import Proxy, proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.cache.layout import Cache
    from farm.registry.client import Registry
    from farm.registry.http_exchange import Response
    from farm.registry.transport import Request
    from lab.lab import Lab

BIG = 8 << 20


@pytest.fixture
def name(org: str) -> Reference:
    return Reference.parse(f"{org}/foo:1")


@pytest.fixture
def proxied(lab: Lab) -> Iterator[Proxy]:
    with proxy(f"tcp://{lab.registry}") as proxied:
        yield proxied


@pytest.fixture
def far(proxied: Proxy) -> Reference:
    """A name in the registry, through the proxy."""
    return Reference.parse(f"{proxied.address}/{secrets.token_hex(4)}/foo:1")


@pytest.fixture
def blob(cache: Cache) -> Descriptor:
    """A large blob in the cache."""
    return cache.blobs.put(secrets.token_bytes(BIG), LAYER)


def fill(cache: Cache, name: Reference, arches: tuple[str, ...] = ("amd64",), size: int = 1000) -> None:
    for arch in arches:
        layers = [tar({"noise": secrets.token_bytes(size)}), tar({"arch": arch.encode()})]
        add_images(cache, name, [add(cache, layers, arch, name)])


def test_a_pushed_and_pulled_image_is_the_same(
    cache: Cache, other: Cache, registry: Registry, name: Reference
) -> None:
    fill(cache, name, ("amd64", "arm64"))
    moved = push_all(cache, registry, name)
    assert pull_all(other, registry, name) == moved.root
    assert set(other.names()) == {str(name), f"{name}-amd64", f"{name}-arm64"}
    for arch in ("amd64", "arm64"):
        assert find_image(other, name, arch) == find_image(cache, name, arch)
        assert registry.head(name.for_arch(arch)) is not None
    assert verify(other) == []


def test_architectures_can_be_pulled_one_after_another(
    cache: Cache, other: Cache, registry: Registry, name: Reference
) -> None:
    fill(cache, name, ("amd64", "arm64"))
    push_all(cache, registry, name)
    assert set(pull_images(other, registry, name, ["arm64", "riscv64"])) == {"arm64"}
    assert find_image(other, name, "amd64") is None
    assert verify(other) == []
    pull_images(other, registry, name, ["amd64"])
    assert other.find(name) == cache.find(name)


def test_a_second_push_sends_nothing(cache: Cache, registry: Registry, name: Reference) -> None:
    fill(cache, name)
    assert push_all(cache, registry, name).blobs == {BlobUpload.SENT: 3}
    assert push_all(cache, registry, name).blobs == {BlobUpload.EXISTING: 3}


def test_a_layer_of_another_repository_is_mounted_and_not_sent(
    cache: Cache, registry: Registry, org: str
) -> None:
    one, two = Reference.parse(f"{org}/one:1"), Reference.parse(f"{org}/two:1")
    shared = tar({"noise": secrets.token_bytes(1000)})
    add_images(cache, one, [add(cache, [shared], name=one)])
    push_all(cache, registry, one)
    add_images(cache, two, [add(cache, [shared, tar({"own": b"x"})], name=two)])
    assert push_all(cache, registry, two).blobs == {BlobUpload.MOUNTED: 1, BlobUpload.SENT: 2}


def test_the_repositories_to_mount_from_are_listed_once_for_all_layers(
    cache: Cache, registry: Registry, name: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[Reference] = []
    asked = threading.Semaphore(0)
    once = registry.once

    def counted(request: Request) -> Response:
        response = once(request)
        if request.method == "HEAD":
            asked.release()
        return response

    def other_repositories(_: Cache, target: Reference) -> dict[str, list[str]]:
        listed.append(target)
        # All threads have found that their layer is missing.
        assert all(asked.acquire(timeout=10) for _ in range(CONCURRENT_BLOBS))
        return {}

    monkeypatch.setattr(registry, "once", counted)
    monkeypatch.setattr(transfer, "_other_repositories", other_repositories)
    image = add(cache, [tar({"noise": secrets.token_bytes(1000)}) for _ in range(8)], name=name)
    add_images(cache, name, [image])
    assert transfer.push_image(cache, registry, image) == {BlobUpload.SENT: 9}
    assert len(listed) == 1


def test_an_architecture_that_somebody_else_pushed_is_kept_in_the_index(
    cache: Cache, other: Cache, fresh: Cache, registry: Registry, name: Reference
) -> None:
    fill(cache, name, ("amd64",))
    fill(other, name, ("s390x",))
    push_all(cache, registry, name)
    push_all(other, registry, name)
    assert set(pull_images(fresh, registry, name, ["amd64", "s390x"])) == {"amd64", "s390x"}


def test_a_push_adds_what_the_registry_lacks_and_replaces_another_image_only_with_override(
    cache: Cache, other: Cache, fresh: Cache, registry: Registry, name: Reference
) -> None:
    fill(cache, name, ("amd64",))
    fill(other, name, ("amd64", "arm64"))
    push_all(cache, registry, name)
    assert push_all(other, registry, name, override=False).kept == (name.for_arch("amd64"),)
    pull_all(fresh, registry, name)
    assert find_image(fresh, name, "amd64") == find_image(cache, name, "amd64")
    assert find_image(fresh, name, "arm64") == find_image(other, name, "arm64")
    assert push_all(other, registry, name, override=True).root.digest == other.names()[str(name)].digest


def test_an_image_can_be_pushed_under_another_name(
    cache: Cache, other: Cache, registry: Registry, name: Reference
) -> None:
    fill(cache, name, ("amd64", "arm64"))
    plain = name.with_tag("plain")
    assert push_all(cache, registry, name, plain).root.digest == cache.names()[str(name)].digest
    assert registry.head(name) is None
    pull_all(other, registry, plain)
    assert set(other.names()) == {str(plain), f"{plain}-amd64", f"{plain}-arm64"}


def test_a_registry_that_asks_for_a_login_gets_it_and_nothing_without_it(
    cache: Cache, other: Cache, registry: Registry, guarded: Registry, lab: Lab
) -> None:
    name = Reference.parse(f"{lab.guarded_registry}/{secrets.token_hex(4)}/foo:1")
    fill(cache, name)
    with pytest.raises(RegistryDeniedError):
        push_all(cache, registry, name)
    push_all(cache, guarded, name)
    pull_all(other, guarded, name)
    assert verify(other) == []


def test_a_broken_upload_is_restarted(
    cache: Cache, blob: Descriptor, registry: Registry, proxied: Proxy, far: Reference
) -> None:
    breaks = proxied.trip(lambda connection: connection.sent > BIG // 2, times=2, drop=True)
    upload = push_blob(registry, far, blob, lambda: cache.blobs.pieces(blob.digest))
    assert (upload, breaks.hits) == (BlobUpload.SENT, 2)
    with cache.blobs.writing() as writer:
        pull_blob(registry, far, blob, writer)


def test_a_lost_response_to_a_complete_upload_causes_no_second_upload(
    cache: Cache, blob: Descriptor, registry: Registry, proxied: Proxy, far: Reference
) -> None:
    loss = proxied.trip(lambda _: proxied.sent > BIG, answers=True, drop=True)
    push_blob(registry, far, blob, lambda: cache.blobs.pieces(blob.digest))
    assert loss.hits == 1
    assert proxied.sent < BIG + BIG // 2


def test_a_broken_download_is_resumed(
    cache: Cache, blob: Descriptor, other: Cache, registry: Registry, lab: Lab
) -> None:
    path = f"{secrets.token_hex(4)}/foo:1"
    home = Reference.parse(f"{lab.registry}/{path}")
    push_blob(registry, home, blob, lambda: cache.blobs.pieces(blob.digest))
    # More breaks than there are attempts without progress.
    with proxy(f"tcp://{lab.registry}") as proxied:
        breaks = proxied.trip(lambda one: one.received > BIG // 8, times=7, answers=True, drop=True)
        with other.blobs.writing() as writer:
            pull_blob(registry, Reference.parse(f"{proxied.address}/{path}"), blob, writer)
            writer.commit(LAYER, blob.digest)
        assert breaks.hits == 7
    assert other.blobs.has(blob)


@pytest.mark.parametrize("late", [False, True])
def test_an_upload_that_always_breaks_is_a_retryable_error_at_once_after_the_deadline(
    late: bool, cache: Cache, blob: Descriptor, registry: Registry, proxied: Proxy, far: Reference
) -> None:
    breaks = proxied.trip(lambda connection: connection.sent > BIG // 2, times=100, drop=True)
    client = registry.within(Deadline.after(0)) if late else registry
    with pytest.raises(RegistryUnavailableError) as caught:
        push_blob(client, far, blob, lambda: cache.blobs.pieces(blob.digest))
    assert caught.value.retryable
    assert (breaks.hits == 1) == late


def test_a_blob_that_is_damaged_in_the_cache_is_not_published(
    cache: Cache, registry: Registry, name: Reference
) -> None:
    blob = cache.blobs.put(secrets.token_bytes(1000), LAYER)
    cache.blobs.path(blob.digest).write_bytes(bytes(1000))
    with pytest.raises(RegistryError):
        push_blob(registry, name, blob, lambda: cache.blobs.pieces(blob.digest))
    with pytest.raises(RegistryError), cache.blobs.writing() as writer:
        pull_blob(registry, name, blob, writer)


def test_a_blob_that_is_damaged_in_the_registry_is_refused(
    cache: Cache, other: Cache, registry: Registry, name: Reference, lab: Lab
) -> None:
    fill(cache, name)
    push_all(cache, registry, name)
    layer = max(cache.blobs.directory.iterdir(), key=lambda path: path.stat().st_size)
    stored = lab.directory / "registry" / "data" / "docker/registry/v2/blobs/sha256" / layer.name[:2]
    data = stored / layer.name / "data"
    data.write_bytes(bytes(data.stat().st_size))
    with pytest.raises(RegistryDamagedError, match="digest mismatch"):
        pull_all(other, registry, name)
    assert other.names() == {}


def test_an_error_in_a_manifest_names_the_reference(cache: Cache, registry: Registry, lab: Lab) -> None:
    with http_proxy(lab.registry) as proxied:
        proxied.breaks(
            ".*",
            "/manifests/",
            lambda exchange: exchange.answer(200, {"Content-Type": OCI_MANIFEST}, b"[]"),
            times=float("inf"),
        )
        with pytest.raises(RegistryError, match=f"^{proxied.address}/any/foo:1: invalid manifest"):
            pull_all(cache, registry, Reference.parse(f"{proxied.address}/any/foo:1"))


def test_a_missing_image_is_an_error_for_pull_and_push(cache: Cache, registry: Registry, org: str) -> None:
    name = Reference.parse(f"{org}/nothing:1")
    with pytest.raises(RegistryError):
        pull_all(cache, registry, name)
    with pytest.raises(CacheError):
        push_all(cache, registry, name)


def test_a_name_counts_as_published_only_if_the_registry_has_the_same_image(
    cache: Cache, registry: Registry, org: str
) -> None:
    one, two = Reference.parse(f"{org}/one:1"), Reference.parse(f"{org}/two:1")
    fill(cache, one)
    fill(cache, two)
    push_all(cache, registry, one)
    assert {str(name) for name in published_names(cache, registry)} == {str(one), f"{one}-amd64"}
