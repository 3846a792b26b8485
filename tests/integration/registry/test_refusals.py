"""A registry that refuses to say what does not exist is pushed to, and nothing that exists is overwritten."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from farm.errors import RegistryDeniedError, RegistryUnavailableError
from farm.model import Copy, digest_of
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.publish_index import IndexPublication
from farm.registry.published_images import look_up_all, read_index
from farm.registry.release_tags import prepare_release, release
from lab.images import push_bytes
from tests.support.proxy.http_faults import answer, hidden

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.model import Descriptor, Reference
    from tests.integration.registry.conftest import Repository
    from tests.support.proxy.http import HttpProxy

ALWAYS = float("inf")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A client."""
    with Registry(Credentials(tmp_path / "none"), timeout=5) as registry:
        yield registry


@pytest.fixture
def target(repository: Repository, proxy: HttpProxy) -> Reference:
    """NAME:TAG by way of the proxy."""
    return repository.at(proxy.address)


def publish(registry: Registry, repository: Repository, target: Reference) -> Descriptor:
    """Publish an image for amd64 that was just pushed."""
    built = [repository.image("amd64", repository.push("amd64"))]
    publication = IndexPublication(registry, target, built)
    return publication.publish(check_lease=lambda: None, sign=lambda _: None, stop=threading.Event())


def test_a_package_is_planned_and_published_where_look_ups_of_what_does_not_exist_are_refused(
    registry: Registry,
    repository: Repository,
    target: Reference,
    proxy: HttpProxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy.breaks(".*", "/manifests/", hidden(), times=ALWAYS)
    found = look_up_all(registry, {target: ["amd64", "arm64"]})[target]
    assert (found.index, found.images) == (None, {})
    # The upload that was begun to find out is cancelled, and the user is told once.
    assert (proxy.seen("POST", "/uploads/"), proxy.seen("DELETE", "/uploads/")) == (1, 1)
    (warning,) = caplog.messages
    assert f"{target.name}: the registry {target.registry} refuses access" in warning
    assert "it accepts uploads, so a tag that it refuses to look up counts as not published" in warning
    made = publish(registry, repository, target)
    assert registry.head(target) == made


def test_a_login_that_may_push_but_not_read_overwrites_nothing(
    registry: Registry, repository: Repository, target: Reference, proxy: HttpProxy
) -> None:
    published = repository.push_index(repository.push("arm64"))
    proxy.breaks("GET|HEAD", "/manifests/", answer(403), times=ALWAYS)
    with pytest.raises(RegistryDeniedError, match="is not changed: the login may push, but not read"):
        publish(registry, repository, target)
    assert repository.registry.head(repository.reference) == published


def test_a_tag_whose_look_up_was_refused_only_for_a_moment_is_not_overwritten(
    registry: Registry, repository: Repository, target: Reference, proxy: HttpProxy
) -> None:
    wanted, taken = (repository.push_index(repository.push(arch), tag=arch) for arch in ("amd64", "arm64"))
    copies = [Copy(target.with_tag("amd64"), "arm64", sign=False)]
    proxy.breaks("HEAD", "/manifests/arm64$", answer(403), times=2)
    found = prepare_release(registry, copies)
    with pytest.raises(RegistryUnavailableError, match="it exists, although its look-up was refused"):
        release(registry, found)
    assert repository.registry.head(repository.reference.with_tag("arm64")) == taken != wanted


def test_who_may_only_read_gets_a_refusal_as_an_error(
    registry: Registry, target: Reference, proxy: HttpProxy
) -> None:
    proxy.breaks(".*", "/manifests/", hidden(), times=ALWAYS)
    proxy.breaks("POST", "/uploads/", answer(403), times=ALWAYS)
    with pytest.raises(RegistryDeniedError):
        read_index(registry, target)


def test_a_blob_whose_look_up_is_refused_is_uploaded(
    registry: Registry, target: Reference, proxy: HttpProxy
) -> None:
    refused = proxy.breaks("HEAD", "/blobs/", answer(401), times=ALWAYS)
    push_bytes(registry, target, b"blob")
    assert registry.blob(target, digest_of(b"blob")) == b"blob"
    assert refused.hits == 1
