"""Whether an image was built from the bases that its order names, and from no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import InputError, OrderError
from farm.model import DIGEST, ArchImage, Reference
from farm.registry.index import Index, is_attestation, members_of
from farm.registry.oci import INDEXES, naming
from farm.trust.verified_images import ImageOrigin, ImageVerifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.model import Job
    from farm.registry.client import Registry
    from farm.trust.policy import Policy


def check_bases(job: Job, resolved: Mapping[str, str], registry: Registry, policy: Policy) -> None:
    """Check the digest that the builder resolved of each base image that the order names.

    Args:
        job: what was built.
        resolved: base image, as the builder names it, to its digest.
        registry: where the bases are.
        policy: whose workers may have built them.

    Raises:
        OrderError: it is another image; nothing is pushed.
    """
    found = {_parsed(name): digest for name, digest in resolved.items()}
    for name, must_be in job.bases:
        base = Reference.parse(name)
        # A stage that the build does not need is not resolved.
        if digest := found.get(base):
            _check(job, base, digest, must_be, registry, policy)


def _check(job: Job, base: Reference, digest: str, must_be: str, registry: Registry, policy: Policy) -> None:
    if DIGEST.fullmatch(must_be):
        if digest != must_be:
            raise OrderError(
                f"the base image {base.familiar} was {digest}, but the order names {must_be}",
                hint="somebody changed that tag; push again once you know who",
            )
    elif not _is_attested(ImageVerifier(registry, policy, ImageOrigin(base, must_be)), digest, job.arch):
        raise OrderError(
            f"the base image {base.familiar} was {digest}, which no authorised worker attests",
            hint="somebody changed that tag; push again once you know who",
        )


def _is_attested(verifier: ImageVerifier, digest: str, arch: str) -> bool:
    """Whether an image, or the one of an index for this architecture, is what the workers built."""
    base = verifier.origin.reference
    manifest = verifier.registry.existing(base.with_digest(digest))
    if manifest.descriptor.media_type not in INDEXES:
        return verifier.verify(ArchImage(arch, base, (manifest.descriptor,))) is not None
    with naming(base):
        members = members_of(Index.parse(manifest.body), arch)
    # The builder may choose any of them.
    images = [ArchImage(arch, base, (member,)) for member in members if not is_attestation(member)]
    return bool(images) and all(map(verifier.verify, images))


def materials(resolved: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """The base images as a statement names them."""
    return [(f"docker-image:{name}", digest) for name, digest in sorted(resolved.items())]


def _parsed(name: str) -> Reference | None:
    try:
        return Reference.parse(name)
    except InputError:
        return None
