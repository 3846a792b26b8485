"""Releases: further tags for the indexes of a run; an existing release is never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import RegistryError
from farm.registry import read_back
from farm.registry.publish_index import put_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Copy, Descriptor, Reference
    from farm.registry.client import Manifest, Registry


def prepare_release(registry: Registry, copies: Sequence[Copy]) -> dict[Reference, Manifest]:
    """The index for each release tag; RegistryError if there is none, or the tag refers to another one."""

    def read(source: Reference) -> Manifest | None:
        # It may have been published a moment ago.
        return read_back.until(bool, lambda: registry.manifest(source), registry.deadline)

    sources = registry.at_once(lambda copy: read(copy.source), copies)
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
    put_all(registry, indexes)
    return {target: manifest.descriptor for target, manifest in indexes.items()}
