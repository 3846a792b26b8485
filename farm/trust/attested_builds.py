"""What attestations say of an image's build, and how many of which workers it takes to count."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from farm.attestation.check import Attestation
    from farm.model import Job, Reference
    from farm.trust.policy import Policy, WorkerKey

MEMBERS = "members"
"""The parameter of a statement with the digests of BuildKit's attestations of the image."""
ORDERED = "ordered"
"""The parameter with the Unix time of the order, seconds."""
_CLOCK_SKEW = 600.0
"""Seconds by which the clock of a worker may be behind that of a maintainer."""


class ImageOrigin(NamedTuple):
    """What an image must have been built from to count under a tag."""

    reference: Reference
    """NAME:TAG of the index."""
    tree: str


class OrderedBuild(NamedTuple):
    """A build that an order wants."""

    order: str
    """The digest of the order."""
    created: float
    """Unix time of the order, seconds."""
    recipe: str
    """What else may have been built for an earlier order and serves as well; "" to build it anew."""

    @classmethod
    def of(cls, order: str, created: float, job: Job) -> OrderedBuild:
        """The build of a job."""
        return cls(order, created, "" if job.force else job.recipe)

    def is_made(self, orders: Collection[str], recipes: Collection[str], ordered: float = 0.0) -> bool:
        """Whether an image was built for this order, from the same recipe, or for a newer order."""
        return self.order in orders or self.recipe in recipes or ordered > self.created


def worker_keys(policy: Policy) -> dict[str, WorkerKey]:
    """Public key to whose it is."""
    return {worker.key: worker for worker in policy.workers}


def attested(found: Iterable[Attestation], origin: ImageOrigin, policy: Policy) -> tuple[Attestation, ...]:
    """Those attestations that say that an image was built from this; () if they are of too few workers."""
    valid = of_origin(found, origin)
    return valid if len(keys_of(valid)) >= policy.attestations else ()


def of_origin(found: Iterable[Attestation], origin: ImageOrigin) -> tuple[Attestation, ...]:
    """Those attestations that say that an image was built from this."""
    wanted = (origin.reference.tag, origin.tree)
    return tuple(one for one in found if (one.provenance.tag, one.provenance.tree) == wanted)


def keys_of(found: Iterable[Attestation]) -> frozenset[str]:
    """The public keys of the workers that attest an image."""
    return frozenset(one.key for one in found)


def made_for(found: Iterable[Attestation]) -> tuple[frozenset[str], frozenset[str]]:
    """The orders and the recipes that an image was built for."""
    made = [one.provenance for one in found]
    return frozenset(one.order for one in made), frozenset(one.recipe for one in made)


def members_stated(one: Attestation) -> tuple[str, ...]:
    """The digests of BuildKit's attestations of the image, as its worker states them."""
    members = one.provenance.parameters.get(MEMBERS, ())
    return tuple(map(str, members)) if isinstance(members, (list, tuple)) else ()


def ordered_at(one: Attestation) -> float:
    """When the order of an attestation was signed; 0 if that cannot be: a lie must not win for ever."""
    ordered = one.provenance.parameters.get(ORDERED, 0.0)
    latest = min(one.provenance.finished, time.time()) + _CLOCK_SKEW
    if isinstance(ordered, (int, float)) and 0 <= ordered <= latest:
        return float(ordered)
    return 0.0
