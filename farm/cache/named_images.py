"""Images by name and architecture, as `linuxkit` names them: NAME:TAG-ARCH, and the index NAME:TAG of all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.cache.content import complete, platform_of
from farm.errors import CacheError, RegistryError
from farm.model import ArchImage
from farm.registry.index import Index, assemble, is_attestation, members_of
from farm.registry.media_types import INDEXES, OCI_INDEX, OCI_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.cache.blobs import Blobs
    from farm.cache.layout import Cache, Change
    from farm.model import Descriptor, Reference


def find_image(cache: Cache, reference: Reference, arch: str) -> ArchImage | None:
    """The image of one architecture, if all of it is here.

    Args:
        cache: where to look.
        reference: NAME:TAG of the index, or of an image; NAME:TAG-ARCH is looked at as well.
        arch: what the image must be for.
    """
    names = cache.names()
    target = reference.for_arch(arch)
    for name in (str(reference), str(target)):
        if not (root := names.get(name)) or not cache.blobs.has(root):
            continue
        found = members_of(index_of(cache.blobs, root), arch)
        if found and all(complete(cache.blobs, one) for one in found):
            return ArchImage(arch, target, found)
    return None


def index_of(blobs: Blobs, root: Descriptor) -> Index:
    """What a name stands for as an index: itself, or that of the one image that it is.

    Raises:
        CacheError: it is neither, or cannot be read.
    """
    if root.media_type in INDEXES:
        try:
            return Index.parse(blobs.read(root))
        except RegistryError as error:
            raise CacheError(f"{root.digest}: {error.message}") from error
    return Index((replace(root, platform=platform_of(blobs, root), annotations=()),))


def nameable(blobs: Blobs, root: Descriptor) -> Descriptor:
    """The root itself, or an OCI index around what is of Docker's types.

    What index.json names has to be of OCI's, or skopeo and others do not see it; below that, anything goes.
    """
    if root.media_type in (OCI_INDEX, OCI_MANIFEST):
        return root
    return blobs.put(index_of(blobs, root).body(), OCI_INDEX)


def add_images(cache: Cache, reference: Reference, images: Sequence[ArchImage]) -> Descriptor:
    """Name images that are here: each NAME:TAG-ARCH, and the index NAME:TAG with what it held before.

    Returns:
        The index.

    Raises:
        CacheBusyError: a part of them was taken away meanwhile.
    """

    def decide(names: Mapping[str, Descriptor]) -> Change:
        before = names.get(str(reference))
        standing = Index(_whole(cache, before)) if before else None
        index = cache.blobs.put(assemble(images, standing).body(), OCI_INDEX)
        own = {str(image.reference): own_root(cache, image) for image in images}
        return {**own, str(reference): index}

    named = cache.change(decide)[str(reference)]
    assert named is not None  # noqa: S101 - for the type checker: `decide` names it
    return named


def _whole(cache: Cache, root: Descriptor) -> tuple[Descriptor, ...]:
    """The members of an index that are here in full: another program may have removed some."""
    if not cache.blobs.has(root):
        return ()
    return tuple(one for one in index_of(cache.blobs, root).manifests if complete(cache.blobs, one))


def own_root(cache: Cache, image: ArchImage) -> Descriptor:
    """What NAME:TAG-ARCH stands for: the image, or an index where attestations belong to it."""
    plain = [one for one in image.descriptors if not is_attestation(one)]
    if len(image.descriptors) == 1 == len(plain):
        return nameable(cache.blobs, replace(plain[0], annotations=()))
    return cache.blobs.put(assemble([image]).body(), OCI_INDEX)
