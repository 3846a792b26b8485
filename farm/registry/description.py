"""Everything that a reference refers to, as `farm inspect` shows it: manifests, configurations, layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.registry.index import Index, is_attestation, subject
from farm.registry.oci import INDEXES, ImageManifest, naming
from farm.system.at_once import at_once

if TYPE_CHECKING:
    from farm.model import Descriptor, Reference
    from farm.registry.client import Registry


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
    """Read an index and all its manifests, or a single manifest."""
    manifest = registry.existing(reference)
    members: tuple[Descriptor, ...] = (manifest.descriptor,)
    manifests = [manifest]
    with naming(reference):
        if manifest.descriptor.media_type in INDEXES:
            members = Index.parse(manifest.body).manifests
            manifests = at_once(lambda member: registry.member(reference, member), members)
        images = (ImageManifest.parse(one.body) for one in manifests)
        described = tuple(
            ImageDescription(member, image.config, image.layers)
            for member, image in zip(members, images, strict=True)
        )
    return Description(reference, manifest.descriptor, manifest.body, described)
