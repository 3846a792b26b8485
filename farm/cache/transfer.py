"""Images between the cache and registries, in pieces, and only the blobs that are missing there."""

from __future__ import annotations

import functools
import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farm.cache.image_content import all_blobs, is_complete
from farm.cache.named_images import add_images, arch_root, as_oci_root, find_image, index_of
from farm.errors import CacheError
from farm.model import ArchImage, Descriptor, Reference
from farm.registry.blobs import CONCURRENT_BLOBS, BlobUpload, pull_blob, push_blob
from farm.registry.client import no_such_image
from farm.registry.index import assemble, children, members_of, platforms
from farm.registry.oci import INDEXES, MANIFESTS, naming
from farm.registry.publish_index import IndexPublication
from farm.registry.published_images import look_up_all
from farm.system.at_once import at_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.cache.layout import Cache
    from farm.registry.client import Registry


@dataclass(frozen=True, slots=True)
class CachePushResult:
    """The result of a push from the cache."""

    root: Descriptor
    """Of the index in the registry."""
    blobs: Counter[BlobUpload]
    """How many blobs were sent, mounted, or existing."""
    kept: tuple[Reference, ...] = ()
    """Architecture tags that refer to another image than the cache's, and were left as they are."""


def pull_images(
    cache: Cache, registry: Registry, reference: Reference, arches: Sequence[str]
) -> dict[str, ArchImage]:
    """Pull the published images of these architectures into the cache; return them by architecture."""
    images = look_up_all(registry, {reference: arches})[reference].images
    for image in images.values():
        for one in image.descriptors:
            _pull(cache, registry, reference, one)
    if images:
        add_images(cache, reference, list(images.values()))
    return images


def pull_all(cache: Cache, registry: Registry, reference: Reference) -> Descriptor:
    """Pull everything that a name refers to into the cache, and name each architecture's image, too.

    Returns:
        What the name refers to in the cache: the same, or an OCI index if the registry has Docker's list.
    """
    root = registry.head(reference)
    if root is None:
        raise no_such_image(reference)
    _pull(cache, registry, reference, root)
    named = as_oci_root(cache.blobs, root)
    names: dict[str, Descriptor | None] = {str(reference): named}
    if root.media_type in INDEXES and reference.tag:
        index = index_of(cache.blobs, root)
        for arch in sorted(platforms(index)):
            target = reference.for_arch(arch)
            names[str(target)] = arch_root(cache, ArchImage(arch, target, members_of(index, arch)))
    cache.change(lambda _: names)
    return named


def _pull(cache: Cache, registry: Registry, reference: Reference, root: Descriptor) -> None:
    """Store a manifest or index and everything below it, children first."""
    manifest = registry.member(reference, root)
    with naming(reference):
        below = children(root.media_type, manifest.body)
    for one in below:
        if one.media_type in (*INDEXES, *MANIFESTS):
            _pull(cache, registry, reference, one)
    files = {one.digest: one for one in below if one.media_type not in (*INDEXES, *MANIFESTS)}
    absent = [one for one in files.values() if not cache.blobs.claim(one)]
    at_once(lambda one: _pull_file(cache, registry, reference, one), absent, threads=CONCURRENT_BLOBS)
    cache.blobs.put(manifest.body, root.media_type)


def _pull_file(cache: Cache, registry: Registry, reference: Reference, blob: Descriptor) -> None:
    with cache.blobs.writing() as writer:
        pull_blob(registry, reference, blob, writer)
        writer.commit(blob.media_type, blob.digest)


