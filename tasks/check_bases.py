"""Whether an image was built from the bases that its order names, and from no others of the farm's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import InputError, OrderError, UnnamedBaseError
from farm.model import DIGEST, Reference
from farm.trust.attested_builds import ImageOrigin
from farm.trust.verified_images import ImageVerifier, unverified

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from farm.model import Job
    from farm.registry.client import Registry
    from farm.trust.policy import Policy


def check_bases(job: Job, resolved: Iterable[tuple[str, str]], registry: Registry, policy: Policy) -> None:
    """Check the digest that the builder resolved of each base image that is the farm's own.

    Those are the images that the order names, and all others of the organisation: a name that is not in the
    order was not seen when it was signed, or did not exist.

    Args:
        job: what was built.
        resolved: the base images as the builder names them, each with its digest.
        registry: where the bases are.
        policy: whose workers may have built them.

    Raises:
        OrderError: it is another image; nothing is attested.
        UnnamedBaseError: the builder does not say which one it was.
    """
    ordered: dict[Reference, set[str]] = {}
    for name, must_be in job.bases:
        ordered.setdefault(_of_tag(Reference.parse(name)), set()).add(must_be)
    for name, digest in resolved:
        base = _parsed(name)
        if base is None:
            continue
        # A builder leaves out the tag `latest`, and that of an image that is named by digest.
        wanted = ordered.get(base, set()) | ordered.get(base.or_latest(), set())
        if not wanted and not _is_related(base, job):
            continue
        if not _is_wanted(base.or_latest(), digest, wanted, job.arch, registry, policy):
            raise _refusal(base, digest, wanted)


def _refusal(base: Reference, digest: str, wanted: Iterable[str]) -> OrderError:
    if not digest:
        return UnnamedBaseError(
            f"the builder does not say which image {base.familiar} was",
            hint=f"it names `FROM {base.familiar} AS NAME` with `--from=NAME`, and no image without layers",
        )
    names = f"the order names {' or '.join(sorted(wanted))}" if wanted else "the order does not name it"
    return OrderError(
        f"the base image {base.familiar} was {digest}, which no authorised worker attests: {names}",
        hint="somebody changed that tag, or it is new: push again once you know who",
    )


def _is_related(base: Reference, job: Job) -> bool:
    return base.name.rpartition("/")[0] == job.reference.name.rpartition("/")[0]


def _is_wanted(
    base: Reference, digest: str, wanted: Collection[str], arch: str, registry: Registry, policy: Policy
) -> bool:
    """Whether a base image has the digest of the order, or else images of its tree or of its digests.

    Of an index the builder may choose any image, since --platform names it: all must count.
    """
    trees = [must_be for must_be in wanted if not DIGEST.fullmatch(must_be)]
    if not trees or not digest:
        return bool(digest) and digest in wanted
    named = dict.fromkeys(wanted, 0.0)
    manifest = registry.existing(base.with_digest(digest))
    verifiers = (ImageVerifier(registry, policy, ImageOrigin(base, tree), named) for tree in trees)
    return any(not unverified(verifier, manifest, arch) for verifier in verifiers)


def materials(resolved: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """The base images as a statement names them."""
    return [(f"docker-image:{name}", digest) for name, digest in sorted(resolved) if digest]


def _parsed(name: str) -> Reference | None:
    try:
        return _of_tag(Reference.parse(name))
    except InputError:
        return None


def _of_tag(reference: Reference) -> Reference:
    """The reference as a builder names it, which says the digest beside it."""
    return reference._replace(digest=None)
