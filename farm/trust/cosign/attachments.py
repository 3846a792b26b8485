"""Signatures and attestations at an image: the layers of one manifest, where cosign 2 looks for it.

The manifest is at the tag sha256-DIGEST.sig or .att of the image's repository:
https://github.com/sigstore/cosign/blob/v2.5.0/specs/SIGNATURE_SPEC.md#storage

It names the image as its `subject`, so that a registry with OCI 1.1 lists it among the image's referrers,
too, under the artifact type that `cosign verify --experimental-oci11` asks for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from farm.errors import RegistryError, TrustError, TrustUnavailableError
from farm.model import Descriptor, digest_of
from farm.model.digests import hex_of
from farm.model.strict_json import json_object, list_of, texts_of
from farm.registry import read_back
from farm.registry.blobs import CONCURRENT_BLOBS, push_blob
from farm.registry.client import no_such_image
from farm.registry.oci import MANIFESTS, OCI_CONFIG, OCI_MANIFEST, read_descriptor, reading
from farm.system.at_once import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from farm.model import Reference
    from farm.registry.client import Registry

SIGNATURE = "dev.cosignproject.cosign/signature"
"""The annotation of a layer that holds the signature of its content, in base64; empty for an attestation."""
_MOST_LAYERS = 1000
"""As in cosign: https://github.com/sigstore/cosign/blob/v2.5.0/pkg/oci/remote/signatures.go."""
_ATTEMPTS = 8


class Kind(NamedTuple):
    """What is attached."""

    suffix: str
    layer_type: str
    largest: int
    """Bytes of the content of a layer that is read; larger ones are of others, and stay as they are."""

    @property
    def artifact_type(self) -> str:
        """https://github.com/sigstore/cosign/blob/v2.5.0/internal/pkg/oci/remote/remote.go."""
        return f"application/vnd.dev.cosign.artifact.{self.suffix}.v1+json"


SIGNATURES = Kind("sig", "application/vnd.dev.cosign.simplesigning.v1+json", 16 << 10)
ATTESTATIONS = Kind("att", "application/vnd.dsse.envelope.v1+json", 4 << 20)


