"""Which existing images a publisher would choose, as far as that is known without reading their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from farm.trust.attested_builds import attested, made_for, ordered_at, worker_keys
from farm.trust.verified_images import without_attestations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.model import ArchImage
    from farm.registry.client import Registry
    from farm.trust.attested_builds import ImageOrigin, OrderedBuild
    from farm.trust.policy import Policy


class Candidates(NamedTuple):
    """The images that may count for one architecture of a package."""

    origin: ImageOrigin
    tagged: tuple[ArchImage, ...]
    indexed: ArchImage | None
    """What the published index has."""
    signed: bool
    """Whether that index is signed now."""
    build: OrderedBuild | None = None
    """What an image must have been built for; None for any order."""

    @property
    def images(self) -> tuple[ArchImage, ...]:
        """All of them."""
        return (*self.tagged, *([self.indexed] if self.indexed else []))


def same_image(one: ArchImage, other: ArchImage) -> bool:
    """Whether both are the same image, with or without BuildKit's attestations."""
    return without_attestations(one)[:1] == without_attestations(other)[:1]


def choose_all(
    registry: Registry, policy: Policy, wanted: Sequence[Candidates]
) -> Iterator[tuple[Candidates, ArchImage]]:
    """The image of each that a publisher would choose, where there is one; all attestations are read at once.

    The bytes of the images are not read: a publisher does that.
    """
    pairs = [(one, image) for one in wanted for image in one.images if without_attestations(image)]
    asked = [
        (one.origin.reference, without_attestations(image)[0].digest, image.arch) for one, image in pairs
    ]
    if not asked:
        return
    from farm.attestation.check import attestations_of_all  # noqa: PLC0415 - 5 ms that other plans do without

    found = attestations_of_all(registry, asked, worker_keys(policy))
    best: dict[int, tuple[float, Candidates, ArchImage]] = {}
    for (one, image), about in zip(pairs, found, strict=True):
        valid = attested(about, one.origin, policy)
        if not valid and not (one.signed and image == one.indexed):
            continue
        if one.build and not one.build.is_made(*made_for(valid)):
            continue
        ordered = max(map(ordered_at, valid), default=0.0)
        if id(one) not in best or ordered > best[id(one)][0]:
            best[id(one)] = (ordered, one, image)
    for _, one, image in best.values():
        yield one, image
