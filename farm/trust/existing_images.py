"""Which existing images count as built, as far as that is known without reading their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farm.registry.index import without_attestations
from farm.trust.attested_builds import attested, made_for, worker_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.model import ArchImage
    from farm.registry.client import Registry
    from farm.trust.attested_builds import ImageOrigin, OrderedBuild
    from farm.trust.policy import Policy


class ExistingImage(NamedTuple):
    """An image that exists, and what it must have been built from."""

    image: ArchImage
    origin: ImageOrigin
    build: OrderedBuild | None = None
    """What it must have been built for; None for any order."""


def attested_images(
    registry: Registry, policy: Policy, images: Sequence[ExistingImage]
) -> Iterator[ExistingImage]:
    """Those of the images that authorised workers attest; all attestations are read at once.

    The bytes of the images are not read: a publisher does that.
    """
    wanted = [one for one in images if without_attestations(one.image)]
    if not wanted:
        return
    from farm.attestation.check import attestations_of_all  # noqa: PLC0415 - 5 ms that other plans do without

    asked = [
        (one.origin.reference, without_attestations(one.image)[0].digest, one.image.arch) for one in wanted
    ]
    found = attestations_of_all(registry, asked, worker_keys(policy))
    for one, about in zip(wanted, found, strict=True):
        valid = attested(about, one.origin, policy)
        if valid and not (one.build and not one.build.is_made(*made_for(valid))):
            yield one
