"""What the tags of base images refer to now, and whether that counts as built by the farm."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from farm.attestation.check import attestations_of_all
from farm.errors import TrustError
from farm.registry.client import open_registry
from farm.registry.index import is_attestation
from farm.registry.published_images import read_index
from farm.trust.attested_builds import worker_keys
from farm.trust.places import current_policy
from farm.trust.signer import make_signer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.model import Reference
    from farm.registry.client import Registry
    from farm.registry.index import Index
    from farm.settings import Settings
    from farm.trust.policy import Policy
    from farm.trust.signer import Signer

log = logging.getLogger(__name__)


def look_up_bases(
    references: Sequence[Reference], settings: Settings, *, signed: bool
) -> tuple[dict[Reference, str], list[Reference]]:
    """The digest to which each tag refers, and those tags of which somebody else made an image.

    Tags that do not exist are left out, since a build that needs one says so. With `signed`, what is signed
    counts, too.

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
        others = {reference: digest for reference, digest in digests.items() if reference not in own}
        if signed and others:
            others = _unsigned(make_signer(settings, registry), others)
    return digests, list(others)


def _unsigned(signer: Signer, tags: Mapping[Reference, str]) -> dict[Reference, str]:
    """The tags that are not signed as what they refer to."""
    try:
        known = signer.signed(tags)
    except TrustError as error:
        log.info("the signatures of base images cannot be read: %s", error)
        return dict(tags)
    found = ((reference, known[reference.name].tags.get(reference.tag or "")) for reference in tags)
    as_signed = {reference: one.digest for reference, one in found if one}
    return {reference: digest for reference, digest in tags.items() if as_signed.get(reference) != digest}


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
