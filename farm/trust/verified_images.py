"""Which images count as built: those that enough authorised workers attest, and those that are signed.

Tags, messages and records only say where to look. Every image is read by its digest, and what is said of it
in the index (media type, size, platform) comes from its own bytes.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import RegistryError
from farm.model import ARCHES, ArchImage, Platform
from farm.registry.index import BUILDKIT_ANNOTATIONS, is_attestation, members_of, subject
from farm.registry.oci import MANIFESTS, ImageManifest, naming, read_platform

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from farm.attestation.check import Attestation
    from farm.model import Descriptor, Job, Reference
    from farm.registry.client import Registry
    from farm.registry.index import Index
    from farm.trust.policy import Policy, WorkerKey

MEMBERS = "members"
"""The parameter of a statement with the digests of BuildKit's attestations of the image."""
ORDERED = "ordered"
"""The parameter with the Unix time of the order, seconds."""
_MOST_MEMBERS = 16
"""Images of one architecture that are looked at: an index of anybody's could name thousands."""
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


class VerifiedImage(NamedTuple):
    """An image that may be published."""

    image: ArchImage
    ordered: float
    """Unix time of the order that it was built for, seconds: the newest image of an architecture wins."""
    orders: frozenset[str] = frozenset()
    """The orders that it was built for, by digest."""
    recipes: frozenset[str] = frozenset()
    statements: tuple[bytes, ...] = ()
    """What the workers state of it."""


def without_attestations(image: ArchImage) -> tuple[Descriptor, ...]:
    """The descriptors of an image, but for BuildKit's attestations."""
    return tuple(one for one in image.descriptors if not is_attestation(one))


def newest(found: Iterable[VerifiedImage | None]) -> VerifiedImage | None:
    """The image of the newest order, so that an old one never replaces it; of several, the first."""
    return max(filter(None, found), key=lambda one: one.ordered, default=None)


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


def _made_for(found: Iterable[Attestation]) -> tuple[frozenset[str], frozenset[str]]:
    """The orders and the recipes that an image was built for."""
    made = [one.provenance for one in found]
    return frozenset(one.order for one in made), frozenset(one.recipe for one in made)


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
        if one.build and not one.build.is_made(*_made_for(valid)):
            continue
        ordered = max(map(_ordered, valid), default=0.0)
        if id(one) not in best or ordered > best[id(one)][0]:
            best[id(one)] = (ordered, one, image)
    for _, one, image in best.values():
        yield one, image


class _Found(NamedTuple):
    """What a registry has about an image."""

    attestations: tuple[Attestation, ...]
    own: Future[Descriptor | None]
    """As `read_image`, with its error: looked at only if the image counts, since else it is anybody's."""


