"""Failures of a registry are retried if they may pass, else errors, and never count as missing images."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from farm.registry.transport import ATTEMPTS

from farm.errors import RegistryDamagedError, RegistryDeniedError, RegistryError, RegistryUnavailableError
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.publish_index import IndexPublication, put
from farm.registry.published_images import arch_image, look_up_all, read_index
from farm.system.deadline import Deadline
from lab.process import free_port
from tests.support.proxy.http_faults import (
    answer,
    changed_header,
    delayed,
    lost_answer,
    other_bytes,
    other_digest,
    preceded_by,
    reset,
    reset_answer,
    silence,
    truncated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.model import Descriptor, Reference
    from tests.integration.registry.conftest import Repository
    from tests.support.proxy.http import Act, HttpProxy

ALWAYS = float("inf")


@pytest.fixture
def pushed(repository: Repository) -> Descriptor:
    """An image, and an index that holds it."""
    image = repository.push("amd64")
    repository.push_index(image)
    return image


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A client that waits for a response for at most two seconds."""
    with Registry(Credentials(tmp_path / "none"), timeout=2) as registry:
        yield registry


@pytest.fixture
def target(repository: Repository, proxy: HttpProxy, pushed: Descriptor) -> Reference:
    """NAME:TAG-amd64 by way of the proxy."""
    assert pushed
    return repository.at(proxy.address).for_arch("amd64")


@pytest.mark.parametrize(
    "fault",
    [
        answer(500),
        answer(502),
        answer(503, retry_after=0),
        answer(429, retry_after=1),
        reset(),
        reset_answer(after=20),
        lost_answer(),
        truncated(keep=20),
    ],
    ids=["500", "502", "503", "429", "reset", "reset in the answer", "no answer", "cut off"],
)
def test_a_temporary_failure_is_retried(
    registry: Registry, proxy: HttpProxy, target: Reference, pushed: Descriptor, fault: Act
) -> None:
    broken = proxy.breaks("GET", "/manifests/", fault, times=2)
    found = registry.manifest(target)
    assert found is not None
    assert found.descriptor.digest == pushed.digest
    assert broken.hits == 2
    assert proxy.seen("GET", "/manifests/") == 3


@pytest.mark.parametrize(
    "fault",
    [answer(500), answer(503), answer(429), reset(), truncated(keep=20), silence()],
    ids=["500", "503", "429", "reset", "cut off", "silence"],
)
def test_a_permanent_failure_is_reported_as_unavailable_after_some_attempts(
    registry: Registry, proxy: HttpProxy, target: Reference, fault: Act
) -> None:
    broken = proxy.breaks("GET", "/manifests/", fault, times=ALWAYS)
    begun = time.monotonic()
    with pytest.raises(RegistryUnavailableError) as caught:
        registry.manifest(target)
    assert caught.value.retryable
    assert proxy.address in str(caught.value)
    assert 1 <= broken.hits <= ATTEMPTS
    assert time.monotonic() - begun < 30


def test_nothing_is_retried_after_the_deadline_of_the_operation(
    registry: Registry, proxy: HttpProxy, target: Reference
) -> None:
    broken = proxy.breaks("GET", "/manifests/", answer(500), times=ALWAYS)
    with pytest.raises(RegistryUnavailableError):
        registry.within(Deadline.after(0)).manifest(target)
    assert broken.hits == 1


def test_no_round_of_publication_begins_after_the_deadline(
    registry: Registry, proxy: HttpProxy, repository: Repository, pushed: Descriptor
) -> None:
    proxy.breaks("PUT", "/manifests/1$", answer(201, says=""), times=ALWAYS)
    built = [repository.image("amd64", pushed), repository.image("arm64", repository.push("arm64"))]
    late = registry.within(Deadline.after(0))
    with pytest.raises(RegistryUnavailableError, match="kept overwriting the index"):
        IndexPublication(late, repository.at(proxy.address), built).publish(
            check_lease=lambda: None, sign=lambda _: None, stop=threading.Event()
        )
    assert proxy.seen("PUT", "/manifests/1$") == 1


def test_a_pause_is_as_long_as_the_registry_asks_for(
    registry: Registry, proxy: HttpProxy, target: Reference
) -> None:
    proxy.breaks("GET", "/manifests/", answer(429, retry_after=1), times=1)
    begun = time.monotonic()
    assert registry.manifest(target)
    assert time.monotonic() - begun >= 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RegistryError),
        (401, RegistryDeniedError),
        (403, RegistryDeniedError),
        (405, RegistryError),
        (418, RegistryError),
    ],
)
def test_an_error_that_a_retry_cannot_change_is_not_retried(
    registry: Registry, proxy: HttpProxy, target: Reference, status: int, kind: type[RegistryError]
) -> None:
    broken = proxy.breaks(".*", "/manifests/", answer(status, says="not like that"), times=ALWAYS)
    with pytest.raises(RegistryError) as caught:
        registry.head(target)
    assert type(caught.value) is kind
    assert not caught.value.retryable
    assert broken.hits == 1
    with pytest.raises(RegistryError, match="not like that"):
        registry.manifest(target)


