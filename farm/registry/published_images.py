"""What a registry holds of packages: the index under a tag, and the images under its architecture tags."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from farm.errors import RegistryError
from farm.model import ArchImage
from farm.registry.index import Index, members_of, platforms
from farm.registry.oci import INDEXES, MANIFESTS, ImageManifest, naming, read_platform
from farm.system.at_once import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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

    def indexed(self, arch: str) -> ArchImage | None:
        """The image that the index has for an architecture."""
        members = members_of(self.index, arch) if self.index and arch in self.images else ()
        return ArchImage(arch, self.images[arch].reference, members) if members else None


FoundIndex = tuple[Index | None, "Descriptor | None"]
"""An index and its descriptor, as `read_index` returns them."""


def look_up_all(
    registry: Registry, wanted: Mapping[Reference, Sequence[str]]
) -> dict[Reference, PublishedImages]:
    """Look up many packages: NAME:TAG to its index, and to its images for the given architectures.

    The indexes are requested at once, then every NAME:TAG-ARCH. An image without an architecture tag counts
    as published if the index has it.
    """
    indexes = read_indexes(registry, wanted)
    pairs = [(reference, arch) for reference, arches in wanted.items() for arch in arches]
    images = find_images(registry, pairs, indexes)
    return {
        reference: PublishedImages(
            *indexes[reference], {arch: image for arch in arches if (image := images[reference, arch])}
        )
        for reference, arches in wanted.items()
    }


def read_indexes(registry: Registry, references: Iterable[Reference]) -> dict[Reference, FoundIndex]:
    """The index under each NAME:TAG, all requested at once."""
    wanted = list(references)
    registry.prepare(wanted)
    return dict(zip(wanted, at_once(lambda one: read_index(registry, one), wanted), strict=True))


def find_images(
    registry: Registry, pairs: Sequence[tuple[Reference, str]], indexes: Mapping[Reference, FoundIndex]
) -> dict[tuple[Reference, str], ArchImage | None]:
    """The image of each NAME:TAG and architecture: that of the architecture tag, else that of the index."""

    def find(pair: tuple[Reference, str]) -> ArchImage | None:
        reference, arch = pair
        index, _ = indexes[reference]
        return tagged_image(registry, reference.for_arch(arch), arch, index) or indexed_image(
            index, reference, arch
        )

    return dict(zip(pairs, at_once(find, pairs), strict=True))


def indexed_image(index: Index | None, reference: Reference, arch: str) -> ArchImage | None:
    """The image that an index has for an architecture."""
    members = members_of(index, arch) if index else ()
    return ArchImage(arch, reference.for_arch(arch), members) if members else None


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


def tagged_image(
    registry: Registry, reference: Reference, arch: str, index: Index | None = None
) -> ArchImage | None:
    """As `arch_image`; None also where the tag refers to something else, which anybody may have pushed."""
    return _unless_nonsense(lambda: arch_image(registry, reference, arch, index))


def named_image(registry: Registry, reference: Reference, arch: str) -> ArchImage | None:
    """What NAME:TAG-ARCH names as the image of an architecture, in one request.

    For callers that read the image themselves: whether it is one, and for which platform, is not looked at.
    """

    def read() -> ArchImage | None:
        manifest = registry.manifest(reference)
        if manifest is None:
            return None
        is_index = manifest.descriptor.media_type in INDEXES
        members = members_of(Index.parse(manifest.body), arch) if is_index else (manifest.descriptor,)
        return ArchImage(arch, reference, members) if members else None

    return _unless_nonsense(read)


def _unless_nonsense(read: Callable[[], ArchImage | None]) -> ArchImage | None:
    """What was read; None if the registry did answer, but with something that is not what was asked for."""
    try:
        return read()
    except RegistryError as error:
        if type(error) is not RegistryError:
            raise
        return None


def _platform(registry: Registry, reference: Reference, manifest: Manifest, index: Index | None) -> Platform:
    for member in index.manifests if index else ():
        if member.digest == manifest.descriptor.digest and member.platform:
            return member.platform
    if manifest.descriptor.media_type not in MANIFESTS:
        raise RegistryError(f"{reference.familiar} is not an image: {manifest.descriptor.media_type}")
    with naming(reference):
        config, *_ = ImageManifest.parse(manifest.body).stored
        return read_platform(registry.blob(reference, config.digest))
