"""Putting an image under another name, in the same repository or another one: the very same bytes."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from farm.errors import InputError, RegistryError, RegistryUnavailableError
from farm.model import Descriptor
from farm.registry.blobs import AT_ONCE, pieces_of, push_blob
from farm.registry.media_types import INDEXES
from farm.registry.publish_index import put

if TYPE_CHECKING:
    from farm.model import Reference
    from farm.registry.client import Manifest, Registry


class CopyResult(StrEnum):
    """What a copy found at its target."""

    STOOD = "stood"
    NEW = "new"
    REPLACED = "replaced"


def copy(registry: Registry, source: Reference, target: Reference) -> tuple[CopyResult, Descriptor]:
    """Make a tag hold what another reference names; returns what was there before, and what is there now.

    Raises:
        InputError: the target has no tag.
        RegistryError: the source is not there, or a registry refuses something.
    """
    if not target.tag or target.digest:
        raise InputError(f"{target.familiar}: what is to be tagged needs a tag, and no digest")
    manifest = registry.manifest(source)
    if manifest is None:
        raise RegistryError(f"{source.familiar}: the registry holds no such image")
    before = registry.head(target)
    if before and before.digest == manifest.descriptor.digest:
        return CopyResult.STOOD, before
    if source.name != target.name:
        _bring(registry, source, target, manifest)
    if not put(registry, target, manifest):
        raise RegistryUnavailableError(
            f"{target.familiar} was pushed, and the registry holds something else",
            hint="somebody else pushes this tag; try again later",
        )
    return (CopyResult.REPLACED if before else CopyResult.NEW), manifest.descriptor


def _bring(registry: Registry, source: Reference, target: Reference, manifest: Manifest) -> None:
    """Make the target's repository hold all that a manifest or an index names."""
    try:
        data = json.loads(manifest.body)
        named = data["manifests"] if manifest.descriptor.media_type in INDEXES else _files(data)
        below = [Descriptor.from_json(item) for item in named]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RegistryError(f"{source.familiar}: its manifest cannot be read: {error!r}") from error
    if manifest.descriptor.media_type in INDEXES:
        for member in below:
            _bring_member(registry, source, target, member)
        return
    registry.at_once(lambda blob: _bring_blob(registry, source, target, blob), below, threads=AT_ONCE)


def _files(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [data["config"], *(layer for layer in data.get("layers") or [] if not layer.get("urls"))]


def _bring_member(registry: Registry, source: Reference, target: Reference, member: Descriptor) -> None:
    manifest = registry.manifest(source.with_digest(member.digest))
    if manifest is None:
        raise RegistryError(f"{source.familiar}: names {member.digest}, and the registry does not hold it")
    _bring(registry, source, target, manifest)
    registry.put_manifest(target.with_digest(member.digest), member.media_type, manifest.body)


def _bring_blob(registry: Registry, source: Reference, target: Reference, blob: Descriptor) -> None:
    neighbours = [source.repository] if source.registry == target.registry else []
    push_blob(registry, target, blob, lambda: pieces_of(registry, source, blob), mounts=lambda: neighbours)
