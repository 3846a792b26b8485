"""Published images are found, indexes are published: with a real registry."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from farm.errors import RegistryError
from farm.model import DEFAULT_REGISTRY, Descriptor
from farm.registry.description import describe
from farm.registry.index import Index
from farm.registry.oci import DOCKER_LIST, DOCKER_MANIFEST, OCI_MANIFEST
from farm.registry.publish_index import IndexPublication
from farm.registry.published_images import look_up_all, read_index
from farm.registry.transport import is_loopback
from tests.support.proxy.http_faults import answer

if TYPE_CHECKING:
    from tests.integration.registry.conftest import Repository
    from tests.support.proxy.http import HttpProxy


def publish(repository: Repository, *arches: str, required: tuple[str, ...] = ()) -> Descriptor:
    """Publish images that were just pushed, unsigned."""
    built = [repository.image(arch, repository.push(arch)) for arch in arches]
    publication = IndexPublication(repository.registry, repository.reference, built, required=required)
    return publication.publish(check_lease=lambda: None, sign=lambda _: None, stop=threading.Event())


def test_an_unknown_repository_has_no_images_and_cannot_be_described(repository: Repository) -> None:
    assert repository.registry.manifest(repository.reference) is None
    assert repository.registry.head(repository.reference) is None
    assert read_index(repository.registry, repository.reference) == (None, None)
    assert repository.find("amd64") is None
    found = repository.look_up("amd64")
    assert (found.index, found.descriptor, found.images) == (None, None, {})
    with pytest.raises(RegistryError, match="holds no such image"):
        describe(repository.registry, repository.reference)


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_a_single_image_is_found_with_the_platform_of_its_configuration(
    repository: Repository, media_type: str
) -> None:
    pushed = repository.push("arm64", media_type=media_type, variant="v8")
    assert repository.find("arm64") == repository.image("arm64", pushed)
    assert repository.registry.head(repository.reference.for_arch("arm64")) == Descriptor(
        media_type, pushed.digest, pushed.size
    )


def test_an_image_is_found_together_with_its_attestation(repository: Repository) -> None:
    image = repository.push("amd64", tag="plain")
    about = repository.attest(image)
    repository.push_index(image, about, tag="1-amd64")
    assert repository.find("amd64") == repository.image("amd64", image, about)


def test_an_image_for_another_architecture_under_the_tag_is_an_error(repository: Repository) -> None:
    repository.push("arm64", tag="1-amd64")
    with pytest.raises(RegistryError, match="is for arm64, not for amd64"):
        repository.find("amd64")
    repository.push_index(repository.push("s390x"), tag="1-amd64")
    with pytest.raises(RegistryError, match="is for s390x, not for amd64"):
        repository.find("amd64")


def test_a_single_image_under_the_tag_of_the_index_is_an_error_and_is_not_overwritten(
    repository: Repository,
) -> None:
    pushed = repository.push("amd64", tag="1")
    with pytest.raises(RegistryError, match="holds a single image, not an index"):
        publish(repository, "amd64")
    assert repository.registry.existing(repository.reference).descriptor.digest == pushed.digest


def test_looking_up_many_packages_finds_exactly_the_published_images(repository: Repository) -> None:
    amd64, arm64 = repository.push("amd64"), repository.push("arm64")
    index = repository.push_index(amd64, arm64)
    other = repository.reference.with_tag("2")
    repository.push("s390x", tag="2-s390x")
    found = look_up_all(
        repository.registry, {repository.reference: ["amd64", "arm64", "s390x"], other: ["amd64", "s390x"]}
    )
    assert set(found[repository.reference].images) == {"amd64", "arm64"}
    assert found[repository.reference].descriptor == index
    assert set(found[other].images) == {"s390x"}
    assert found[other].index is None


def test_an_image_without_its_own_tag_is_found_in_the_index(repository: Repository) -> None:
    amd64 = repository.push("amd64", tag="elsewhere")
    about = repository.attest(amd64)
    repository.push_index(amd64, about)
    found = repository.look_up("amd64", "arm64")
    assert found.images == {"amd64": repository.image("amd64", amd64, about)}


def test_nothing_is_published_while_an_architecture_is_missing(repository: Repository) -> None:
    with pytest.raises(RegistryError, match="no image for s390x"):
        publish(repository, "amd64", required=("amd64", "s390x"))
    assert repository.registry.head(repository.reference) is None


def test_a_docker_manifest_list_is_published_and_read_as_an_index(repository: Repository) -> None:
    image = repository.push("amd64", media_type=DOCKER_MANIFEST)
    data = {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [image.to_json()]}
    repository.registry.put_manifest(repository.reference, DOCKER_LIST, json.dumps(data).encode())
    index, descriptor = read_index(repository.registry, repository.reference)
    assert index == Index((image,))
    assert descriptor is not None
    assert descriptor.media_type == DOCKER_LIST


def test_images_in_dockers_format_are_published_as_dockers_manifest_list_with_the_same_digests(
    repository: Repository,
) -> None:
    images = [repository.push(arch, media_type=DOCKER_MANIFEST) for arch in ("amd64", "arm64")]
    built = [repository.image(arch, one) for arch, one in zip(("amd64", "arm64"), images, strict=True)]
    publication = IndexPublication(repository.registry, repository.reference, built)
    made = publication.publish(check_lease=lambda: None, sign=lambda _: None, stop=threading.Event())
    assert made.media_type == DOCKER_LIST
    assert repository.registry.head(repository.reference) == made
    assert repository.look_up("amd64").index == Index(tuple(images))


def test_a_registry_that_refuses_an_index_of_two_formats_is_reported_with_a_remedy(
    repository: Repository, proxy: HttpProxy
) -> None:
    built = [
        repository.image("amd64", repository.push("amd64", media_type=DOCKER_MANIFEST)),
        repository.image("arm64", repository.push("arm64")),
    ]
    proxy.breaks("PUT", "/manifests/1$", answer(400, says="manifest invalid"), times=float("inf"))
    publication = IndexPublication(repository.registry, repository.at(proxy.address), built)
    with pytest.raises(RegistryError, match="manifest invalid; the images for amd64 are in Docker's format"):
        publication.publish(check_lease=lambda: None, sign=lambda _: None, stop=threading.Event())


def test_a_description_lists_every_image_with_its_configuration(repository: Repository) -> None:
    image = repository.push("amd64")
    about = repository.attest(image)
    index = repository.push_index(image, about)
    described = describe(repository.registry, repository.reference)
    assert described.descriptor == index
    assert [one.about for one in described.images] == [None, image.digest]
    assert described.images[0].config is not None
    assert described.to_json()["images"][1]["attestationOf"] == image.digest
    single = describe(repository.registry, repository.reference.with_digest(image.digest))
    assert [one.manifest.digest for one in single.images] == [image.digest]


def test_to_remove_a_tag_never_removes_what_it_referred_to(
    repository: Repository, guarded: Repository
) -> None:
    """Whether a registry removes tags at all is its own choice."""
    for one in (repository, guarded):
        image = one.push("amd64")
        tags = [one.reference.for_arch("amd64"), one.reference.with_tag("second")]
        body = one.registry.existing(tags[0]).body
        one.registry.put_manifest(tags[1], image.media_type, body)
        removed = one.registry.untag(tags[1])
        assert (one.registry.head(tags[1]) is None) == removed
        assert [
            one.registry.existing(each).body for each in (tags[0], tags[0].with_digest(image.digest))
        ] == [body] * 2


@pytest.mark.parametrize(
    ("host", "plain"),
    [(host, True) for host in ("localhost", "localhost:1", "127.0.0.1:5000", "[::1]:5")]
    + [(host, False) for host in (DEFAULT_REGISTRY, "localhost.evil.org", "127.0.0.1.evil.org", "10.0.0.1")],
)
def test_only_loopback_is_used_without_tls_by_default(host: str, plain: bool) -> None:
    assert is_loopback(host) is plain
