"""Copies: the identical bytes under another name or in another repository."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from farm.errors import InputError
from farm.registry.blobs import CONCURRENT_BLOBS, push_blob, stream_blob
from farm.registry.index import children
from farm.registry.oci import INDEXES, naming
from farm.registry.publish_index import put_all
from farm.system.at_once import at_once

if TYPE_CHECKING:
    from farm.model import Descriptor, Reference
    from farm.registry.client import Manifest, Registry


class CopyResult(StrEnum):
    """What was at the target before."""

    UNCHANGED = "unchanged"
    NEW = "new"
    REPLACED = "replaced"


def copy(registry: Registry, source: Reference, target: Reference) -> tuple[CopyResult, Descriptor]:
    """Make a tag refer to the same as another reference; return also the descriptor of that."""
    if not target.tag or target.digest:
        raise InputError(
            f"{target.familiar}: the target of a copy needs a tag, and no digest", hint="write it as NAME:TAG"
        )
    manifest = registry.existing(source)
    before = registry.head(target)
    if before and before.digest == manifest.descriptor.digest:
        return CopyResult.UNCHANGED, before
    if source.name != target.name:
        _copy_children(registry, source, target, manifest)
    put_all(registry, {target: manifest}, {target: before.digest} if before else None)
    return (CopyResult.REPLACED if before else CopyResult.NEW), manifest.descriptor


def _copy_children(registry: Registry, source: Reference, target: Reference, manifest: Manifest) -> None:
    """Give the target's repository everything that a manifest or index refers to."""
    with naming(source):
        below = children(manifest.descriptor.media_type, manifest.body)
    if manifest.descriptor.media_type in INDEXES:
        for one in below:
            member = registry.member(source, one)
            _copy_children(registry, source, target, member)
            registry.put_manifest(target.with_digest(one.digest), one.media_type, member.body)
        return
    mounts = [source.repository] if source.registry == target.registry else []

    def copy_blob(blob: Descriptor) -> None:
        push_blob(registry, target, blob, lambda: stream_blob(registry, source, blob), mounts=lambda: mounts)

    at_once(copy_blob, below, threads=CONCURRENT_BLOBS)
