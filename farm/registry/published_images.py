"""What a registry holds: the index under a tag, the images under its architecture tags, and their parts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from farm.errors import RegistryError
from farm.model import ArchImage
from farm.registry.index import Index, is_attestation, members_of, platforms, subject
from farm.registry.oci import INDEXES, MANIFESTS, ImageManifest, naming, read_platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Descriptor, Platform, Reference
    from farm.registry.client import Manifest, Registry


@dataclass(frozen=True, slots=True)
class PublishedImages:
    """The index and the images of one package in a registry."""

    index: Index | None = None
    descriptor: Descriptor | None = None
    """Of the index."""
    images: dict[str, ArchImage] = field(default_factory=dict)
    """Architecture to image."""


def look_up_all(
    registry: Registry, wanted: Mapping[Reference, Sequence[str]]
) -> dict[Reference, PublishedImages]:
    """Look up many packages: NAME:TAG to its index, and to its images for the given architectures.

    The indexes are requested at once, then every NAME:TAG-ARCH. An image without an architecture tag counts
    as published if the index has it.
    """
    indexes = dict(zip(wanted, registry.at_once(lambda one: read_index(registry, one), wanted), strict=True))
    pairs = [(reference, arch) for reference, arches in wanted.items() for arch in arches]

    def find(pair: tuple[Reference, str]) -> ArchImage | None:
        reference, arch = pair
        index, _ = indexes[reference]
        target = reference.for_arch(arch)
        if found := arch_image(registry, target, arch, index):
            return found
        members = members_of(index, arch) if index else ()
        return ArchImage(arch, target, members) if members else None

    images = dict(zip(pairs, registry.at_once(find, pairs), strict=True))
    return {
        reference: PublishedImages(
            *indexes[reference], {arch: image for arch in arches if (image := images[reference, arch])}
        )
        for reference, arches in wanted.items()
    }


def read_index(registry: Registry, reference: Reference) -> tuple[Index | None, Descriptor | None]:
    """The index under a tag and its descriptor; (None, None) if there is none.

    Raises:
        RegistryError: the tag refers to a single image, which an index must not overwrite.
    """
    manifest = registry.manifest(reference)
    if manifest is None:
        return None, None
    if manifest.descriptor.media_type not in INDEXES:
        raise RegistryError(
            f"{reference.familiar} holds a single image, not an index ({manifest.descriptor.media_type})",
            hint="somebody else pushed it; delete that tag, or use another organisation or tag",
        )
    with naming(reference):
        return Index.parse(manifest.body), manifest.descriptor


def arch_image(
    registry: Registry, reference: Reference, arch: str, index: Index | None = None
) -> ArchImage | None:
    """The image under NAME:TAG-ARCH with its attestations; None if there is none.

    An index may contain the image's platform, which saves a round trip. A tag of an image for another
    architecture is an error.
    """
    manifest = registry.manifest(reference)
    if manifest is None:
        return None
    if manifest.descriptor.media_type in INDEXES:
        with naming(reference):
            found = Index.parse(manifest.body)
        members, present = members_of(found, arch), platforms(found)
    else:
        platform = _platform(registry, reference, manifest, index)
        members = (replace(manifest.descriptor, platform=platform),) if platform.architecture == arch else ()
        present = frozenset({platform.architecture})
    if not members:
        raise RegistryError(
            f"{reference.familiar} is for {', '.join(sorted(present)) or 'nothing'}, not for {arch}",
            hint="delete that tag; the next push builds it again",
        )
    return ArchImage(arch, reference, members)


def _platform(registry: Registry, reference: Reference, manifest: Manifest, index: Index | None) -> Platform:
    for member in index.manifests if index else ():
        if member.digest == manifest.descriptor.digest and member.platform:
            return member.platform
    if manifest.descriptor.media_type not in MANIFESTS:
        raise RegistryError(f"{reference.familiar} is not an image: {manifest.descriptor.media_type}")
    with naming(reference):
        config, *_ = ImageManifest.parse(manifest.body).stored
        return read_platform(registry.blob(reference, config.digest))


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
            manifests = registry.at_once(lambda member: registry.member(reference, member), members)
        images = (ImageManifest.parse(one.body) for one in manifests)
        described = tuple(
            ImageDescription(member, image.config, image.layers)
            for member, image in zip(members, images, strict=True)
        )
    return Description(reference, manifest.descriptor, manifest.body, described)
