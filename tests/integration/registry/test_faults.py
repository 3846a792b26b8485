"""On a bad way to a registry: patience with what a moment heals, an error for all else, never "not there"."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from farm.errors import RegistryDamagedError, RegistryDeniedError, RegistryError, RegistryUnavailableError
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.publish_index import put
from farm.registry.published_images import arch_image, look_up_all, read_index
from farm.registry.retry import ATTEMPTS
from lab.process import free_port
from tests.support.http_faults import (
    Act,
    HttpRelay,
    answer,
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
    from tests.integration.registry.conftest import Shelf

ALWAYS = float("inf")


@pytest.fixture
def pushed(shelf: Shelf) -> Descriptor:
    """An image, and an index that holds it."""
    image = shelf.push("amd64")
    shelf.push_index(image)
    return image


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A client that waits for no answer longer than two seconds."""
    with Registry(Credentials(tmp_path / "none"), timeout=2) as registry:
        yield registry


@pytest.fixture
def target(shelf: Shelf, relay: HttpRelay, pushed: Descriptor) -> Reference:
    """NAME:TAG-amd64 by way of the relay."""
    assert pushed
    return shelf.at(relay.address).for_arch("amd64")


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
def test_what_a_moment_heals_is_tried_again_and_found(
    registry: Registry, relay: HttpRelay, target: Reference, pushed: Descriptor, fault: Act
) -> None:
    broken = relay.breaks("GET", "/manifests/", fault, times=2)
    found = registry.manifest(target)
    assert found is not None
    assert found.descriptor.digest == pushed.digest
    assert broken.hits == 2
    assert relay.seen("GET", "/manifests/") == 3


@pytest.mark.parametrize(
    "fault",
    [answer(500), answer(503), answer(429), reset(), truncated(keep=20), silence()],
    ids=["500", "503", "429", "reset", "cut off", "silence"],
)
def test_what_does_not_heal_is_told_as_away_after_some_attempts(
    registry: Registry, relay: HttpRelay, target: Reference, fault: Act
) -> None:
    broken = relay.breaks("GET", "/manifests/", fault, times=ALWAYS)
    begun = time.monotonic()
    with pytest.raises(RegistryUnavailableError) as caught:
        registry.manifest(target)
    assert caught.value.retryable
    assert relay.address in str(caught.value)
    assert 1 <= broken.hits <= ATTEMPTS
    assert time.monotonic() - begun < 30


def test_a_pause_is_as_long_as_the_registry_asks_for(
    registry: Registry, relay: HttpRelay, target: Reference
) -> None:
    relay.breaks("GET", "/manifests/", answer(429, retry_after=1), times=1)
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
def test_what_a_repeat_does_not_change_is_not_repeated(
    registry: Registry, relay: HttpRelay, target: Reference, status: int, kind: type[RegistryError]
) -> None:
    broken = relay.breaks(".*", "/manifests/", answer(status, says="not like that"), times=ALWAYS)
    with pytest.raises(RegistryError) as caught:
        registry.head(target)
    assert type(caught.value) is kind
    assert not caught.value.retryable
    assert broken.hits == 1
    with pytest.raises(RegistryError, match="not like that"):
        registry.manifest(target)


@pytest.mark.parametrize("status", [400, 403, 500])
def test_no_error_is_ever_taken_for_not_there(
    registry: Registry, relay: HttpRelay, shelf: Shelf, pushed: Descriptor, status: int
) -> None:
    assert pushed
    relay.breaks(".*", "/manifests/1", answer(status), times=ALWAYS)
    nowhere = shelf.at(relay.address)
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
def test_bytes_that_are_not_what_they_are_named_are_refused(
    registry: Registry, relay: HttpRelay, target: Reference, fault: Act
) -> None:
    relay.breaks("GET", "/manifests/", fault, times=ALWAYS)
    with pytest.raises(RegistryDamagedError, match="other bytes than it names"):
        registry.manifest(target)


def test_a_damaged_configuration_is_refused(registry: Registry, relay: HttpRelay, target: Reference) -> None:
    relay.breaks("GET", "/blobs/", other_bytes(), times=ALWAYS)
    with pytest.raises(RegistryError, match="other bytes"):
        arch_image(registry, target, "amd64")


def test_a_digest_is_checked_also_where_the_registry_names_none(
    registry: Registry, relay: HttpRelay, target: Reference, pushed: Descriptor
) -> None:
    def forget(exchange: object) -> None:
        exchange.pass_on(reply=lambda reply: reply.with_header("Docker-Content-Digest", None))  # type: ignore[attr-defined]

    relay.breaks(".*", "/manifests/", forget, times=ALWAYS)
    head = registry.head(target)
    assert head is not None
    assert (head.digest, head.size) == (pushed.digest, pushed.size)
    by_digest = registry.manifest(target.with_digest(pushed.digest))
    assert by_digest is not None
    assert by_digest.descriptor.digest == pushed.digest


def test_a_head_without_a_length_is_asked_for_as_a_whole(
    registry: Registry, relay: HttpRelay, target: Reference, pushed: Descriptor
) -> None:
    def forget(exchange: object) -> None:
        exchange.pass_on(reply=lambda reply: reply.with_header("Content-Length", None))  # type: ignore[attr-defined]

    relay.breaks("HEAD", "/manifests/", forget, times=ALWAYS)
    head = registry.head(target)
    assert head is not None
    assert (head.digest, head.size) == (pushed.digest, pushed.size)


def test_an_endless_answer_is_not_read_to_its_end(
    registry: Registry, relay: HttpRelay, target: Reference
) -> None:
    relay.breaks(
        "GET", "/manifests/", lambda exchange: exchange.answer(200, {}, bytes(9 << 20)), times=ALWAYS
    )
    with pytest.raises(RegistryError, match="more than 8 MiB"):
        registry.manifest(target)


def test_an_index_that_was_stored_although_the_answer_was_lost_stands_once(
    registry: Registry, shelf: Shelf, relay: HttpRelay, pushed: Descriptor
) -> None:
    broken = relay.breaks("PUT", "/manifests/", lost_answer(), times=1)
    manifest = shelf.registry.manifest(shelf.reference)
    assert manifest is not None
    other = shelf.at(relay.address).with_tag("again")
    assert put(registry, other, manifest)
    assert broken.hits == 1
    assert pushed


def test_a_tag_that_somebody_overwrites_at_once_is_not_taken_for_ours(
    registry: Registry, shelf: Shelf, relay: HttpRelay, pushed: Descriptor
) -> None:
    mine = shelf.registry.manifest(shelf.reference)
    assert mine is not None
    other = shelf.push("arm64")
    relay.breaks("GET", "/manifests/", preceded_by(lambda: shelf.push_index(pushed, other)), times=1)
    assert not put(registry, shelf.at(relay.address), mine)


def test_a_slow_registry_is_waited_for_within_the_time_out(
    registry: Registry, relay: HttpRelay, target: Reference
) -> None:
    relay.breaks("GET", "/manifests/", delayed(0.5), times=1)
    assert registry.manifest(target)
    assert relay.seen("GET", "/manifests/") == 1


def test_where_nobody_listens_the_registry_is_away(registry: Registry, shelf: Shelf) -> None:
    with pytest.raises(RegistryUnavailableError, match="cannot be reached"):
        registry.head(shelf.at(f"localhost:{free_port()}"))
    with pytest.raises(RegistryUnavailableError, match="cannot be reached"):
        registry.head(shelf.at("no-such-host.invalid"))
