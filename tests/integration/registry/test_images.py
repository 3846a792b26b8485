"""What stands in a registry, and what does not: a real one."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from farm.errors import RegistryError
from farm.model import DEFAULT_REGISTRY, Descriptor
from farm.registry.describe import describe
from farm.registry.index import Index
from farm.registry.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_MANIFEST
from farm.registry.publish_index import Publishing
from farm.registry.published_images import arch_image, look_up_all, read_index
from farm.registry.transport import is_loopback
from tests.support.values import digest

if TYPE_CHECKING:
    from tests.integration.registry.conftest import Shelf


def publish(shelf: Shelf, *arches: str, required: tuple[str, ...] = ()) -> Descriptor:
    """Publish images that were just pushed, unsigned."""
    built = [shelf.image(arch, shelf.push(arch)) for arch in arches]
    publishing = Publishing(shelf.registry, shelf.reference, built, required=required)
    return publishing.publish(ours=lambda: None, then=lambda _: None, until=threading.Event())


def test_nothing_stands_in_a_repository_that_nobody_has_heard_of(shelf: Shelf) -> None:
    assert shelf.registry.manifest(shelf.reference) is None
    assert shelf.registry.head(shelf.reference) is None
    assert read_index(shelf.registry, shelf.reference) == (None, None)
    assert arch_image(shelf.registry, shelf.reference.for_arch("amd64"), "amd64") is None
    standing = look_up_all(shelf.registry, {shelf.reference: ["amd64"]})[shelf.reference]
    assert (standing.index, standing.descriptor, standing.images) == (None, None, {})


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_a_single_image_is_found_with_the_platform_of_its_configuration(
    shelf: Shelf, media_type: str
) -> None:
    pushed = shelf.push("arm64", media_type=media_type, variant="v8")
    found = arch_image(shelf.registry, shelf.reference.for_arch("arm64"), "arm64")
    assert found == shelf.image("arm64", pushed)
    assert shelf.registry.head(shelf.reference.for_arch("arm64")) == Descriptor(
        media_type, pushed.digest, pushed.size
    )


def test_an_image_with_an_attestation_is_found_with_it(shelf: Shelf) -> None:
    image = shelf.push("amd64", tag="plain")
    about = shelf.attest(image)
    shelf.push_index(image, about, tag="1-amd64")
    found = arch_image(shelf.registry, shelf.reference.for_arch("amd64"), "amd64")
    assert found == shelf.image("amd64", image, about)


def test_an_image_for_another_architecture_under_the_tag_is_an_error(shelf: Shelf) -> None:
    shelf.push("arm64", tag="1-amd64")
    with pytest.raises(RegistryError, match="is for arm64, not for amd64"):
        arch_image(shelf.registry, shelf.reference.for_arch("amd64"), "amd64")
    shelf.push_index(shelf.push("s390x"), tag="1-amd64")
    with pytest.raises(RegistryError, match="is for s390x, not for amd64"):
        arch_image(shelf.registry, shelf.reference.for_arch("amd64"), "amd64")


def test_a_single_image_under_the_indexs_tag_is_an_error_and_is_not_overwritten(shelf: Shelf) -> None:
    pushed = shelf.push("amd64", tag="1")
    with pytest.raises(RegistryError, match="holds a single image, not an index"):
        publish(shelf, "amd64")
    now = shelf.registry.manifest(shelf.reference)
    assert now is not None
    assert now.descriptor.digest == pushed.digest


def test_a_sweep_finds_of_many_packages_just_what_stands(shelf: Shelf) -> None:
    amd64, arm64 = shelf.push("amd64"), shelf.push("arm64")
    index = shelf.push_index(amd64, arm64)
    other = shelf.reference.with_tag("2")
    shelf.push("s390x", tag="2-s390x")
    found = look_up_all(
        shelf.registry, {shelf.reference: ["amd64", "arm64", "s390x"], other: ["amd64", "s390x"]}
    )
    assert set(found[shelf.reference].images) == {"amd64", "arm64"}
    assert found[shelf.reference].descriptor == index
    assert set(found[other].images) == {"s390x"}
    assert found[other].index is None


def test_an_image_whose_tag_is_gone_stands_where_the_index_holds_it(shelf: Shelf) -> None:
    amd64 = shelf.push("amd64", tag="elsewhere")
    about = shelf.attest(amd64)
    shelf.push_index(amd64, about)
    standing = look_up_all(shelf.registry, {shelf.reference: ["amd64", "arm64"]})[shelf.reference]
    assert standing.images == {"amd64": shelf.image("amd64", amd64, about)}


def test_an_index_is_published_as_it_is_read_back(shelf: Shelf) -> None:
    published = publish(shelf, "amd64", "arm64")
    manifest = shelf.registry.manifest(shelf.reference)
    assert manifest is not None
    assert (manifest.descriptor, Index.parse(manifest.body).body()) == (published, manifest.body)


def test_what_stood_for_other_architectures_stays_with_its_attestations(shelf: Shelf) -> None:
    riscv64 = shelf.push("riscv64", tag="other")
    about = shelf.attest(riscv64)
    shelf.push_index(riscv64, about)
    publish(shelf, "amd64")
    index, _ = read_index(shelf.registry, shelf.reference)
    assert index is not None
    assert {riscv64, about} < set(index.manifests)
    assert len(index.manifests) == 3


def test_nothing_is_published_while_an_architecture_is_missing(shelf: Shelf) -> None:
    with pytest.raises(RegistryError, match="no image for s390x"):
        publish(shelf, "amd64", required=("amd64", "s390x"))
    assert shelf.registry.head(shelf.reference) is None


def test_an_index_of_images_that_are_not_there_is_refused_by_the_registry(shelf: Shelf) -> None:
    with pytest.raises(RegistryError) as caught:
        shelf.push_index(Descriptor(OCI_MANIFEST, digest("nowhere"), 7))
    assert not caught.value.retryable
    assert shelf.registry.head(shelf.reference) is None


def test_dockers_manifest_list_is_read_as_an_index(shelf: Shelf) -> None:
    image = shelf.push("amd64", media_type=DOCKER_MANIFEST)
    data = {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [image.to_json()]}
    shelf.registry.put_manifest(shelf.reference, DOCKER_LIST, json.dumps(data).encode())
    index, descriptor = read_index(shelf.registry, shelf.reference)
    assert index == Index((image,))
    assert descriptor is not None
    assert descriptor.media_type == DOCKER_LIST


def test_a_description_names_every_image_with_its_configuration(shelf: Shelf) -> None:
    image = shelf.push("amd64")
    about = shelf.attest(image)
    index = shelf.push_index(image, about)
    described = describe(shelf.registry, shelf.reference)
    assert described.descriptor == index
    assert [one.about for one in described.images] == [None, image.digest]
    assert described.images[0].config is not None
    data = described.to_json()
    assert data["images"][1]["attestationOf"] == image.digest
    single = describe(shelf.registry, shelf.reference.with_digest(image.digest))
    assert [one.manifest.digest for one in single.images] == [image.digest]


def test_what_is_not_there_cannot_be_described(shelf: Shelf) -> None:
    with pytest.raises(RegistryError, match="holds no such image"):
        describe(shelf.registry, shelf.reference)


def test_of_many_calls_at_once_the_first_error_is_raised(shelf: Shelf) -> None:
    def call(number: int) -> int:
        if number % 10 == 7:
            raise RegistryError(f"number {number}")
        return number

    assert shelf.registry.at_once(call, range(7)) == list(range(7))
    with pytest.raises(RegistryError, match="number 7"):
        shelf.registry.at_once(call, range(40))


def test_only_this_machine_is_spoken_to_without_tls_unasked() -> None:
    assert all(is_loopback(host) for host in ("localhost", "localhost:1", "127.0.0.1:5000", "[::1]:5"))
    assert not any(
        is_loopback(host)
        for host in (DEFAULT_REGISTRY, "localhost.evil.org", "127.0.0.1.evil.org", "10.0.0.1")
    )
