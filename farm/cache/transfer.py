"""Images between the cache and registries, a piece at a time, and only what the other side does not have."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from farm.cache.content import belonging, complete
from farm.cache.named_images import add_images, find_image, index_of, nameable, own_root
from farm.errors import CacheError, RegistryError
from farm.model import ArchImage, Descriptor, Reference
from farm.registry.blobs import AT_ONCE, Arrival, pull_blob, push_blob
from farm.registry.index import assemble, members_of, platforms
from farm.registry.media_types import INDEXES, MANIFESTS, OCI_INDEX
from farm.registry.publish_index import Publishing
from farm.registry.published_images import look_up_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.cache.layout import Cache
    from farm.registry.client import Registry


@dataclass(frozen=True, slots=True)
class Moved:
    """What a push came to."""

    root: Descriptor
    blobs: Counter[Arrival]
    """How many blobs were sent, mounted, or stood there already."""


def pull_images(
    cache: Cache, registry: Registry, reference: Reference, arches: Sequence[str]
) -> dict[str, ArchImage]:
    """Bring the images of these architectures into the cache, as far as the registry has them.

    Returns:
        Architecture to image, for those that are now here.

    Raises:
        RegistryError: the registry cannot be asked, or sends damaged bytes.
        CacheError: they cannot be stored.
    """
    images = look_up_all(registry, {reference: arches})[reference].images
    for image in images.values():
        for one in image.descriptors:
            _fetch(cache, registry, reference, one)
    if images:
        add_images(cache, reference, list(images.values()))
    return images


def pull_all(cache: Cache, registry: Registry, reference: Reference) -> Descriptor:
    """Bring all that a name stands for into the cache, byte by byte, with a name for each architecture.

    Returns:
        What the name stands for here: the very same, or an OCI index where the registry has Docker's list.

    Raises:
        RegistryError: there is no such image, or it cannot be had.
        CacheError: it cannot be stored.
    """
    root = registry.head(reference)
    if root is None:
        raise RegistryError(f"{reference.familiar}: the registry holds no such image")
    _fetch(cache, registry, reference, root)
    named = nameable(cache.blobs, root)
    names: dict[str, Descriptor | None] = {str(reference): named}
    if root.media_type in INDEXES and reference.tag:
        index = index_of(cache.blobs, root)
        for arch in sorted(platforms(index)):
            target = reference.for_arch(arch)
            names[str(target)] = own_root(cache, ArchImage(arch, target, members_of(index, arch)))
    cache.change(lambda _: names)
    return named


def _fetch(cache: Cache, registry: Registry, reference: Reference, root: Descriptor) -> None:
    """Store a manifest or index and all below it, the parts first."""
    manifest = registry.manifest(reference.with_digest(root.digest))
    if manifest is None:
        raise RegistryError(f"{reference.familiar}: the registry names {root.digest}, and does not hold it")
    below = _named_by(manifest.body, root)
    for one in below:
        if one.media_type in (*INDEXES, *MANIFESTS):
            _fetch(cache, registry, reference, one)
    wanted = {one.digest: one for one in below if one.media_type not in (*INDEXES, *MANIFESTS)}
    absent = [one for one in wanted.values() if not cache.blobs.claim(one)]
    registry.at_once(lambda one: _fetch_blob(cache, registry, reference, one), absent, threads=AT_ONCE)
    cache.blobs.put(manifest.body, root.media_type)


def _named_by(body: bytes, root: Descriptor) -> list[Descriptor]:
    try:
        data = json.loads(body)
        if root.media_type in INDEXES:
            return [Descriptor.from_json(item) for item in data["manifests"]]
        layers = [layer for layer in data.get("layers") or [] if not layer.get("urls")]
        return [Descriptor.from_json(item) for item in (data["config"], *layers)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RegistryError(f"the manifest {root.digest} cannot be understood: {error!r}") from error


def _fetch_blob(cache: Cache, registry: Registry, reference: Reference, blob: Descriptor) -> None:
    with cache.blobs.writing() as writer:
        pull_blob(registry, reference, blob, writer)
        writer.keep(blob.media_type, blob.digest)


def push_image(cache: Cache, registry: Registry, image: ArchImage) -> Counter[Arrival]:
    """Make NAME:TAG-ARCH of the registry hold an image of the cache; returns how its blobs came there.

    Raises:
        RegistryError: the registry refuses it, or cannot be reached.
        CacheError: a part of it is not in the cache, or damaged.
    """
    everything = {one.digest: one for root in image.descriptors for one in belonging(cache.blobs, root)}
    manifests = [one for one in everything.values() if one.media_type in MANIFESTS]
    files = [one for one in everything.values() if one.media_type not in MANIFESTS]
    holders = _Holders(cache, image.reference)

    def send(blob: Descriptor) -> Arrival:
        return push_blob(
            registry,
            image.reference,
            blob,
            lambda: cache.blobs.pieces(blob.digest),
            mounts=lambda: holders.of(blob),
        )

    # The largest first: it takes longest.
    by_size = sorted(files, key=lambda one: -one.size)
    arrivals = Counter(registry.at_once(send, by_size, threads=AT_ONCE))
    for one in manifests:
        body = cache.blobs.read(one)
        registry.put_manifest(image.reference.with_digest(one.digest), one.media_type, body)
    if len(image.descriptors) == 1:
        only = image.descriptors[0]
        registry.put_manifest(image.reference, only.media_type, cache.blobs.read(only))
    else:
        registry.put_manifest(image.reference, OCI_INDEX, assemble([image]).body())
    return arrivals


def push_all(cache: Cache, registry: Registry, reference: Reference) -> Moved:
    """Push every architecture's image of NAME:TAG, then an index of all that the registry has.

    Raises:
        CacheError: there is no such name in the cache, or nothing of it is here in full.
        RegistryError: the registry refuses it, or cannot be reached.
    """
    root = cache.find(reference)
    if root is None:
        raise CacheError(f"{reference.familiar} is not in the cache {cache.root}", hint="farm cache ls")
    arches = sorted(platforms(index_of(cache.blobs, root)))
    images = [image for arch in arches if (image := find_image(cache, reference, arch))]
    if not images:
        raise CacheError(f"{reference.familiar}: no image of it is in the cache in full")
    arrivals: Counter[Arrival] = Counter()
    for image in images:
        arrivals += push_image(cache, registry, image)
    publishing = Publishing(registry, reference, images)
    index = publishing.publish(ours=lambda: None, then=lambda _: None, until=threading.Event())
    return Moved(index, arrivals)


class _Holders:
    """Which other repositories of a registry hold a blob, as far as the cache's names tell."""

    def __init__(self, cache: Cache, target: Reference) -> None:
        self._cache, self._target = cache, target

    def of(self, blob: Descriptor) -> list[str]:
        """Their names."""
        return self._known.get(blob.digest, [])

    @cached_property
    def _known(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, root in self._cache.names().items():
            reference = Reference.parse(name)
            other = reference.registry == self._target.registry and reference.repository
            if not other or other == self._target.repository or not complete(self._cache.blobs, root):
                continue
            for one in belonging(self._cache.blobs, root):
                if other not in found.setdefault(one.digest, []):
                    found[one.digest].append(other)
        return found


def published(cache: Cache, registry: Registry) -> list[Reference]:
    """The names of the cache that stand for the very same in their registries.

    Raises:
        RegistryError: a registry cannot be asked.
    """
    names = [(Reference.parse(name), root) for name, root in cache.names().items()]

    def same(pair: tuple[Reference, Descriptor]) -> bool:
        head = registry.head(pair[0])
        return head is not None and head.digest == pair[1].digest

    found = registry.at_once(same, names)
    return [reference for (reference, _), there in zip(names, found, strict=True) if there]
