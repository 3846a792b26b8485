"""Releases: the identical index under a further tag, never in place of another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import RegistryError
from farm.registry.publish_index import overwritten, put

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Copy, Descriptor, Reference
    from farm.registry.client import Manifest, Registry


def prepare_release(registry: Registry, copies: Sequence[Copy]) -> dict[Reference, Manifest]:
    """The index for each release tag; changes nothing.

    Raises:
        RegistryError: an index does not exist, or a release tag refers to something else.
    """
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
    """Put each index under its release tag, and verify it; a repetition changes nothing.

    Raises:
        RegistryError: the registry refuses one; the next attempt continues with the others.
    """
    verified = registry.at_once(lambda pair: put(registry, *pair), indexes.items())
    for target, unchanged in zip(indexes, verified, strict=True):
        if not unchanged:
            raise overwritten(target)
    return {target: manifest.descriptor for target, manifest in indexes.items()}
