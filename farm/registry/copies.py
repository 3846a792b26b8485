"""Copies: the identical bytes under another name or in another repository; and releases, which are copies."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from farm.errors import InputError, RegistryError, RegistryUnavailableError
from farm.registry.blobs import CONCURRENT_BLOBS, push_blob, stream_blob
from farm.registry.index import children
from farm.registry.oci import INDEXES, naming
from farm.registry.publish_index import put

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Copy, Descriptor, Reference
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
    _put_verified(registry, target, manifest)
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

    registry.at_once(copy_blob, below, threads=CONCURRENT_BLOBS)


def prepare_release(registry: Registry, copies: Sequence[Copy]) -> dict[Reference, Manifest]:
    """The index for each release tag; RegistryError if there is none, or the tag refers to another one."""
    sources = registry.at_once(lambda copy: registry.manifest(copy.source), copies)
    targets = registry.at_once(lambda copy: registry.head(copy.target), copies)
    found: dict[Reference, Manifest] = {}
    for copy, source, target in zip(copies, sources, targets, strict=True):
        if source is None:
            raise RegistryError(f"{copy.source.familiar} is no longer published", hint="push it again")
        if target and target.digest != source.descriptor.digest:
            raise RegistryError(
                f"{copy.target.familiar} exists already, as {target.digest}; nothing was released",
                hint="choose another name for the release",
            )
        found[copy.target] = source
    return found


def release(registry: Registry, indexes: Mapping[Reference, Manifest]) -> dict[Reference, Descriptor]:
    """Put each index under its release tag, and verify it; a repetition changes nothing."""
    registry.at_once(lambda pair: _put_verified(registry, *pair), indexes.items())
    return {target: manifest.descriptor for target, manifest in indexes.items()}


def _put_verified(registry: Registry, reference: Reference, manifest: Manifest) -> None:
    if not put(registry, reference, manifest):
        raise RegistryUnavailableError(
            f"{reference.familiar}: another client overwrote the tag right after the push",
            hint="find out who else pushes this tag, then push again",
        )
