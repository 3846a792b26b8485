"""Whether a tag holds what a policy demands: an index that is signed, of images that its workers attest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from farm.attestation.check import Attestation, attestations_of_all
from farm.errors import TrustError
from farm.registry.index import is_attestation, platforms
from farm.registry.published_images import read_index
from farm.trust.attested_builds import worker_keys
from farm.trust.cosign.verify import signed_by_keys
from farm.trust.signer import make_signer, signers_of
from farm.trust.verified_images import read_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.model import Descriptor, Reference
    from farm.registry.client import Registry
    from farm.settings import Settings
    from farm.trust.policy import Policy


@dataclass(frozen=True, slots=True)
class ImageReport:
    """What is known of one image of an index."""

    platform: str
    digest: str
    attestations: tuple[Attestation, ...]

    def to_json(self) -> dict[str, Any]:
        """The JSON output."""
        return {
            "platform": self.platform,
            "digest": self.digest,
            "attestations": [_attestation_json(one) for one in self.attestations],
        }


def _attestation_json(one: Attestation) -> dict[str, Any]:
    said = one.provenance
    return {
        "worker": one.worker,
        "tag": said.tag,
        "tree": said.tree,
        "order": said.order,
        "run": said.run,
        "finished": said.finished,
        "materials": [{"uri": uri, "digest": digest} for uri, digest in said.materials],
    }


@dataclass(frozen=True, slots=True)
class TagReport:
    """What is known of a tag, and what the policy demands of it in vain."""

    reference: Reference
    digest: str
    signed: tuple[str, ...]
    """The signers that signed this digest under this tag."""
    images: tuple[ImageReport, ...]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The JSON output."""
        return {
            "reference": str(self.reference),
            "digest": self.digest,
            "verified": not self.problems,
            "signed": list(self.signed),
            "images": [image.to_json() for image in self.images],
            "problems": list(self.problems),
        }


def verify_tag(registry: Registry, settings: Settings, policy: Policy, reference: Reference) -> TagReport:
    """Check everything that the policy demands of NAME:TAG; needs no broker.

    Raises:
        RegistryError, TrustUnavailableError: the registry or a signer cannot be asked.
        TrustError: there is no index under the tag.
    """
    index, descriptor = read_index(registry, reference)
    if index is None or descriptor is None:
        raise TrustError(f"{reference.familiar} does not exist", hint="is the tag right?")
    members = [member for member in index.manifests if not is_attestation(member)]
    signed, refused = _signatures(registry, settings, policy, reference, descriptor.digest)
    images = _images(registry, policy, reference, members)
    problems = (*refused, *_problems(policy, images, registry, reference, members))
    if not signed and images and reference.tag not in _tags(images):
        problems = (*problems, f"nothing says that the images are those of {reference.tag}: it is not signed")
    if not platforms(index):
        problems = (*problems, "the index has no images")
    return TagReport(reference, descriptor.digest, signed, images, problems)


def _signatures(
    registry: Registry, settings: Settings, policy: Policy, reference: Reference, digest: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The signers of this digest, and what is wrong with those that the policy demands."""
    signed, problems = [], []
    for name in policy.signatures or _configured(settings):
        found = _digest_signed_by(name, registry, settings, policy, reference)
        if found == digest:
            signed.append(name)
        elif found:
            problems.append(f"{name} signed {found}, but the tag refers to {digest}")
        else:
            problems.append(f"not signed by {name}")
    return tuple(signed), tuple(problems)


def _configured(settings: Settings) -> tuple[str, ...]:
    """The signers of this machine, for a policy that demands none."""
    is_set = settings.signers or settings.notary_server or settings.cosign_public_key or settings.cosign_key
    return signers_of(settings) if settings.sign and is_set else ()


def _digest_signed_by(
    name: str, registry: Registry, settings: Settings, policy: Policy, reference: Reference
) -> str | None:
    if name == "cosign" and policy.cosign_keys:
        return signed_by_keys(registry, reference, policy.cosign_keys)
    signer = make_signer(replace(settings, signers=(name,)), registry)
    signer.check_settings([reference.name], to_sign=False)
    signature = signer.signed([reference])[reference.name].tags.get(str(reference.tag))
    return signature.digest if signature else None


def _images(
    registry: Registry, policy: Policy, reference: Reference, members: Sequence[Descriptor]
) -> tuple[ImageReport, ...]:
    asked = [(reference, one.digest, one.platform.architecture if one.platform else "") for one in members]
    found = attestations_of_all(registry, asked, worker_keys(policy))
    return tuple(
        ImageReport(str(one.platform or "no platform"), one.digest, about)
        for one, about in zip(members, found, strict=True)
    )


def _problems(
    policy: Policy,
    images: Sequence[ImageReport],
    registry: Registry,
    reference: Reference,
    members: Sequence[Descriptor],
) -> Iterator[str]:
    for image, member in zip(images, members, strict=True):
        workers = {one.key for one in image.attestations}
        if len(workers) < policy.attestations:
            many = f"{len(workers)} of {policy.attestations} workers" if workers else "no authorised worker"
            yield f"{image.platform}: attested by {many}: {image.digest}"
        elif not _is_as_described(registry, reference, member):
            yield f"{image.platform}: is no image for this platform: {image.digest}"
    built = {(one.provenance.tag, one.provenance.tree) for image in images for one in image.attestations}
    if images and not _one_origin(images):
        yield f"the images were built from different sources: {', '.join(sorted(tree for _, tree in built))}"


def _is_as_described(registry: Registry, reference: Reference, member: Descriptor) -> bool:
    if member.platform is None:
        return False
    read = read_image(registry, reference, member.digest, member.platform.architecture)
    return read is not None and (read.media_type, read.size) == (member.media_type, member.size)


def _tags(images: Sequence[ImageReport]) -> set[str]:
    """The tags that all attested images were built for."""
    tags = [{one.provenance.tag for one in image.attestations} for image in images if image.attestations]
    return set.intersection(*tags) if tags else set()


def _one_origin(images: Sequence[ImageReport]) -> bool:
    """Whether there is a tag and a tree that all attested images were built from."""
    origins = [
        {(one.provenance.tag, one.provenance.tree) for one in image.attestations}
        for image in images
        if image.attestations
    ]
    return not origins or bool(set.intersection(*origins))