def push_image(cache: Cache, registry: Registry, image: ArchImage) -> Counter[BlobUpload]:
    """Push an image of the cache to NAME:TAG-ARCH; return how many blobs were uploaded in which way."""
    blobs = {one.digest: one for root in image.descriptors for one in all_blobs(cache.blobs, root)}
    manifests = [one for one in blobs.values() if one.media_type in MANIFESTS]
    files = [one for one in blobs.values() if one.media_type not in MANIFESTS]
    elsewhere = functools.cache(lambda: _other_repositories(cache, image.reference))
    lock = threading.Lock()

    def mounts(blob: Descriptor) -> Sequence[str]:
        with lock:  # the others wait for the first thread's result
            return elsewhere().get(blob.digest, [])

    def push(blob: Descriptor) -> BlobUpload:
        return push_blob(
            registry,
            image.reference,
            blob,
            lambda: cache.blobs.pieces(blob.digest),
            mounts=lambda: mounts(blob),
        )

    # The largest first: it takes longest.
    by_size = sorted(files, key=lambda one: -one.size)
    uploads = Counter(at_once(push, by_size, threads=CONCURRENT_BLOBS))
    for one in manifests:
        body = cache.blobs.read(one)
        registry.put_manifest(image.reference.with_digest(one.digest), one.media_type, body)
    if len(image.descriptors) == 1:
        only = image.descriptors[0]
        registry.put_manifest(image.reference, only.media_type, cache.blobs.read(only))
    else:
        index = assemble([image])
        registry.put_manifest(image.reference, index.media_type, index.body())
    return uploads


def push_all(
    cache: Cache,
    registry: Registry,
    reference: Reference,
    target: Reference | None = None,
    *,
    override: bool = True,
) -> CachePushResult:
    """Push the image of every architecture of NAME:TAG, then an index of all images in the registry.

    They go to `target` if it is given. Without `override`, a published image that differs is kept.

    Raises:
        CacheError: there is no such name in the cache, or none of its images is complete.
    """
    root, target = cache.find(reference), target or reference
    if root is None:
        raise CacheError(f"{reference.familiar} is not in the cache {cache.root}", hint="farm cache ls")
    arches = sorted(platforms(index_of(cache.blobs, root)))
    found = [image for arch in arches if (image := find_image(cache, reference, arch))]
    if not found:
        raise CacheError(
            f"{reference.familiar}: none of its images is complete in the cache",
            hint="pull or build it again",
        )
    images = [replace(image, reference=target.for_arch(image.arch)) for image in found]
    kept = () if override else _published_others(registry, target, images)
    uploads: Counter[BlobUpload] = Counter()
    to_push = [image for image in images if image.reference not in kept]
    for image in to_push:
        uploads += push_image(cache, registry, image)
    publication = IndexPublication(registry, target, to_push)
    # Without a lease and a signature: this is one user's push, as `docker push` is.
    index = publication.publish(check_lease=lambda: None, sign=lambda _: None, stop=threading.Event())
    return CachePushResult(index, uploads, kept)


def _published_others(
    registry: Registry, target: Reference, images: Sequence[ArchImage]
) -> tuple[Reference, ...]:
    """The references of images for whose architecture the registry has another one."""
    published = look_up_all(registry, {target: [image.arch for image in images]})[target].images

    def is_other(image: ArchImage) -> bool:
        there = published.get(image.arch)
        return there is not None and _digests(there) != _digests(image)

    return tuple(image.reference for image in images if is_other(image))


def _digests(image: ArchImage) -> set[str]:
    return {one.digest for one in image.descriptors}


def _other_repositories(cache: Cache, target: Reference) -> dict[str, list[str]]:
    """Digest to the registry's other repositories that have the blob, according to the names in the cache."""
    found: dict[str, list[str]] = {}
    for name, root in cache.names().items():
        reference = Reference.parse(name)
        other = reference.registry == target.registry and reference.repository
        if not other or other == target.repository or not is_complete(cache.blobs, root):
            continue
        for one in all_blobs(cache.blobs, root):
            if other not in found.setdefault(one.digest, []):
                found[one.digest].append(other)
    return found


def published_names(
    cache: Cache, registry: Registry, chosen: Sequence[Reference] | None = None
) -> list[Reference]:
    """The names in the cache that refer to the same in their registries; of the chosen ones, if any are."""
    names = [(Reference.parse(name), root) for name, root in cache.names().items()]
    if chosen is not None:
        wanted = {str(one.or_latest()) for one in chosen}
        names = [pair for pair in names if str(pair[0]) in wanted]

    def is_published(pair: tuple[Reference, Descriptor]) -> bool:
        head = registry.head(pair[0])
        return head is not None and head.digest == pair[1].digest

    published = at_once(is_published, names)
    return [reference for (reference, _), same in zip(names, published, strict=True) if same]
