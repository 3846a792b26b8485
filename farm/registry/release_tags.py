"""Releases: further tags for the indexes of a run; what a tag refers to already is never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farm.errors import RegistryError
from farm.registry import read_back
from farm.registry.publish_index import put_all
from farm.system.at_once import at_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.model import Copy, Descriptor, Reference
    from farm.registry.client import Manifest, Registry


class PreparedRelease(NamedTuple):
    """What a release is made of."""

    manifests: dict[Reference, Manifest]
    """What each tag is to refer to."""
    missing: frozenset[Reference]
    """The tags that do not exist."""


def prepare_release(registry: Registry, copies: Sequence[Copy]) -> PreparedRelease:
    """What each tag is to refer to; RegistryError if there is none, or the tag refers to something else."""

    def read(copy: Copy) -> Manifest | None:
        source = copy.source.with_digest(copy.digest) if copy.digest else copy.source
        # It may have been published a moment ago.
        return read_back.until(bool, lambda: registry.manifest(source), registry.deadline)

    sources = at_once(read, copies)
    targets = at_once(lambda copy: registry.head(copy.target), copies)
    found: dict[Reference, Manifest] = {}
    for copy, source, target in zip(copies, sources, targets, strict=True):
        if source is None:
            raise RegistryError(f"{copy.source.familiar} is no longer published", hint="push it again")
        if target and target.digest != source.descriptor.digest:
            raise _taken(copy, target)
        found[copy.target] = source
    pairs = zip(copies, targets, strict=True)
    return PreparedRelease(found, frozenset(copy.target for copy, target in pairs if target is None))


def _taken(copy: Copy, target: Descriptor) -> RegistryError:
    name = copy.target.familiar
    if copy.digest:
        return RegistryError(
            f"{name} refers to {target.digest} by now, not to {copy.digest}; nothing was signed",
            hint="find out who pushed that",
        )
    return RegistryError(
        f"{name} exists already, as {target.digest}; nothing was released",
        hint="choose another name for the release",
    )


def release(registry: Registry, prepared: PreparedRelease) -> dict[Reference, Descriptor]:
    """Put what is missing under its tag, and verify it; a repetition changes nothing."""
    manifests = prepared.manifests.items()
    put_all(registry, {target: manifest for target, manifest in manifests if target in prepared.missing})
    return {target: manifest.descriptor for target, manifest in prepared.manifests.items()}
