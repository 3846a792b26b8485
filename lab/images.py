"""Base images for the lab's registry, made here: Debian's busybox for three architectures."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING

from farm.model import ArchImage, Descriptor, Platform, Reference, digest_of
from farm.registry.blobs import push_blob
from farm.registry.client import Registry
from farm.registry.credentials import Credentials
from farm.registry.index import assemble
from farm.registry.oci import OCI_INDEX, OCI_MANIFEST
from lab.cache import CACHE
from lab.debian import busybox
from lab.machine import ARCHES

if TYPE_CHECKING:
    from pathlib import Path

TAG = "1.36"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_APPLETS = (
    "sh ash cat chmod cp cut date dd df du echo env false find grep gzip head id ln ls mkdir mv ps pwd rm "
    "sed sha256sum sleep sort stat sync tail tar test touch tr true uname wc wget which xargs yes"
)


def push_base(registry: str) -> str:
    """Push REGISTRY/library/busybox for every architecture; returns its reference."""
    reference = Reference.parse(f"{registry}/library/busybox:{TAG}")
    with Registry(Credentials(CACHE), timeout=30) as client:
        images = [_push_image(client, reference, arch) for arch in ARCHES]
        index = assemble(images)
        client.put_manifest(reference, OCI_INDEX, index.body())
    return f"{registry}/library/busybox:{TAG}"


def _push_image(client: Registry, reference: Reference, arch: str) -> ArchImage:
    plain = rootfs(busybox(arch))
    layer = gzip.compress(plain, compresslevel=1, mtime=0)
    diff = digest_of(plain)
    config = json.dumps(
        {
            "architecture": arch,
            "os": "linux",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [diff]},
            "history": [{"created_by": "busybox-static of Debian"}],
        }
    ).encode()
    for blob in (layer, config):
        push_bytes(client, reference, blob)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(_CONFIG, digest_of(config), len(config)).to_json(),
        "layers": [Descriptor(_LAYER, digest_of(layer), len(layer)).to_json()],
    }
    body = json.dumps(manifest).encode()
    target = reference.for_arch(arch)
    client.put_manifest(target, OCI_MANIFEST, body)
    named = Descriptor(OCI_MANIFEST, digest_of(body), len(body), Platform(arch))
    return ArchImage(arch, target, (named,))


def push_bytes(client: Registry, reference: Reference, blob: bytes) -> None:
    """Push one blob to a repository."""
    about = Descriptor("application/octet-stream", digest_of(blob), len(blob))
    push_blob(client, reference, about, lambda: iter([blob]))


def rootfs(program: Path) -> bytes:
    """A tar with busybox, links for its applets, and the few files that programs expect."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("bin", "etc", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        _add(tar, "bin/busybox", program.read_bytes(), 0o755)
        _add(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n", 0o644)
        for applet in _APPLETS.split():
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return packed.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
