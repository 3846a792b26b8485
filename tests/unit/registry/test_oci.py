"""Manifests, descriptors and addresses as OCI defines them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from farm.errors import RegistryError
from farm.model import Descriptor, Platform, Reference
from farm.registry.oci import (
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    ImageManifest,
    children,
    manifest_path,
    read_platform,
)
from tests.support.values import descriptor, digest

CONFIG, LAYER = Descriptor(OCI_CONFIG, digest("config"), 2), Descriptor(OCI_LAYER, digest("layer"), 3)
FOREIGN = Descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", digest("foreign"), 4)


def manifest(**fields: Any) -> bytes:
    layers = [LAYER.to_json(), {**FOREIGN.to_json(), "urls": ["https://a.org/layer"]}]
    return json.dumps({"config": CONFIG.to_json(), "layers": layers, **fields}).encode()


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_foreign_layers_are_described_but_not_stored(media_type: str) -> None:
    assert ImageManifest.parse(manifest()).layers == (LAYER, FOREIGN)
    assert children(media_type, manifest()) == (CONFIG, LAYER)


def test_the_children_of_an_index_are_its_members() -> None:
    member = descriptor("amd", "amd64")
    assert children(OCI_INDEX, json.dumps({"manifests": [member.to_json()]}).encode()) == (member,)


def test_an_unknown_kind_of_manifest_is_refused() -> None:
    """It may refer to blobs that nothing would copy."""
    with pytest.raises(RegistryError, match=f"unsupported media type {re.escape(OCI_LAYER)}"):
        children(OCI_LAYER, b"\x1f\x8b")


def test_a_manifest_that_is_written_is_read_as_the_same() -> None:
    assert ImageManifest.parse(ImageManifest.body(CONFIG, [LAYER])) == ImageManifest(CONFIG, (LAYER,))


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
        children(OCI_MANIFEST, manifest(**fields))


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
    assert manifest_path(Reference.parse(reference)) == path
