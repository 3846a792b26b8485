"""What the tags of base images refer to now, and whether the farm's workers built that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.attestation.check import attestations_of_all
from farm.registry.client import open_registry
from farm.registry.index import is_attestation
from farm.registry.published_images import read_index
from farm.trust.attested_builds import worker_keys
from farm.trust.places import current_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Reference
    from farm.registry.client import Registry
    from farm.registry.index import Index
    from farm.settings import Settings
    from farm.trust.policy import Policy


def look_up_bases(
    references: Sequence[Reference], settings: Settings
) -> tuple[dict[Reference, str], list[Reference]]:
    """The digest to which each tag refers, and those tags of which somebody else made an image.

    Tags that do not exist are left out, since a build that needs one says so.

    Raises:
        RegistryError: the registry cannot be asked.
    """
    if not references:
        return {}, []
    policy = current_policy(settings)
    with open_registry(settings) as registry:
        heads = registry.at_once(registry.head, references)
        digests = {one: head.digest for one, head in zip(references, heads, strict=True) if head}
        pinned = [reference.with_digest(digest) for reference, digest in digests.items()]
        indexes = registry.at_once(lambda one: read_index(registry, one)[0], pinned)
        own = _attested(registry, policy, dict(zip(digests, indexes, strict=True)))
    return digests, [reference for reference in digests if reference not in own]


def _attested(
    registry: Registry, policy: Policy, indexes: Mapping[Reference, Index | None]
) -> frozenset[Reference]:
    """The tags of which enough workers attest each image of the index, for that tag."""
    members = [
        (reference, one.digest, one.platform.architecture if one.platform else "")
        for reference, index in indexes.items()
        for one in (index.manifests if index else ())
        if not is_attestation(one)
    ]
    found = attestations_of_all(registry, members, worker_keys(policy)) if members else []
    lacking = {
        reference
        for (reference, _, _), about in zip(members, found, strict=True)
        if len({one.key for one in about if one.provenance.tag == reference.tag}) < policy.attestations
    }
    return frozenset(reference for reference, _, _ in members) - lacking
