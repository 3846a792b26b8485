"""Verification of layers: uncompressed, each has the digest that the image's configuration lists.

https://github.com/opencontainers/image-spec/blob/main/config.md#layer-diffid
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.cache.compression import DAMAGED, compute_diff_id
from farm.cache.image_content import children, is_complete, read_json, walk
from farm.errors import CacheError
from farm.registry.oci import MANIFESTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.cache.blobs import Blobs
    from farm.model import Descriptor


def verify_layers_below(blobs: Blobs, root: Descriptor) -> None:
    """Verify the layers of every complete image below a root.

    Raises:
        CacheError: a layer is damaged, or not the one of the configuration.
    """
    for one in walk(blobs, root):
        if one.media_type in MANIFESTS and is_complete(blobs, one):
            verify_layers(blobs, one)


def verify_layers(blobs: Blobs, image: Descriptor, known: Mapping[str, str] | None = None) -> None:
    """Verify the layers of an image.

    Args:
        blobs: all of the image's.
        image: its manifest.
        known: digest of a layer to its uncompressed digest, where that was computed before.

    Raises:
        CacheError: a layer is damaged, or not the one of the configuration.
    """
    config, *layers = children(blobs, image)
    if not all(".tar" in layer.media_type for layer in layers):
        return  # an attestation or another artifact, whose layers are not file systems
    listed = read_json(blobs, config)["rootfs"]["diff_ids"]
    if len(listed) != len(layers):
        raise CacheError(
            f"the image {image.digest} has {len(layers)} layers, its configuration {len(listed)}"
        )
    for layer, expected in zip(layers, listed, strict=True):
        actual = (known or {}).get(layer.digest) or layer_diff_id(blobs, layer)
        if actual not in (None, expected):
            raise CacheError(f"the layer {layer.digest}: digest mismatch: expected {expected}, got {actual}")


def layer_diff_id(blobs: Blobs, layer: Descriptor) -> str | None:
    """The digest of an uncompressed layer; None for a compression other than gzip.

    Raises:
        CacheError: it is damaged, or missing.
    """
    try:
        return compute_diff_id(blobs.path(layer.digest))
    except (OSError, *DAMAGED) as error:
        raise CacheError(f"the layer {layer.digest} cannot be decompressed: {error}") from error
