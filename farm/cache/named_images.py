"""Images by name and architecture, as `linuxkit` names them: NAME:TAG-ARCH, and the index NAME:TAG of all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.cache.image_content import is_complete, platform_of
from farm.errors import CacheError, RegistryError
from farm.model import ArchImage
from farm.registry.index import Index, assemble, is_attestation, members_of
from farm.registry.oci import INDEXES, OCI_INDEX, OCI_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.cache.blobs import Blobs
    from farm.cache.layout import Cache, Change
    from farm.model import Descriptor, Reference


def find_image(cache: Cache, reference: Reference, arch: str) -> ArchImage | None:
    """The image of one architecture under NAME:TAG or NAME:TAG-ARCH, if all of its blobs are present."""
    names = cache.names()
    target = reference.for_arch(arch)
    for name in (str(reference), str(target)):
        if not (root := names.get(name)) or not cache.blobs.has(root):
            continue
        found = members_of(index_of(cache.blobs, root), arch)
        if found and all(is_complete(cache.blobs, one) for one in found):
            return ArchImage(arch, target, found)
    return None


def index_of(blobs: Blobs, root: Descriptor) -> Index:
    """What a name refers to as an index: itself, or one with the single image that it is."""
    if root.media_type in INDEXES:
        try:
            return Index.parse(blobs.read(root))
        except RegistryError as error:
            raise CacheError(f"{root.digest}: {error.message}") from error
    return Index((replace(root, platform=platform_of(blobs, root), annotations=()),))


def as_oci_root(blobs: Blobs, root: Descriptor) -> Descriptor:
    """The root itself, or an OCI index around one of Docker's media types.

    Entries of index.json need OCI's media types, or skopeo and others ignore them; below, any may occur.
    """
    if root.media_type in (OCI_INDEX, OCI_MANIFEST):
        return root
    return put_index(blobs, index_of(blobs, root))


def put_index(blobs: Blobs, index: Index) -> Descriptor:
    """Store an index for a name, which must have OCI's media type."""
    return blobs.put(index.body(OCI_INDEX), OCI_INDEX)


def add_images(cache: Cache, reference: Reference, images: Sequence[ArchImage]) -> Descriptor:
    """Name present images: each NAME:TAG-ARCH, and the index NAME:TAG, which keeps other architectures.

    Returns the index. Raises CacheBusyError if another process removed one of their blobs meanwhile.
    """

    def decide(names: Mapping[str, Descriptor]) -> Change:
        before = names.get(str(reference))
        existing = Index(_complete_members(cache, before)) if before else None
        index = put_index(cache.blobs, assemble(images, existing))
        roots = {str(image.reference): arch_root(cache, image) for image in images}
        return {**roots, str(reference): index}

    named = cache.change(decide)[str(reference)]
    assert named is not None  # noqa: S101 - for the type checker: `decide` sets it
    return named


def _complete_members(cache: Cache, root: Descriptor) -> tuple[Descriptor, ...]:
    """The members of an index whose blobs are all present: another program may have removed some."""
    if not cache.blobs.has(root):
        return ()
    return tuple(one for one in index_of(cache.blobs, root).manifests if is_complete(cache.blobs, one))


def arch_root(cache: Cache, image: ArchImage) -> Descriptor:
    """What NAME:TAG-ARCH refers to: the image, or an index of the image and its attestations."""
    plain = [one for one in image.descriptors if not is_attestation(one)]
    if len(image.descriptors) == 1 == len(plain):
        return as_oci_root(cache.blobs, replace(plain[0], annotations=()))
    return put_index(cache.blobs, assemble([image]))
