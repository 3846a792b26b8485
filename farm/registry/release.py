"""Releasing indexes: the very same bytes under another tag, never over what stands there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import RegistryError, RegistryUnavailableError
from farm.registry.publish_index import put

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Copy, Descriptor, Reference
    from farm.registry.client import Manifest, Registry


def releasable(registry: Registry, copies: Sequence[Copy]) -> dict[Reference, Manifest]:
    """What is to stand under each release's tag; nothing is changed.

    Raises:
        RegistryError: an index is not there, or a release's tag holds something else.
    """
    sources = registry.at_once(lambda copy: registry.manifest(copy.source), copies)
    standing = registry.at_once(lambda copy: registry.head(copy.target), copies)
    found: dict[Reference, Manifest] = {}
    for copy, source, target in zip(copies, sources, standing, strict=True):
        if source is None:
            raise RegistryError(f"{copy.source.familiar} is gone", hint="push it again")
        if target and target.digest != source.descriptor.digest:
            raise RegistryError(
                f"{copy.target.familiar} stands already, as {target.digest}; nothing is released",
                hint="choose another name for the release",
            )
        found[copy.target] = source
    return found


def release(registry: Registry, found: Mapping[Reference, Manifest]) -> dict[Reference, Descriptor]:
    """Put each under its release's tag, and prove it; doing it twice is doing it once.

    Raises:
        RegistryError: the registry refuses one; others may stand by then, and the next attempt goes on.
    """
    stand = registry.at_once(lambda pair: put(registry, *pair), found.items())
    for target, stands in zip(found, stand, strict=True):
        if not stands:
            raise RegistryUnavailableError(
                f"{target.familiar} was pushed, and the registry holds something else",
                hint="somebody else pushes this tag; push again later",
            )
    return {target: manifest.descriptor for target, manifest in found.items()}
