"""Small images: layers of files, a configuration and a manifest, in a cache or as archives."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

from farm.model import ArchImage, Descriptor, Platform, Reference, digest_of
from farm.registry.oci import OCI_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.cache.layout import Cache

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
NAME = Reference.parse("linuxkit/foo:abc")


def tar(files: Mapping[str, bytes | None]) -> bytes:
    """A tar of files; None is a directory."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, body in files.items():
            put(archive, name, body)
    return packed.getvalue()


def config(layers: Sequence[bytes], arch: str = "amd64") -> bytes:
    """A configuration for uncompressed layers."""
    data = {
        "architecture": arch,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
    }
    return json.dumps(data).encode()


def add(
    cache: Cache,
    layers: Sequence[bytes],
    arch: str = "amd64",
    name: Reference = NAME,
    *,
    promised: Sequence[bytes] | None = None,
    packed: Sequence[bytes] | None = None,
) -> ArchImage:
    """Store an image of plain layers, without a name.

    Its configuration may name other layers, and other bytes may take the place of a layer's compressed form.
    """
    packed = packed or [gzip.compress(layer, compresslevel=1, mtime=0) for layer in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": cache.blobs.put(config(promised or layers, arch), CONFIG).to_json(),
        "layers": [cache.blobs.put(layer, LAYER).to_json() for layer in packed],
    }
    root = cache.blobs.put(json.dumps(manifest).encode(), OCI_MANIFEST)
    named = Descriptor(root.media_type, root.digest, root.size, Platform(arch))
    return ArchImage(arch, name.for_arch(arch), (named,))


def docker_archive(layers: Sequence[bytes], names: Sequence[str], *, repeat_as_link: bool = True) -> bytes:
    """An archive as `docker save` of engines before 25 writes it, where a repeated layer is a link."""
    body = config(layers)
    seen: dict[bytes, str] = {}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number, layer in enumerate(layers):
            folder = f"{number:064x}"
            put(archive, f"{folder}/VERSION", b"1.0")
            if repeat_as_link and layer in seen:
                link = tarfile.TarInfo(f"{folder}/layer.tar")
                link.type, link.linkname = tarfile.SYMTYPE, f"../{seen[layer]}/layer.tar"
                archive.addfile(link)
            else:
                put(archive, f"{folder}/layer.tar", layer)
            seen.setdefault(layer, folder)
        put(archive, f"{digest_of(body)[7:]}.json", body)
        item: dict[str, Any] = {
            "Config": f"{digest_of(body)[7:]}.json",
            "RepoTags": list(names),
            "Layers": [f"{number:064x}/layer.tar" for number in range(len(layers))],
        }
        put(archive, "manifest.json", json.dumps([item]).encode())
    return packed.getvalue()


def put(archive: tarfile.TarFile, name: str, body: bytes | None) -> None:
    """Add a file to an archive, or a directory."""
    entry = tarfile.TarInfo(name)
    if body is None:
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    entry.size = len(body or b"")
    archive.addfile(entry, io.BytesIO(body or b""))