@dataclass(frozen=True, slots=True)
class ImageVerifier:
    """Verifies the images that may be published under one tag; asks for each digest once."""

    registry: Registry
    policy: Policy
    origin: ImageOrigin
    adopted: Mapping[str, float] = field(default_factory=dict)
    """Digests that the order accepts without an attestation, each with the time of the order."""
    is_signed: Callable[[str], bool] = lambda _: False
    """Whether a digest is that of a member of the index that is signed now."""
    _known: dict[tuple[str, str], VerifiedImage | None] = field(default_factory=dict)
    _too_few: dict[str, int] = field(default_factory=dict)
    _found: dict[tuple[str, str], _Found] = field(default_factory=dict)

    def read_ahead(self, images: Iterable[ArchImage]) -> None:
        """Read what `verify` needs of these images, all at once, before it is known what is signed."""
        wanted = {
            (image.arch, one.digest)
            for image in images
            for one in without_attestations(image)[:_MOST_MEMBERS]
        }
        self.registry.at_once(lambda one: self._find(*one), wanted)

    def verify(self, image: ArchImage) -> VerifiedImage | None:
        """The image as its own bytes describe it; None if nobody who is authorised attests it.

        Raises:
            RegistryError: the registry does not answer.
        """
        members = without_attestations(image)[:_MOST_MEMBERS]
        return newest(self._verify(image, one.digest) for one in members)

    def why_not(self, digest: str) -> str:
        """Why an image that was verified may not be published."""
        if workers := self._too_few.get(digest):
            return f"it is attested by {workers} of {self.policy.attestations} workers"
        return "no authorised worker attests it"

    def _counts_unattested(self, digest: str) -> bool:
        return digest in self.adopted or self.is_signed(digest)

    def _verify(self, image: ArchImage, digest: str) -> VerifiedImage | None:
        key = (image.arch, digest)
        if key not in self._known:
            self._known[key] = self._verified(image, digest)
        return self._known[key]

    def _find(self, arch: str, digest: str) -> _Found:
        from farm.attestation.check import attestations  # noqa: PLC0415 - the same

        key, reference = (arch, digest), self.origin.reference
        if key not in self._found:
            with ThreadPoolExecutor(1) as pool:
                own = pool.submit(read_image, self.registry, reference, digest, arch)
                found = attestations(self.registry, reference, digest, worker_keys(self.policy), arch)
            self._found[key] = _Found(found, own)
        return self._found[key]

    def _verified(self, image: ArchImage, digest: str) -> VerifiedImage | None:
        found, own = self._find(image.arch, digest)
        valid = attested(found, self.origin, self.policy)
        if not valid and not self._counts_unattested(digest):
            self._too_few[digest] = len(keys_of(of_origin(found, self.origin)))
            return None
        from farm.attestation.statement import to_statement  # noqa: PLC0415 - the same

        reference, main = self.origin.reference, own.result()
        if main is None:
            return None
        about = [one for one in image.descriptors if is_attestation(one) and subject(one) == digest]
        named = {member for one in valid for member in _members(one)}
        trusted = [one for one in about if one.digest in named or self._counts_unattested(one.digest)]
        described = tuple(read_member(self.registry, reference, one) for one in trusted)
        provenances = [one.provenance for one in valid]
        ordered = max([_ordered(one) for one in valid] + [self.adopted.get(digest, 0.0)])
        return VerifiedImage(
            ArchImage(image.arch, reference.for_arch(image.arch), (main, *described)),
            ordered,
            *_made_for(valid),
            tuple(dict.fromkeys(map(to_statement, provenances))),
        )


def _members(one: Attestation) -> tuple[str, ...]:
    members = one.provenance.parameters.get(MEMBERS, ())
    return tuple(map(str, members)) if isinstance(members, (list, tuple)) else ()


def _ordered(one: Attestation) -> float:
    """When the order of an attestation was signed; 0 if that cannot be: a lie must not win for ever."""
    ordered = one.provenance.parameters.get(ORDERED, 0.0)
    latest = min(one.provenance.finished, time.time()) + _CLOCK_SKEW
    if isinstance(ordered, (int, float)) and 0 <= ordered <= latest:
        return float(ordered)
    return 0.0


def read_image(registry: Registry, reference: Reference, digest: str, arch: str) -> Descriptor | None:
    """The descriptor of an image from its own bytes; None if it is none for this architecture of Linux."""
    pinned = reference.with_digest(digest)
    manifest = registry.manifest(pinned)
    if manifest is None or manifest.descriptor.media_type not in MANIFESTS:
        return None
    with naming(pinned):
        config = ImageManifest.parse(manifest.body).config
        if config is None:
            return None
        platform = read_platform(registry.blob(pinned, config.digest))
    if (platform.os, platform.architecture) != ("linux", arch):
        return None
    return replace(manifest.descriptor, platform=platform)


def read_member(registry: Registry, reference: Reference, member: Descriptor) -> Descriptor:
    """BuildKit's attestation of an image, with the size and type of its own bytes."""
    manifest = registry.manifest(reference.with_digest(member.digest))
    if manifest is None:
        raise RegistryError(
            f"{reference.familiar}: {member.digest} is not in the registry", hint="push again"
        )
    annotations = tuple(pair for pair in member.annotations if pair[0] in BUILDKIT_ANNOTATIONS)
    return replace(manifest.descriptor, platform=Platform("unknown", "unknown"), annotations=annotations)


def unverified(verifier: ImageVerifier, index: Index) -> tuple[str, ...]:
    """The digests of an index's members that do not count as built, or not as the index describes them."""
    images: list[ArchImage] = []
    for arch in ARCHES:
        members = members_of(index, arch)
        for member in members:
            if is_attestation(member):
                continue
            about = (one for one in members if subject(one) == member.digest)
            images.append(ArchImage(arch, verifier.origin.reference.for_arch(arch), (member, *about)))
    verifier.read_ahead(images)
    verified = filter(None, map(verifier.verify, images))
    counted = {one for found in verified for one in found.image.descriptors}
    return tuple(one.digest for one in index.manifests if one not in counted)
