"""What an image consists of: from an index to its manifests, from those to configurations and layers.

Uncompressed, each layer has the digest that the configuration lists:
https://github.com/opencontainers/image-spec/blob/main/config.md#layer-diffid
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from farm.cache.blobs import PIECE
from farm.errors import CacheError, RegistryError
from farm.model import digest_from_hex
from farm.model.strict_json import fields_of, json_object, list_of, text_of
from farm.registry import index, oci
from farm.registry.compression import DAMAGED, open_uncompressed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    """What a manifest or an index refers to directly; nothing for any other blob."""
    if blob.media_type not in (*oci.INDEXES, *oci.MANIFESTS):
        return ()
    with _as_cache_error(blob):
        return index.children(blob.media_type, blobs.read(blob))


def walk(blobs: Blobs, root: Descriptor, depth: int = 0) -> Iterator[Descriptor]:
    """An image or index and everything below it, as far as manifests are present; blobs may be missing."""
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
    """An image or index and everything below it, each once, children before their parents; all present."""
    found = {one.digest: one for one in walk(blobs, root)}
    for one in found.values():
        if not blobs.has(one):
            raise blobs.missing(one.digest)
    return list(reversed(found.values()))


def platform_of(blobs: Blobs, image: Descriptor) -> Platform:
    """The platform in the configuration of a single image."""
    with _as_cache_error(image):
        config, *_ = oci.ImageManifest.parse(blobs.read(image)).stored
        return oci.read_platform(blobs.read(config))


def verify_layers_below(blobs: Blobs, root: Descriptor) -> None:
    """Verify the layers of every complete image below a root."""
    for one in walk(blobs, root):
        if one.media_type in oci.MANIFESTS and is_complete(blobs, one):
            verify_layers(blobs, one)


def verify_layers(blobs: Blobs, image: Descriptor, known: Mapping[str, str] | None = None) -> None:
    """Verify the layers of an image; `known` are digests of uncompressed layers that were computed before."""
    config, *layers = children(blobs, image)
    if not all(".tar" in layer.media_type for layer in layers):
        return  # an attestation or another artifact, whose layers are not file systems
    listed = _diff_ids(blobs, config)
    if len(listed) != len(layers):
        raise CacheError(
            f"the image {image.digest} has {len(layers)} layers, its configuration {len(listed)}"
        )
    for layer, expected in zip(layers, listed, strict=True):
        actual = (known or {}).get(layer.digest) or _diff_id(blobs, layer)
        if actual not in (None, expected):
            raise CacheError(f"the layer {layer.digest}: digest mismatch: expected {expected}, got {actual}")


def _diff_ids(blobs: Blobs, config: Descriptor) -> list[str]:
    try:
        system = fields_of(json_object(blobs.read(config), "rootfs")["rootfs"], "diff_ids")
        return [text_of(one) for one in list_of(system["diff_ids"])]
    except KeyError as error:
        raise CacheError(f"{config.digest}: invalid image configuration: no field {error}") from error
    except ValueError as error:
        raise CacheError(f"{config.digest}: invalid image configuration: {error}") from error


def _diff_id(blobs: Blobs, layer: Descriptor) -> str | None:
    """The digest of an uncompressed layer; None for a compression other than gzip."""
    content = hashlib.sha256()
    try:
        with blobs.path(layer.digest).open("rb") as raw:
            file = open_uncompressed(raw)
            while file and (piece := file.read(PIECE)):
                content.update(piece)
    except (OSError, *DAMAGED) as error:
        raise CacheError(f"the layer {layer.digest} cannot be decompressed: {error}") from error
    return digest_from_hex(content.hexdigest()) if file else None
