"""A full description of an image or index in a registry: for people, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.errors import RegistryError
from farm.registry.index import Index, is_attestation, subject
from farm.registry.oci import INDEXES, ImageManifest

if TYPE_CHECKING:
    from farm.model import Descriptor, Reference
    from farm.registry.client import Manifest, Registry


@dataclass(frozen=True, slots=True)
class ImageDescription:
    """One image, or one attestation: its manifest, configuration and layers."""

    manifest: Descriptor
    config: Descriptor | None
    layers: tuple[Descriptor, ...]

    @property
    def about(self) -> str | None:
        """The digest of the image that an attestation is about; None for an image."""
        return subject(self.manifest) if is_attestation(self.manifest) else None

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            **self.manifest.to_json(),
            "config": self.config.to_json() if self.config else None,
            "layers": [layer.to_json() for layer in self.layers],
            "attestationOf": self.about,
        }


@dataclass(frozen=True, slots=True)
class Description:
    """A reference, what it refers to, and the images in that."""

    reference: Reference
    descriptor: Descriptor
    body: bytes
    images: tuple[ImageDescription, ...]

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "reference": str(self.reference),
            **self.descriptor.to_json(),
            "images": [image.to_json() for image in self.images],
        }


def describe(registry: Registry, reference: Reference) -> Description:
    """Read an index and all its manifests, or a single manifest.

    Raises:
        RegistryError: there is none, or it cannot be read.
    """
    manifest = registry.manifest(reference)
    if manifest is None:
        raise RegistryError(f"{reference.familiar}: the registry holds no such image")
    if manifest.descriptor.media_type not in INDEXES:
        image = _image(reference, manifest.descriptor, manifest)
        return Description(reference, manifest.descriptor, manifest.body, (image,))
    members = Index.parse(manifest.body).manifests
    manifests = registry.at_once(lambda one: registry.manifest(reference.with_digest(one.digest)), members)
    images = tuple(_image(reference, *pair) for pair in zip(members, manifests, strict=True))
    return Description(reference, manifest.descriptor, manifest.body, images)


def _image(reference: Reference, member: Descriptor, manifest: Manifest | None) -> ImageDescription:
    if manifest is None:
        raise RegistryError(f"{reference.familiar}: its member {member.digest} is not in the registry")
    image = ImageManifest.parse(manifest.body)
    return ImageDescription(member, image.config, image.layers)
