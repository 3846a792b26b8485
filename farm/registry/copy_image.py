"""Copying an image to another name, in the same repository or another one: the identical bytes."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from farm.errors import InputError, RegistryError
from farm.registry.blobs import CONCURRENT_BLOBS, push_blob, stream_blob
from farm.registry.oci import INDEXES, children
from farm.registry.publish_index import overwritten, put

if TYPE_CHECKING:
    from farm.model import Descriptor, Reference
    from farm.registry.client import Manifest, Registry


class CopyResult(StrEnum):
    """What was at the target before."""

    UNCHANGED = "unchanged"
    NEW = "new"
    REPLACED = "replaced"


def copy(registry: Registry, source: Reference, target: Reference) -> tuple[CopyResult, Descriptor]:
    """Make a tag refer to the same as another reference; return also the descriptor of that.

    Raises:
        InputError: the target has no tag.
        RegistryError: the source does not exist, or a registry refuses something.
    """
    if not target.tag or target.digest:
        raise InputError(
            f"{target.familiar}: the target of a copy needs a tag, and no digest", hint="write it as NAME:TAG"
        )
    manifest = registry.manifest(source)
    if manifest is None:
        raise RegistryError(f"{source.familiar}: the registry holds no such image", hint="is the name right?")
    before = registry.head(target)
    if before and before.digest == manifest.descriptor.digest:
        return CopyResult.UNCHANGED, before
    if source.name != target.name:
        _copy_children(registry, source, target, manifest)
    if not put(registry, target, manifest):
        raise overwritten(target)
    return (CopyResult.REPLACED if before else CopyResult.NEW), manifest.descriptor


def _copy_children(registry: Registry, source: Reference, target: Reference, manifest: Manifest) -> None:
    """Give the target's repository everything that a manifest or index refers to."""
    below = children(manifest.descriptor.media_type, manifest.body)
    if manifest.descriptor.media_type in INDEXES:
        for member in below:
            _copy_member(registry, source, target, member)
        return
    registry.at_once(lambda blob: _copy_blob(registry, source, target, blob), below, threads=CONCURRENT_BLOBS)


def _copy_member(registry: Registry, source: Reference, target: Reference, member: Descriptor) -> None:
    manifest = registry.manifest(source.with_digest(member.digest))
    if manifest is None:
        raise RegistryError(
            f"{source.familiar}: its member {member.digest} is not in the registry", hint="push it again"
        )
    _copy_children(registry, source, target, manifest)
    registry.put_manifest(target.with_digest(member.digest), member.media_type, manifest.body)


def _copy_blob(registry: Registry, source: Reference, target: Reference, blob: Descriptor) -> None:
    mounts = [source.repository] if source.registry == target.registry else []
    push_blob(registry, target, blob, lambda: stream_blob(registry, source, blob), mounts=lambda: mounts)