class Attachment(NamedTuple):
    """One signature or attestation."""

    content: bytes
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True)
class Attachments:
    """The manifest of what is attached to an image."""

    reference: Reference
    """Its tag."""
    kind: Kind
    digest: str | None = None
    """None if nothing is attached."""
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The layers, of others too, as they are stored."""
        return self.manifest.get("layers") or []


def read_attachments(registry: Registry, image: Reference, kind: Kind) -> Attachments:
    """What is attached to an image, which its digest names.

    Raises:
        TrustError: the tag holds something else, or more than 1000 layers.
    """
    reference = image.with_tag(f"sha256-{hex_of(image.digest or '')}.{kind.suffix}")
    try:
        stored = registry.manifest(reference)
        if stored is None:
            return Attachments(reference, kind)
        with reading("manifest"):
            if stored.descriptor.media_type not in MANIFESTS:
                raise ValueError(f"its media type is {stored.descriptor.media_type[:80]}")
            found = Attachments(reference, kind, stored.descriptor.digest, json_object(stored.body))
            list_of(found.layers)
            if len(found.layers) > _MOST_LAYERS:
                raise ValueError(f"it has {len(found.layers)} layers, and {_MOST_LAYERS} are the most")
            for layer in found.layers:
                _check(layer)
    except RegistryError as error:
        if type(error) is not RegistryError:
            raise
        raise TrustError(
            f"{reference.familiar} holds no signatures that can be read: {error.message}",
            hint="remove that tag, and sign again",
        ) from error
    return found


def _check(layer: Any) -> None:
    read_descriptor(layer)
    texts_of(layer.get("annotations"))


def contents_of(
    registry: Registry, found: Attachments, layers: Iterable[dict[str, Any]] | None = None
) -> list[Attachment]:
    """The content of the layers of the right kind and size, or of a part of them.

    One that cannot be fetched, or is not what its digest says, is left out: whoever may push can add such.
    """
    wanted = [
        layer
        for layer in (found.layers if layers is None else layers)
        if layer["mediaType"] == found.kind.layer_type and layer["size"] <= found.kind.largest
    ]
    digests = list(dict.fromkeys(layer["digest"] for layer in wanted))
    contents = dict(zip(digests, at_once(lambda one: _fetch(registry, found, one), digests), strict=True))
    pairs = ((contents[layer["digest"]], layer.get("annotations") or {}) for layer in wanted)
    return [Attachment(content, annotations) for content, annotations in pairs if content is not None]


def _fetch(registry: Registry, found: Attachments, digest: str) -> bytes | None:
    try:
        content = registry.blob(found.reference, digest)
    except RegistryError as error:
        if type(error) is not RegistryError:
            raise
        return None
    # The size in the descriptor may be a lie, and there may be a thousand of them.
    return content if len(content) <= found.kind.largest else None


def attach(
    registry: Registry, image: Reference, kind: Kind, missing: Callable[[Attachments], Sequence[Attachment]]
) -> None:
    """Attach what `missing` finds lacking, beside what others attached, and read it back.

    A registry has no compare-and-swap for tags: right before it writes, it looks whether another one has
    written meanwhile, and begins again if so.

    Raises:
        TrustUnavailableError: others kept writing.
        TrustError: as `read_attachments`.
    """
    subject = registry.head(image)
    if subject is None:
        raise no_such_image(image)

    def read() -> Attachments:
        return read_attachments(registry, image, kind)

    found = read()
    for _ in range(_ATTEMPTS):
        new = missing(found)
        if not new:
            return
        _write(registry, found, subject, new)
        found = read_back.until(_differs_from(found), read, registry.deadline)
    raise TrustUnavailableError(
        f"{found.reference.familiar} does not show what was signed after {_ATTEMPTS} attempts",
        hint="another one may be signing the same image: try again",
    )


def _differs_from(before: Attachments) -> Callable[[Attachments], bool]:
    return lambda now: now.digest != before.digest


def _write(registry: Registry, found: Attachments, subject: Descriptor, new: Sequence[Attachment]) -> None:
    """Store what was found and what is new, unless another one has written since it was found."""
    added = [_layer(found.kind, one) for one in new]
    layers = [*found.layers, *added]
    config = _config([layer["digest"] for layer in layers])

    def push(content: bytes) -> None:
        blob = Descriptor("", digest_of(content), len(content))
        push_blob(registry, found.reference, blob, lambda: iter([content]))

    at_once(push, [config, *(one.content for one in new)], threads=CONCURRENT_BLOBS)
    now = registry.head(found.reference)
    if (now.digest if now else None) != found.digest:
        return
    manifest = {
        **found.manifest,
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": found.kind.artifact_type,
        "config": Descriptor(OCI_CONFIG, digest_of(config), len(config)).to_json(),
        "layers": layers,
        "subject": Descriptor(subject.media_type, subject.digest, subject.size).to_json(),
    }
    registry.put_manifest(found.reference, OCI_MANIFEST, json.dumps(manifest, separators=(",", ":")).encode())


def _layer(kind: Kind, one: Attachment) -> dict[str, Any]:
    blob = Descriptor(kind.layer_type, digest_of(one.content), len(one.content))
    return {**blob.to_json(), "annotations": one.annotations}


def _config(digests: Sequence[str]) -> bytes:
    """The configuration that cosign makes: layers are not compressed, so their digests are the `diff_ids`."""
    epoch = "0001-01-01T00:00:00Z"
    data = {
        "architecture": "",
        "created": epoch,
        "history": [{"created": epoch} for _ in digests],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": list(digests)},
        "config": {},
    }
    return json.dumps(data, separators=(",", ":")).encode()
