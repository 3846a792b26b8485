"""Images of the cache as one archive that is both an OCI image layout and what `docker load` reads."""

from __future__ import annotations

import json
import platform
import tarfile
from typing import TYPE_CHECKING

from farm.cache.archive_content import NAME_KEYS
from farm.cache.image_content import all_blobs, children
from farm.cache.named_images import index_of
from farm.errors import CacheError
from farm.model import arch_of_uname, hex_of
from farm.registry.index import is_attestation
from farm.registry.oci import MANIFESTS, OCI_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.cache.blobs import Blobs
    from farm.cache.layout import Cache
    from farm.model import Descriptor, Reference

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
# https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06
_BLOCK = 512
_RECORD = 20 * _BLOCK


def archive(blobs: Blobs, root: Descriptor, names: Sequence[Reference]) -> Iterator[bytes]:
    """The tar of an image or index, under these names, in pieces; the same content gives the same bytes.

    Raises:
        CacheError: a blob is missing.
    """
    size = 0
    for piece in _files(blobs, root, names):
        size += len(piece)
        yield piece
    yield bytes(2 * _BLOCK)
    yield bytes(-(size + 2 * _BLOCK) % _RECORD)


def _files(blobs: Blobs, root: Descriptor, names: Sequence[Reference]) -> Iterator[bytes]:
    yield from _file("oci-layout", _LAYOUT)
    for name in ("blobs/", "blobs/sha256/"):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        yield entry.tobuf(tarfile.USTAR_FORMAT)
    for one in all_blobs(blobs, root):
        yield _header(_path(one), one.size)
        yield from blobs.pieces(one.digest)
        yield bytes(-one.size % _BLOCK)
    yield from _file("index.json", _index(root, names))
    if root.media_type in MANIFESTS:
        yield from _file("manifest.json", _docker_manifest(blobs, root, names))


def _index(root: Descriptor, names: Sequence[Reference]) -> bytes:
    annotations = [dict.fromkeys(NAME_KEYS, str(name)) for name in names]
    manifests = [{**root.to_json(), "annotations": one} for one in annotations] or [root.to_json()]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()


def _docker_manifest(blobs: Blobs, image: Descriptor, names: Sequence[Reference]) -> bytes:
    """The manifest.json of `docker save`.

    https://github.com/moby/docker-image-spec/blob/main/v1.2.md#combined-image-json--filesystem-changeset-format
    """
    config, *layers = children(blobs, image)
    item = {
        "Config": _path(config),
        "RepoTags": [str(name) for name in names],
        "Layers": [_path(layer) for layer in layers],
    }
    return json.dumps([item]).encode()


def root_for(cache: Cache, reference: Reference, arch: str | None) -> Descriptor:
    """What to export of a name: one architecture's image, `all`, or None for this machine's or the only one.

    Raises:
        CacheError: there is no such name, or no image for that architecture.
    """
    root = cache.find(reference)
    if root is None:
        raise CacheError(f"{reference.familiar} is not in the cache {cache.root}", hint="farm cache ls")
    if arch == "all":
        return root
    images = [
        one for one in index_of(cache.blobs, root).manifests if one.platform and not is_attestation(one)
    ]
    wanted = arch or arch_of_uname(platform.machine())
    for one in images:
        if one.platform and one.platform.architecture == wanted:
            return one
    if arch is None and len(images) == 1:
        return images[0]
    present = ", ".join(str(one.platform) for one in images) or "no images"
    raise CacheError(
        f"{reference.familiar} has no image for {wanted}, only {present}", hint="--arch ARCH, or --arch all"
    )


def _path(blob: Descriptor) -> str:
    return f"blobs/sha256/{hex_of(blob.digest)}"


def _file(name: str, body: bytes) -> Iterator[bytes]:
    yield _header(name, len(body))
    yield body
    yield bytes(-len(body) % _BLOCK)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry.tobuf(tarfile.GNU_FORMAT)
