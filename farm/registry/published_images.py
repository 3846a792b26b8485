"""What a registry has of a package: the index under its tag, and the images under its architecture tags."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from farm.errors import RegistryError
from farm.model import ArchImage
from farm.registry.index import Index, members_of, platforms
from farm.registry.oci import INDEXES, MANIFESTS, ImageManifest, read_platform

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

    Raises:
        RegistryError: the registry cannot be asked, or a tag refers to something unexpected.
    """
    indexes = dict(zip(wanted, registry.at_once(lambda one: read_index(registry, one), wanted), strict=True))
    pairs = [(reference, arch) for reference, arches in wanted.items() for arch in arches]

    def find(pair: tuple[Reference, str]) -> ArchImage | None:
        reference, arch = pair
        index = indexes[reference][0]
        return arch_image(registry, reference.for_arch(arch), arch, index) or _in_index(
            index, reference, arch
        )

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
    return Index.parse(manifest.body), manifest.descriptor


def arch_image(
    registry: Registry, reference: Reference, arch: str, index: Index | None = None
) -> ArchImage | None:
    """The image under NAME:TAG-ARCH with its attestations; None if there is none.

    Args:
        registry: where to look.
        reference: NAME:TAG-ARCH.
        arch: the architecture that the image must be for.
        index: an index that may contain the image's platform, which saves a round trip.

    Raises:
        RegistryError: the tag refers to an image for another architecture, or to something else.
    """
    manifest = registry.manifest(reference)
    if manifest is None:
        return None
    if manifest.descriptor.media_type in INDEXES:
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
    digest = manifest.descriptor.digest
    for member in index.manifests if index else ():
        if member.digest == digest and member.platform:
            return member.platform
    if manifest.descriptor.media_type not in MANIFESTS:
        raise RegistryError(f"{reference.familiar} is not an image: {manifest.descriptor.media_type}")
    config, *_ = ImageManifest.parse(manifest.body).stored
    try:
        return read_platform(registry.blob(reference, config.digest))
    except RegistryError as error:
        raise type(error)(f"{reference.familiar}: {error.message}", hint=error.hint) from error


def _in_index(index: Index | None, reference: Reference, arch: str) -> ArchImage | None:
    members = members_of(index, arch) if index else ()
    return ArchImage(arch, reference.for_arch(arch), members) if members else None
