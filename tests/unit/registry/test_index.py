"""Assembling indexes: published images are kept, new ones replace them, attestations follow their image."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from farm.errors import RegistryError
from farm.model import Descriptor, Platform
from farm.registry.index import Index, assemble, children, holds, members_of, missing, platforms
from farm.registry.oci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    ImageManifest,
)
from tests.support.values import attestation, descriptor, digest, image

AMD, ARM = descriptor("amd", "amd64"), descriptor("arm", "arm64")
ABOUT_AMD, ABOUT_ARM = attestation("a1", AMD), attestation("a2", ARM)
PUBLISHED = Index((AMD, ARM, ABOUT_AMD, ABOUT_ARM))
V6, V7, V8 = (
    Descriptor(OCI_MANIFEST, digest(variant), 7, Platform(arch, variant=variant))
    for arch, variant in (("arm", "v6"), ("arm", "v7"), ("arm64", "v8"))
)
FIRST, SECOND = attestation("one", AMD), attestation("two", AMD)


@pytest.mark.parametrize(
    ("new", "published", "members"),
    [
        pytest.param([V8], [ARM], {V8}, id="arm64 is arm64 v8"),
        pytest.param([V7], [V6, V7], {V6, V7}, id="other variants are other platforms"),
        pytest.param([AMD, SECOND], [AMD, FIRST], {AMD, FIRST, SECOND}, id="a repeated image loses nothing"),
    ],
)
def test_an_image_replaces_another_one_of_its_platform_only(
    new: list[Descriptor], published: list[Descriptor], members: set[Descriptor]
) -> None:
    assert set(assemble([image("arm64", *new)], Index(tuple(published))).manifests) == members


def test_an_attestation_does_not_count_as_an_image_of_its_architecture() -> None:
    index = Index((attestation("a", AMD),))
    assert platforms(index) == frozenset()
    assert missing(index, ["unknown"]) == ("unknown",)


def test_missing_architectures_are_listed_in_the_requested_order() -> None:
    assert missing(Index((AMD,)), ["s390x", "amd64", "arm64"]) == ("s390x", "arm64")


def test_the_members_of_an_architecture_are_its_image_and_the_attestations() -> None:
    assert (members_of(PUBLISHED, "arm64"), members_of(PUBLISHED, "s390x")) == ((ARM, ABOUT_ARM), ())


def test_an_index_holds_an_image_only_together_with_its_attestations() -> None:
    attested = image("amd64", AMD, attestation("a", AMD))
    assert holds(Index((AMD, attestation("a", AMD))), attested)
    assert not holds(Index((AMD,)), attested)
    assert not holds(Index((descriptor("older", "amd64"),)), image("amd64", AMD))


def test_the_body_is_an_oci_index_and_the_descriptor_matches_it() -> None:
    index = Index((AMD,), annotations=(("ä", "ö"),))
    data = json.loads(index.body())
    assert (data["schemaVersion"], data["mediaType"]) == (2, OCI_INDEX)
    assert data["annotations"] == {"ä": "ö"}
    named = index.descriptor()
    assert (named.digest, named.size) == (digest(index.body().decode()), len(index.body()))


@pytest.mark.parametrize(
    ("types", "annotations", "media_type"),
    [
        pytest.param([OCI_MANIFEST, OCI_MANIFEST], (), OCI_INDEX, id="OCI"),
        pytest.param([DOCKER_MANIFEST, DOCKER_MANIFEST], (), DOCKER_LIST, id="Docker"),
        pytest.param([DOCKER_MANIFEST, OCI_MANIFEST], (), OCI_INDEX, id="mixed"),
        pytest.param([DOCKER_MANIFEST], (("a", "b"),), OCI_INDEX, id="annotations"),
        pytest.param([], (), OCI_INDEX, id="empty"),
    ],
)
def test_the_type_of_an_index_follows_its_members(
    types: list[str], annotations: tuple[tuple[str, str], ...], media_type: str
) -> None:
    pairs = zip(types, (AMD, ARM), strict=False)
    index = Index(tuple(replace(one, media_type=own) for own, one in pairs), annotations)
    assert index.descriptor().media_type == json.loads(index.body())["mediaType"] == media_type
    assert Index.parse(index.body()) == index


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_or_a_docker_manifest_list_refers_to_its_members(media_type: str) -> None:
    body = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": [AMD.to_json()]}).encode()
    assert Index.parse(body) == Index((AMD,))
    assert children(media_type, body) == (AMD,)


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_a_manifest_refers_to_its_configuration_and_layers(media_type: str) -> None:
    config, layer = Descriptor(OCI_CONFIG, digest("config"), 2), Descriptor(OCI_LAYER, digest("layer"), 3)
    assert children(media_type, ImageManifest.body(config, [layer])) == (config, layer)


def test_an_unknown_kind_of_manifest_is_refused() -> None:
    """It may refer to blobs that nothing would copy."""
    with pytest.raises(RegistryError, match=f"unsupported media type {re.escape(OCI_LAYER)}"):
        children(OCI_LAYER, b"\x1f\x8b")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"{}", b"\xff", b'{"manifests": [], "annotations": [1]}']
    + [b'{"manifests": %s}' % value for value in (b"null", b"{}", b'""', b"[1]", b"[{}]")],
)
def test_an_invalid_index_is_an_error_and_never_an_empty_index(body: bytes) -> None:
    with pytest.raises(RegistryError, match="invalid index"):
        Index.parse(body)
