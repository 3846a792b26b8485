"""What an image consists of: from an index to its manifests, from those to configurations and layers."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from farm.errors import CacheError, RegistryError
from farm.registry import index, oci

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.cache.blobs import Blobs
    from farm.model import Descriptor, Platform

_DEEPEST = 4
"""Levels of nested indexes: BuildKit's attestations need two; a cycle must not loop forever."""


@contextmanager
def _as_cache_error(blob: Descriptor) -> Iterator[None]:
    try:
        yield
    except RegistryError as error:
        raise CacheError(f"{blob.digest}: {error.message}") from error


def children(blobs: Blobs, blob: Descriptor) -> tuple[Descriptor, ...]:
    """What a manifest or an index refers to directly; nothing for any other blob.

    Raises:
        CacheError: it is missing, or cannot be read.
    """
    if blob.media_type not in (*oci.INDEXES, *oci.MANIFESTS):
        return ()
    with _as_cache_error(blob):
        return index.children(blob.media_type, blobs.read(blob))


def read_json(blobs: Blobs, blob: Descriptor) -> dict[str, Any]:
    """A blob that is a JSON object.

    Raises:
        CacheError: it is missing, damaged, or not a JSON object.
    """
    try:
        data = json.loads(blobs.read(blob))
    except ValueError as error:
        raise CacheError(f"{blob.digest}: not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise CacheError(f"{blob.digest}: not a JSON object")
    return data


def walk(blobs: Blobs, root: Descriptor, depth: int = 0) -> Iterator[Descriptor]:
    """An image or index and everything below it, as far as manifests are present; blobs may be missing.

    Raises:
        CacheError: a manifest is damaged.
    """
    yield root
    if depth > _DEEPEST:
        raise CacheError(f"{root.digest}: indexes are nested too deeply")
    for child in children(blobs, root) if blobs.has(root) else ():
        yield from walk(blobs, child, depth + 1)


def missing_blobs(blobs: Blobs, root: Descriptor) -> Iterator[Descriptor]:
    """The blobs of an image or index that are missing."""
    return (one for one in walk(blobs, root) if not blobs.has(one))


def is_complete(blobs: Blobs, root: Descriptor) -> bool:
    """Whether all blobs of an image or index are present, and its manifests are undamaged."""
    try:
        return next(missing_blobs(blobs, root), None) is None
    except CacheError:
        return False


def all_blobs(blobs: Blobs, root: Descriptor) -> list[Descriptor]:
    """An image or index and everything below it, each once, children before their parents.

    Raises:
        CacheError: a blob is missing, or a manifest is damaged.
    """
    found = {one.digest: one for one in walk(blobs, root)}
    for one in found.values():
        if not blobs.has(one):
            raise CacheError(
                f"{blobs.directory}: the blob {one.digest} is missing", hint="pull or build the image again"
            )
    return list(reversed(found.values()))


def platform_of(blobs: Blobs, image: Descriptor) -> Platform:
    """The platform in the configuration of a single image.

    Raises:
        CacheError: there is none.
    """
    with _as_cache_error(image):
        config, *_ = oci.ImageManifest.parse(blobs.read(image)).stored
        return oci.read_platform(blobs.read(config))
