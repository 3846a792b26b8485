"""Manifests, descriptors and addresses as OCI defines them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from farm.errors import RegistryError
from farm.model import Descriptor, Platform, Reference
from farm.registry.client import manifest_request
from farm.registry.oci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    ImageManifest,
    manifest_type,
    read_platform,
)
from tests.support.values import digest

CONFIG, LAYER = Descriptor(OCI_CONFIG, digest("config"), 2), Descriptor(OCI_LAYER, digest("layer"), 3)
FOREIGN = Descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", digest("foreign"), 4)


def manifest(**fields: Any) -> bytes:
    layers = [LAYER.to_json(), {**FOREIGN.to_json(), "urls": ["https://a.org/layer"]}]
    return json.dumps({"config": CONFIG.to_json(), "layers": layers, **fields}).encode()


def test_foreign_layers_are_described_but_not_stored() -> None:
    read = ImageManifest.parse(manifest())
    assert (read.layers, read.stored) == ((LAYER, FOREIGN), (CONFIG, LAYER))


@pytest.mark.parametrize(
    "fields",
    [
        {"config": None},
        {"config": {**CONFIG.to_json(), "digest": "../../etc/passwd"}},
        {"config": {**CONFIG.to_json(), "digest": 5}},
        {"config": {**CONFIG.to_json(), "size": -1}},
        {"config": {**CONFIG.to_json(), "size": True}},
        {"config": {**CONFIG.to_json(), "mediaType": None}},
        {"config": {"digest": digest("x")}},
        {"layers": {"a": 1}},
        {"layers": ["x"]},
    ],
)
def test_an_invalid_manifest_is_an_error(fields: dict[str, Any]) -> None:
    with pytest.raises(RegistryError, match="invalid manifest"):
        assert ImageManifest.parse(manifest(**fields)).stored


def test_a_platform_is_read_from_the_configuration() -> None:
    assert read_platform(b'{"architecture": "arm", "os": "linux", "variant": "v7"}') == Platform(
        "arm", variant="v7"
    )
    with pytest.raises(RegistryError, match="invalid image configuration: no field 'os'"):
        read_platform(b'{"architecture": "arm"}')


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("a.org/b/c:1", "/v2/b/c/manifests/1"),
        ("a.org/b/c", "/v2/b/c/manifests/latest"),
        (f"a.org/b/c:1@{digest('x')}", f"/v2/b/c/manifests/{digest('x')}"),
    ],
)
def test_a_digest_takes_precedence_over_a_tag(reference: str, path: str) -> None:
    assert manifest_request("GET", Reference.parse(reference)).path == path


@pytest.mark.parametrize(
    ("sent_as", "body", "media_type"),
    [
        ("application/json", {"mediaType": DOCKER_LIST, "manifests": []}, DOCKER_LIST),
        (DOCKER_MANIFEST, {"mediaType": OCI_INDEX, "manifests": []}, OCI_INDEX),
        (DOCKER_MANIFEST, {"config": {}, "layers": []}, DOCKER_MANIFEST),
        ("text/plain", {"config": {}, "layers": []}, OCI_MANIFEST),
        ("text/plain", {"manifests": []}, OCI_INDEX),
    ],
)
def test_the_type_of_a_manifest_is_its_own_then_that_of_the_header_then_that_of_its_fields(
    sent_as: str, body: dict[str, object], media_type: str
) -> None:
    assert manifest_type(sent_as, json.dumps(body).encode()) == media_type


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'"x"'])
def test_a_body_without_the_fields_of_a_manifest_is_none(body: bytes) -> None:
    with pytest.raises(RegistryError, match="not a manifest, but text/plain"):
        manifest_type("text/plain", body)


def test_a_document_that_could_be_an_index_and_an_image_is_refused() -> None:
    """https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh."""
    body = json.dumps({"mediaType": OCI_INDEX, "manifests": [], "layers": []}).encode()
    with pytest.raises(RegistryError, match="ambiguous"):
        manifest_type(OCI_INDEX, body)
