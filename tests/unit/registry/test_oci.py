"""Manifests, descriptors and addresses as OCI defines them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from farm.errors import RegistryError
from farm.model import Descriptor, Platform, Reference
from farm.registry.client import manifest_request
from farm.registry.oci import OCI_CONFIG, OCI_LAYER, ImageManifest, read_platform
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
