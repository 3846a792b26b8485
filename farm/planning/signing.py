"""From an existing tag, and what the workers attest about it, to the work that signs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import AttestationError
from farm.model import Copy, PackageWork

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.attestation.check import Attestation
    from farm.model import Reference


def signing_work(
    reference: Reference, digest: str, attested: Mapping[str, Attestation], *, adopt: bool
) -> PackageWork:
    """The work that signs a tag of an index, or of one architecture's image, as a digest.

    Args:
        reference: NAME:TAG.
        digest: what it refers to.
        attested: architecture to attestation; empty if an image of it has none.
        adopt: whether to sign also what no worker has built for this tag.

    Raises:
        AttestationError: no worker has built it for this tag.
    """
    tag = str(reference.tag)
    built_for = {(one.provenance.tag, one.provenance.tree) for one in attested.values()}
    for own, tree in built_for if len(built_for) == 1 else ():
        source = reference.with_tag(own)
        if reference in (source, *map(source.for_arch, attested)):
            return _work(reference, Copy(source, tag, sign=True, tree=tree, digest=digest), arches=attested)
    if adopt:
        return _work(reference, Copy(reference, tag, sign=True, digest=digest), adopted=(digest,))
    tags = ", ".join(sorted(reference.with_tag(own).familiar for own, _ in built_for))
    raise AttestationError(
        f"{reference.familiar}: no authorised worker has built {digest} for that tag"
        + (f", but for {tags}" if tags else ""),
        hint="sign what it refers to nevertheless: --adopt",
    )


def _work(
    reference: Reference, copy: Copy, arches: Iterable[str] = (), adopted: tuple[str, ...] = ()
) -> PackageWork:
    title = f"sign {reference.familiar}"
    return PackageWork(title, reference, tuple(arches), copies=(copy,), adopted=adopted)
