"""Which images count as built: those that enough authorised workers attest, and those that are signed.

Tags, messages and records only say where to look. Every image is read by its digest, and what is said of it
in the index (media type, size, platform) comes from its own bytes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from farm.errors import RegistryError
from farm.model import ARCHES, ArchImage, Platform
from farm.registry.index import (
    BUILDKIT_ANNOTATIONS,
    Index,
    is_attestation,
    members_of,
    subject,
    without_attestations,
)
from farm.registry.oci import INDEXES, MANIFESTS, ImageManifest, naming, read_platform
from farm.system.at_once import at_once
from farm.trust.attested_builds import (
    attested,
    keys_of,
    made_for,
    members_stated,
    of_origin,
    ordered_at,
    worker_keys,
)
from farm.trust.signer import AttestedImage, SignTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    from farm.attestation.check import Attestation
    from farm.model import Descriptor, Reference
    from farm.registry.client import Manifest, Registry
    from farm.trust.attested_builds import ImageOrigin
    from farm.trust.policy import Policy

_MOST_MEMBERS = 16
"""Images of one architecture that are looked at: an index of anybody's could name thousands."""


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


def as_attested(found: Iterable[VerifiedImage]) -> list[AttestedImage]:
    """The images, each with what its workers state of it."""
    return [
        AttestedImage(SignTarget.of(one.image.reference, without_attestations(one.image)[0]), one.statements)
        for one in found
    ]


def newest(found: Iterable[VerifiedImage | None]) -> VerifiedImage | None:
    """The image of the newest order, so that an old one never replaces it; of several, the first."""
    return max(filter(None, found), key=lambda one: one.ordered, default=None)


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
        at_once(lambda one: self._find(*one), wanted)

    def verify(self, image: ArchImage) -> VerifiedImage | None:
        """The image as its own bytes describe it; None if nobody who is authorised attests it.

        Raises:
            RegistryError: the registry does not answer.
        """
        members = without_attestations(image)[:_MOST_MEMBERS]
        return newest(self._verify(image, one.digest) for one in members)

    @property
    def verified(self) -> tuple[VerifiedImage, ...]:
        """The images that may be published, of those that were verified."""
        return tuple(filter(None, self._known.values()))

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
        named = {member for one in valid for member in members_stated(one)}
        trusted = [one for one in about if one.digest in named or self._counts_unattested(one.digest)]
        described = tuple(read_member(self.registry, reference, one) for one in trusted)
        provenances = [one.provenance for one in valid]
        ordered = max([ordered_at(one) for one in valid] + [self.adopted.get(digest, 0.0)])
        return VerifiedImage(
            ArchImage(image.arch, reference.for_arch(image.arch), (main, *described)),
            ordered,
            *made_for(valid),
            tuple(dict.fromkeys(map(to_statement, provenances))),
        )


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


def unverified(verifier: ImageVerifier, manifest: Manifest, arch: str) -> tuple[str, ...]:
    """The digests of what does not count as built: members of an index, or an image of an architecture."""
    digest = manifest.descriptor.digest
    if manifest.descriptor.media_type not in INDEXES:
        image = ArchImage(arch, verifier.origin.reference, (manifest.descriptor,))
        return () if arch and verifier.verify(image) else (digest,)
    with naming(verifier.origin.reference):
        index = Index.parse(manifest.body)
    return unverified_members(verifier, index) if index.manifests else (digest,)


def unverified_members(verifier: ImageVerifier, index: Index) -> tuple[str, ...]:
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
