"""What belongs to an image: from an index to its manifests, from those to configurations and layers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from farm.errors import CacheError
from farm.model import Descriptor, Platform
from farm.registry.media_types import INDEXES, MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.cache.blobs import Blobs

_DEEPEST = 4
"""Indexes within indexes: BuildKit's attestations make two, and somebody's mistake no endless loop."""


def parts(blobs: Blobs, one: Descriptor) -> tuple[Descriptor, ...]:
    """What a manifest or an index names directly; nothing for any other blob.

    Raises:
        CacheError: it is not there, or cannot be read.
    """
    if one.media_type not in (*INDEXES, *MANIFESTS):
        return ()
    data = document(blobs, one)
    try:
        if one.media_type in INDEXES:
            named = data.get("manifests") or []
        else:
            # Layers with URLs are to be fetched from there, and never stored.
            layers = [layer for layer in data.get("layers") or [] if not layer.get("urls")]
            named = [data["config"], *layers]
        return tuple(Descriptor.from_json(item) for item in named)
    except (KeyError, TypeError, AttributeError) as error:
        raise CacheError(f"the manifest {one.digest} cannot be understood: {error!r}") from error


def document(blobs: Blobs, one: Descriptor) -> dict[str, Any]:
    """A JSON object among the blobs.

    Raises:
        CacheError: it is not there, damaged, or no JSON object.
    """
    try:
        data = json.loads(blobs.read(one))
    except ValueError as error:
        raise CacheError(f"the blob {one.digest} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise CacheError(f"the blob {one.digest} is no JSON object")
    return data


def reachable(blobs: Blobs, root: Descriptor, depth: int = 0) -> Iterator[Descriptor]:
    """An image or index and everything below it that can be known, whether it is there or not.

    Raises:
        CacheError: a manifest is damaged.
    """
    yield root
    if depth > _DEEPEST:
        raise CacheError(f"{root.digest}: indexes lie within indexes too deeply")
    for part in parts(blobs, root) if blobs.has(root) else ():
        yield from reachable(blobs, part, depth + 1)


def missing(blobs: Blobs, root: Descriptor) -> Iterator[Descriptor]:
    """What of an image or index is not there."""
    return (one for one in reachable(blobs, root) if not blobs.has(one))


def complete(blobs: Blobs, root: Descriptor) -> bool:
    """Whether an image or index is there in full; one that is damaged is not."""
    try:
        return next(missing(blobs, root), None) is None
    except CacheError:
        return False


def belonging(blobs: Blobs, root: Descriptor) -> list[Descriptor]:
    """An image or index and everything below it, each once, the parts before the whole.

    Raises:
        CacheError: a part is not there, or a manifest is damaged.
    """
    found = {one.digest: one for one in reachable(blobs, root)}
    for one in found.values():
        if not blobs.has(one):
            raise CacheError(
                f"{blobs.directory}: the blob {one.digest} is not there", hint="pull or build it again"
            )
    return list(reversed(found.values()))


def platform_of(blobs: Blobs, image: Descriptor) -> Platform:
    """The platform in the configuration of a single image.

    Raises:
        CacheError: it has none.
    """
    try:
        config = document(blobs, Descriptor.from_json(document(blobs, image)["config"]))
        return Platform.from_json({"variant": None, **config})
    except (KeyError, TypeError) as error:
        raise CacheError(f"the image {image.digest} names no platform: {error!r}") from error
