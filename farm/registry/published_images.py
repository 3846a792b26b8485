"""What stands in the registry under a package's tag and its architectures' tags."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from farm.errors import RegistryError
from farm.model import ArchImage, Platform
from farm.registry.index import Index, members_of, platforms
from farm.registry.media_types import INDEXES, MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Descriptor, Reference
    from farm.registry.client import Manifest, Registry


@dataclass(frozen=True, slots=True)
class PublishedImages:
    """What a registry holds of one package."""

    index: Index | None = None
    descriptor: Descriptor | None = None
    """Of the index."""
    images: dict[str, ArchImage] = field(default_factory=dict)
    """Architecture to image."""


def look_up_all(
    registry: Registry, wanted: Mapping[Reference, Sequence[str]]
) -> dict[Reference, PublishedImages]:
    """What stands of many packages: NAME:TAG to its index, and its images for the given architectures.

    All are asked for at once: the indexes, then every NAME:TAG-ARCH. An image whose own tag is gone still
    stands where the index holds it.

    Raises:
        RegistryError: the registry cannot be asked, or a tag holds what it should not.
    """
    indexes = dict(zip(wanted, registry.at_once(lambda one: read_index(registry, one), wanted), strict=True))
    pairs = [(reference, arch) for reference, arches in wanted.items() for arch in arches]

    def find(pair: tuple[Reference, str]) -> ArchImage | None:
        reference, arch = pair
        known = indexes[reference][0]
        return arch_image(registry, reference.for_arch(arch), arch, known) or _within(known, reference, arch)

    images = dict(zip(pairs, registry.at_once(find, pairs), strict=True))
    return {
        reference: PublishedImages(
            *indexes[reference], {arch: image for arch in arches if (image := images[reference, arch])}
        )
        for reference, arches in wanted.items()
    }


def read_index(registry: Registry, reference: Reference) -> tuple[Index | None, Descriptor | None]:
    """The index under a tag and its descriptor; (None, None) where there is none.

    Raises:
        RegistryError: the tag holds a single image, which an index must not overwrite.
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
    registry: Registry, reference: Reference, arch: str, known: Index | None = None
) -> ArchImage | None:
    """The image under NAME:TAG-ARCH with all that belongs to it; None where there is none.

    Args:
        registry: where to look.
        reference: NAME:TAG-ARCH.
        arch: what the image must be for.
        known: an index that may tell the image's platform, which saves a round trip.

    Raises:
        RegistryError: the tag holds an image for another architecture, or no image.
    """
    manifest = registry.manifest(reference)
    if manifest is None:
        return None
    if manifest.descriptor.media_type in INDEXES:
        members = members_of(Index.parse(manifest.body), arch)
        there = platforms(Index.parse(manifest.body))
    else:
        platform = _platform(registry, reference, manifest, known)
        members = (replace(manifest.descriptor, platform=platform),) if platform.architecture == arch else ()
        there = frozenset({platform.architecture})
    if not members:
        raise RegistryError(
            f"{reference.familiar} is for {', '.join(sorted(there)) or 'nothing'}, not for {arch}",
            hint="delete that tag; the next push builds it anew",
        )
    return ArchImage(arch, reference, members)


def _platform(registry: Registry, reference: Reference, manifest: Manifest, known: Index | None) -> Platform:
    digest = manifest.descriptor.digest
    for member in known.manifests if known else ():
        if member.digest == digest and member.platform:
            return member.platform
    if manifest.descriptor.media_type not in MANIFESTS:
        raise RegistryError(f"{reference.familiar} holds no image, but {manifest.descriptor.media_type}")
    try:
        config = json.loads(registry.blob(reference, json.loads(manifest.body)["config"]["digest"]))
        return Platform.from_json({"variant": None, **config})
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(f"{reference.familiar}: its configuration cannot be read: {error}") from error


def _within(index: Index | None, reference: Reference, arch: str) -> ArchImage | None:
    members = members_of(index, arch) if index else ()
    return ArchImage(arch, reference.for_arch(arch), members) if members else None
