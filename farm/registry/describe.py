"""What stands under a reference, in full: for people, and as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.errors import RegistryError
from farm.model import Descriptor
from farm.registry.index import Index, is_attestation, subject
from farm.registry.media_types import INDEXES

if TYPE_CHECKING:
    from farm.model import Reference
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
        """What `--json` shows."""
        return {
            **self.manifest.to_json(),
            "config": self.config.to_json() if self.config else None,
            "layers": [layer.to_json() for layer in self.layers],
            "attestationOf": self.about,
        }


@dataclass(frozen=True, slots=True)
class Description:
    """A reference, what it names, and the images in it."""

    reference: Reference
    descriptor: Descriptor
    body: bytes
    images: tuple[ImageDescription, ...]

    def to_json(self) -> dict[str, Any]:
        """What `--json` shows."""
        return {
            "reference": str(self.reference),
            **self.descriptor.to_json(),
            "images": [image.to_json() for image in self.images],
        }


def describe(registry: Registry, reference: Reference) -> Description:
    """Read an index and all its manifests, or a single manifest.

    Raises:
        RegistryError: nothing stands there, or it cannot be read.
    """
    manifest = registry.manifest(reference)
    if manifest is None:
        raise RegistryError(f"{reference.familiar}: the registry holds no such image")
    if manifest.descriptor.media_type not in INDEXES:
        return Description(reference, manifest.descriptor, manifest.body, (_image(manifest),))
    members = Index.parse(manifest.body).manifests
    manifests = registry.at_once(lambda one: registry.manifest(reference.with_digest(one.digest)), members)
    images = tuple(_member(member, found) for member, found in zip(members, manifests, strict=True))
    return Description(reference, manifest.descriptor, manifest.body, images)


def _member(member: Descriptor, manifest: Manifest | None) -> ImageDescription:
    if manifest is None:
        raise RegistryError(f"the index names {member.digest}, which the registry does not hold")
    image = _image(manifest)
    return ImageDescription(member, image.config, image.layers)


def _image(manifest: Manifest) -> ImageDescription:
    try:
        data = json.loads(manifest.body)
        config = Descriptor.from_json(data["config"]) if data.get("config") else None
        layers = tuple(Descriptor.from_json(layer) for layer in data.get("layers", ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RegistryError(f"the manifest {manifest.descriptor.digest} cannot be read: {error}") from error
    return ImageDescription(manifest.descriptor, config, layers)
