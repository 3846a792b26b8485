"""A document of a registry that is malformed, or lies, is one short error of that registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import RegistryError
from farm.model import Descriptor, digest_of
from farm.registry.copy_image import copy
from farm.registry.description import describe
from farm.registry.oci import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from farm.registry.published_images import arch_image, look_up_all
from tests.support.hostile_registry import MIB, client, reference_at
from tests.support.hostile_server import Asked, HostileServer, hostile_server, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm.registry.client import Registry

MEMBER = {"mediaType": OCI_MANIFEST, "digest": digest_of(b"x"), "size": 2}
GOOD_PLATFORM = {"architecture": "amd64", "os": "linux"}
INDEX_HEAD = f'{{"mediaType": "{OCI_INDEX}", "manifests": '


def index(**changes: Any) -> bytes:
    member = {**MEMBER, "platform": GOOD_PLATFORM, **changes}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [member]}).encode()


DOCUMENTS = {
    "7 MB of brackets": b"[" * (7 * MIB),
    "deep list": INDEX_HEAD.encode() + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep object": b'{"a":' * 100_000,
    "deep annotation": index(annotations={"a": 1}).replace(b"1}", b"[" * 50_000 + b"]" * 50_000 + b"}"),
    "digest a list": index(digest=[1]),
    "digest an object": index(digest={}),
    "digest of a path": index(digest="../../x"),
    "digest too long": index(digest="sha256:" + "a" * 5000),
    "size a string": index(size="2"),
    "size negative": index(size=-1),
    "size huge": index(size=1 << 64),
    "size true": index(size=True),
    "size a fraction": index(size=1.5),
    "size of 5000 digits": index(size=12).replace(b"12", b"1" * 5000),
    "size not a number": index(size=12).replace(b"12", b"NaN"),
    "media type a number": index(mediaType=5),
    "media type with escapes": index(mediaType="\x1b[31m"),
    "media type missing": index().replace(b'"mediaType": "application/vnd.oci.image.manifest', b'"x": "'),
    "platform a list": index(platform=[1]),
    "platform a text": index(platform="linux/amd64"),
    "architecture a list": index(platform={"architecture": [], "os": "linux"}),
    "os an object": index(platform={"architecture": "amd64", "os": {}}),
    "variant a list": index(platform={**GOOD_PLATFORM, "variant": []}),
    "annotations a list": index(annotations=[]),
    "annotation a number": index(annotations={"a": 1}),
    "members an object": INDEX_HEAD.encode() + b"{}}",
    "members a number": INDEX_HEAD.encode() + b"5}",
    "member a number": INDEX_HEAD.encode() + b"[5]}",
    "own media type a list": index().replace(f'"{OCI_INDEX}"'.encode(), b"[]"),
    "two sizes": index().replace(b'"size": 2', b'"size": 2, "size": 3'),
    "two lists of members": index().replace(b'{"schema', b'{"manifests": [], "schema'),
    "another spelling": index().replace(b'{"schema', b'{"Manifests": [], "schema'),
    "another spelling by Unicode": index().replace(b'"size": 2', '"size": 2, "\u017fize": 3'.encode()),
    "UTF-16": index().decode().encode("utf-16"),
    "not UTF-8": index().replace(b"linux", b"\xff\xfe"),
}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with client(tmp_path_factory.mktemp("none")) as farm:
        yield farm


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_malformed_document_is_one_short_error_of_the_registry(documents: Registry, kind: str) -> None:
    def act(_: HostileServer, asked: Asked) -> list[bytes]:
        return reply(status=404) if asked.method == "HEAD" else reply(DOCUMENTS[kind], Content_Type=OCI_INDEX)

    with hostile_server(act) as registry:
        reference = reference_at(registry.address)
        asks: list[Callable[[], object]] = [
            lambda: look_up_all(documents, {reference: ["amd64"]}),
            lambda: describe(documents, reference),
            lambda: copy(documents, reference, reference._replace(repository="org/bar")),
        ]
        for ask in asks:
            with pytest.raises(RegistryError) as caught:
                ask()
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 400


def test_the_size_and_digest_that_a_head_answer_claims_are_not_taken_for_granted(tmp_path: Path) -> None:
    body = index()
    for size in ("9" * 5000, "-1", "1e3", str(1 << 40)):

        def act(_: HostileServer, asked: Asked, size: str = size) -> list[bytes]:
            if asked.method == "GET":
                return reply(body, Content_Type=OCI_INDEX)
            return reply(Content_Type=OCI_INDEX, Docker_Content_Digest=digest_of(b"y"), Content_Length=size)

        with hostile_server(act) as registry, client(tmp_path) as farm:
            try:
                found = farm.head(reference_at(registry.address))
            except RegistryError:
                continue
            assert found == Descriptor(OCI_INDEX, digest_of(body), len(body))


@pytest.mark.parametrize(
    "config",
    [b"[]", b"5", b'{"architecture": [], "os": "linux"}', b'{"architecture": "amd64"}', b"[" * 100_000],
)
def test_a_malformed_configuration_is_one_error_of_the_registry(tmp_path: Path, config: bytes) -> None:
    described = {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)}
    manifest = json.dumps({"mediaType": OCI_MANIFEST, "config": described, "layers": []}).encode()

    def act(_: HostileServer, asked: Asked) -> list[bytes]:
        if "/blobs/" in asked.path:
            return reply(config)
        return reply(manifest, Content_Type=OCI_MANIFEST) if "amd64" in asked.path else reply(status=404)

    with (
        hostile_server(act) as registry,
        client(tmp_path) as farm,
        pytest.raises(RegistryError, match="invalid image configuration"),
    ):
        arch_image(farm, reference_at(registry.address).for_arch("amd64"), "amd64")


@pytest.mark.parametrize(
    "body", [b"[" * 60_000, b'{"errors": 5}', b'{"errors": [[], 5, {"code": []}]}', b"\xff"]
)
def test_a_malformed_error_is_reported_by_its_status(tmp_path: Path, body: bytes) -> None:
    with (
        hostile_server(lambda *_: reply(body, 400)) as registry,
        client(tmp_path) as farm,
        pytest.raises(RegistryError, match=r"answered GET .* with 400$"),
    ):
        farm.manifest(reference_at(registry.address))