@pytest.mark.parametrize("status", [400, 403, 500])
def test_an_error_never_counts_as_a_missing_image(
    registry: Registry, proxy: HttpProxy, repository: Repository, pushed: Descriptor, status: int
) -> None:
    assert pushed
    proxy.breaks(".*", "/manifests/1", answer(status), times=ALWAYS)
    nowhere = repository.at(proxy.address)
    for ask in (registry.head, registry.manifest, lambda one: read_index(registry, one)):
        with pytest.raises(RegistryError):
            ask(nowhere)
    with pytest.raises(RegistryError):
        arch_image(registry, nowhere.for_arch("amd64"), "amd64")
    with pytest.raises(RegistryError):
        look_up_all(registry, {nowhere: ["amd64"]})


@pytest.mark.parametrize(
    "fault",
    [other_bytes(), other_digest(), truncated(keep=20, admits=True)],
    ids=["other bytes", "other digest", "cut off and admitted"],
)
def test_a_manifest_with_another_digest_is_refused(
    registry: Registry, proxy: HttpProxy, target: Reference, fault: Act
) -> None:
    proxy.breaks("GET", "/manifests/", fault, times=ALWAYS)
    with pytest.raises(RegistryDamagedError, match="digest mismatch"):
        registry.manifest(target)


def test_a_damaged_configuration_is_refused(registry: Registry, proxy: HttpProxy, target: Reference) -> None:
    proxy.breaks("GET", "/blobs/", other_bytes(), times=ALWAYS)
    with pytest.raises(RegistryError, match="digest mismatch"):
        arch_image(registry, target, "amd64")


def test_a_digest_is_verified_even_if_the_registry_sends_none(
    registry: Registry, proxy: HttpProxy, target: Reference, pushed: Descriptor
) -> None:
    proxy.breaks(".*", "/manifests/", changed_header("Docker-Content-Digest", None), times=ALWAYS)
    head = registry.head(target)
    assert head is not None
    assert (head.digest, head.size) == (pushed.digest, pushed.size)
    by_digest = registry.manifest(target.with_digest(pushed.digest))
    assert by_digest is not None
    assert by_digest.descriptor.digest == pushed.digest


def test_a_manifest_is_downloaded_if_a_head_response_has_no_length(
    registry: Registry, proxy: HttpProxy, target: Reference, pushed: Descriptor
) -> None:
    proxy.breaks("HEAD", "/manifests/", changed_header("Content-Length", None), times=ALWAYS)
    head = registry.head(target)
    assert head is not None
    assert (head.digest, head.size) == (pushed.digest, pushed.size)


def test_an_endless_answer_is_not_read_to_its_end(
    registry: Registry, proxy: HttpProxy, target: Reference
) -> None:
    proxy.breaks(
        "GET", "/manifests/", lambda exchange: exchange.answer(200, {}, bytes(9 << 20)), times=ALWAYS
    )
    with pytest.raises(RegistryError, match="more than 8 MiB"):
        registry.manifest(target)


def test_an_index_is_stored_once_although_the_response_was_lost(
    registry: Registry, repository: Repository, proxy: HttpProxy, pushed: Descriptor
) -> None:
    broken = proxy.breaks("PUT", "/manifests/", lost_answer(), times=1)
    manifest = repository.registry.manifest(repository.reference)
    assert manifest is not None
    other = repository.at(proxy.address).with_tag("again")
    assert put(registry, other, manifest)
    assert broken.hits == 1
    assert pushed


def test_a_tag_that_another_client_overwrites_at_once_is_noticed(
    registry: Registry, repository: Repository, proxy: HttpProxy, pushed: Descriptor
) -> None:
    mine = repository.registry.manifest(repository.reference)
    assert mine is not None
    other = repository.push("arm64")
    proxy.breaks("GET", "/manifests/", preceded_by(lambda: repository.push_index(pushed, other)), times=1)
    assert not put(registry, repository.at(proxy.address), mine)


def test_a_slow_registry_is_waited_for_within_the_time_limit(
    registry: Registry, proxy: HttpProxy, target: Reference
) -> None:
    proxy.breaks("GET", "/manifests/", delayed(0.5), times=1)
    assert registry.manifest(target)
    assert proxy.seen("GET", "/manifests/") == 1


def test_an_unreachable_registry_is_reported_as_unavailable(
    registry: Registry, repository: Repository
) -> None:
    with pytest.raises(RegistryUnavailableError, match="cannot be reached"):
        registry.head(repository.at(f"localhost:{free_port()}"))
    with pytest.raises(RegistryUnavailableError, match="cannot be reached"):
        registry.head(repository.at("no-such-host.invalid"))
