"""Images without layers in the lab's registries, and a proxy that breaks some requests on their way."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from farm.model import ArchImage, Descriptor, Platform, Reference, digest_of
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.index import Index
from farm.registry.oci import DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from farm.registry.published_images import PublishedImages, arch_image, look_up_all
from lab.images import push_bytes
from tests.support.proxy.http import HttpProxy, http_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.lab import Lab

_CONFIGS = {OCI_MANIFEST: OCI_CONFIG, DOCKER_MANIFEST: "application/vnd.docker.container.image.v1+json"}


@dataclass(frozen=True)
class Repository:
    """A new repository in a registry, and a client."""

    registry: Registry
    reference: Reference
    """NAME:TAG of an index that does not exist."""

    def push(
        self, arch: str, tag: str = "", *, media_type: str = OCI_MANIFEST, variant: str | None = None
    ) -> Descriptor:
        """Push a unique image without layers under a tag, by default NAME:TAG-ARCH."""
        facts = {"architecture": arch, "os": "linux", "variant": variant, "author": secrets.token_hex(8)}
        config = json.dumps({**facts, "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        push_bytes(self.registry, self.reference, config)
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": Descriptor(_CONFIGS[media_type], digest_of(config), len(config)).to_json(),
            "layers": [],
        }
        target = self.reference.with_tag(tag) if tag else self.reference.for_arch(arch)
        made = self.registry.put_manifest(target, media_type, json.dumps(manifest).encode())
        return replace(made, platform=Platform(arch, variant=variant))

    def push_index(self, *members: Descriptor, tag: str = "") -> Descriptor:
        """Push an index under a tag, by default NAME:TAG."""
        target = self.reference.with_tag(tag) if tag else self.reference
        return self.registry.put_manifest(target, OCI_INDEX, Index(members).body())

    def attest(self, image: Descriptor) -> Descriptor:
        """Push an attestation of an image as BuildKit does; return its descriptor in the index."""
        made = self.push("unknown", tag="attestation")
        facts = (
            ("vnd.docker.reference.digest", image.digest),
            ("vnd.docker.reference.type", "attestation-manifest"),
        )
        return replace(made, platform=Platform("unknown", "unknown"), annotations=facts)

    def find(self, arch: str) -> ArchImage | None:
        """The image under NAME:TAG-ARCH."""
        return arch_image(self.registry, self.reference.for_arch(arch), arch)

    def look_up(self, *arches: str) -> PublishedImages:
        """What is published under NAME:TAG, and for these architectures."""
        return look_up_all(self.registry, {self.reference: arches})[self.reference]

    def image(self, arch: str, *members: Descriptor) -> ArchImage:
        """The image that a build would return."""
        return ArchImage(arch, self.reference.for_arch(arch), members)

    def at(self, host: str) -> Reference:
        """NAME:TAG at another address of the same registry."""
        return self.reference._replace(registry=host)


def configured(directory: Path, **config: object) -> Credentials:
    """The logins of docker's config.json with this content."""
    (directory / "config.json").write_text(json.dumps(config))
    return Credentials.load(directory)


def logins(directory: Path, **accounts: str) -> Credentials:
    """The logins HOST=USER:PASSWORD as `docker login` writes them."""
    encoded = {host: base64.b64encode(account.encode()).decode() for host, account in accounts.items()}
    return configured(directory, auths={host: {"auth": word} for host, word in encoded.items()})


def _reference(host: str) -> Reference:
    return Reference.parse(f"{host}/r{secrets.token_hex(4)}/foo:1")


@pytest.fixture
def repository(lab: Lab, tmp_path: Path) -> Iterator[Repository]:
    """A repository in the registry without logins."""
    with Registry(Credentials.load(tmp_path), timeout=20) as registry:
        yield Repository(registry, _reference(lab.registry))


@pytest.fixture
def guarded(lab: Lab, tmp_path: Path) -> Iterator[Repository]:
    """A repository in the registry that requires a login."""
    account = logins(tmp_path, **{lab.guarded_registry: ":".join(lab.guarded_login)})
    with Registry(account, timeout=20) as registry:
        yield Repository(registry, _reference(lab.guarded_registry))


@pytest.fixture
def proxy(lab: Lab) -> Iterator[HttpProxy]:
    """A way to the registry that asks for no login."""
    with http_proxy(lab.registry) as proxy:
        yield proxy
