"""An index in a registry, a key pair of the farm, and the real cosign."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.model import Descriptor, Reference, digest_of
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.oci import OCI_CONFIG, OCI_MANIFEST
from farm.settings import Secret, Settings
from farm.trust.cosign.attachments import SIGNATURE, SIGNATURES, Kind, read_attachments
from farm.trust.cosign.key_files import CosignKeyPair, generate_key_pair
from farm.trust.signer import Signature, SignedName, Signer, SignTarget, make_signer
from lab.debian import cosign
from lab.images import push_bytes
from tests.integration.registry.conftest import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSPHRASE = "correct horse"
UNLOGGED = "--insecure-ignore-tlog=true"


def run(*words: str, given: bytes = b"", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the cosign program, without a home and without the farm's settings."""
    environment = {
        "HOME": "/nonexistent",
        "PATH": "/usr/bin:/bin",
        "COSIGN_PASSWORD": PASSPHRASE,
        **variables,
    }
    command = [str(cosign()), *words]
    done = subprocess.run(command, env=environment, input=given, capture_output=True, timeout=60, check=False)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass(frozen=True)
class Published:
    """An index under NAME:TAG, and a key pair."""

    repository: Repository
    index: Descriptor
    keys: CosignKeyPair

    @property
    def reference(self) -> Reference:
        return self.repository.reference

    @property
    def by_digest(self) -> str:
        return str(self.reference.with_digest(self.index.digest))

    def target(self, tag: str = "") -> SignTarget:
        return SignTarget.of(self.reference.with_tag(tag) if tag else self.reference, self.index)

    def settings(self, **changes: Any) -> Settings:
        own: dict[str, Any] = {"cosign_key": self.keys.key, "cosign_password": Secret(PASSPHRASE)}
        return Settings(docker_config=Path("/nonexistent"), **(own | changes))

    def signer(self, **changes: Any) -> Signer:
        return make_signer(self.settings(**changes), self.repository.registry)

    def signed(self, *tags: str) -> SignedName:
        """What a maintainer sees, who has no more than the public key."""
        public = Settings(cosign_public_key=self.keys.public, docker_config=Path("/nonexistent"))
        wanted = [self.reference.with_tag(tag) for tag in tags] or [self.reference]
        return make_signer(public, self.repository.registry).signed(wanted)[self.reference.name]

    def is_signed(self) -> bool:
        return self.signed().tags == {str(self.reference.tag): Signature(self.index.digest, self.index.size)}

    def verify(self, reference: str = "") -> subprocess.CompletedProcess[str]:
        return run("verify", "--key", str(self.keys.public), UNLOGGED, reference or self.by_digest)

    def stored(self, kind: Kind = SIGNATURES, of: str = "") -> dict[str, Any]:
        image = self.reference.with_digest(of or self.index.digest)
        return read_attachments(self.repository.registry, image, kind).manifest

    def tag_of(self, digest: str = "", kind: Kind = SIGNATURES) -> Reference:
        found = self.reference.with_digest(digest or self.index.digest)
        return read_attachments(self.repository.registry, found, kind).reference

    def plant_signature(self, payload: bytes, signature: bytes) -> None:
        """Plant a manifest with one layer."""
        config = b"{}"
        for content in (payload, config):
            push_bytes(self.repository.registry, self.reference, content)
        layer = {
            "mediaType": SIGNATURES.layer_type,
            "digest": digest_of(payload),
            "size": len(payload),
            "annotations": {SIGNATURE: base64.b64encode(signature).decode()},
        }
        about = Descriptor(OCI_CONFIG, digest_of(config), len(config)).to_json()
        fields = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": about}
        self.plant(fields | {"layers": [layer]})

    def plant(self, manifest: dict[str, Any] | bytes, media_type: str = OCI_MANIFEST) -> None:
        """Put a manifest where the signatures of the index are, as anybody can who may push."""
        body = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        self.repository.registry.put_manifest(self.tag_of(), media_type, body)


def farm_keys(directory: Path) -> CosignKeyPair:
    """A key pair that the farm made."""
    return generate_key_pair(directory, Secret(PASSPHRASE))


def program_keys(directory: Path) -> CosignKeyPair:
    """A key pair that the cosign program made."""
    run("generate-key-pair", "--output-key-prefix", str(directory / "cosign"))
    return CosignKeyPair(directory / "cosign.key", directory / "cosign.pub")


@contextmanager
def published_index(host: str, keys: CosignKeyPair) -> Iterator[Published]:
    """An index of one image in a new repository."""
    with Registry(Credentials.load(Path("/nonexistent")), timeout=20) as registry:
        repository = Repository(registry, Reference.parse(f"{host}/r{secrets.token_hex(4)}/foo:1"))
        yield Published(repository, repository.push_index(repository.push("amd64")), keys)
