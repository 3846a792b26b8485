"""From an existing tag, and what workers attest about it, to the work that signs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import AttestationError
from farm.model import Copy, PackageWork

if TYPE_CHECKING:
    from farm.model import Reference
    from farm.trust.attested_builds import ImageOrigin


def signing_work(
    reference: Reference, digest: str, origin: ImageOrigin | None, *, adopt: bool
) -> PackageWork:
    """The work that signs a tag, of an index or of one architecture's image, as a digest.

    Args:
        reference: NAME:TAG.
        digest: what it refers to.
        origin: for which tag and from which tree workers have built that; None if they have not.
        adopt: whether to sign also what they have not built.

    Raises:
        AttestationError: they have not built it for this tag.
    """
    if origin is None and not adopt:
        raise AttestationError(
            f"{reference.familiar}: no authorised worker attests {digest}, as it is, for that tag",
            hint="sign what it refers to nevertheless: --adopt",
        )
    source, tree = origin or (reference, "")
    copy = Copy(source, str(reference.tag), sign=True, tree=tree, digest=digest)
    title, adopted = f"sign {reference.familiar}", () if origin else (digest,)
    return PackageWork(title, reference, arches=(), copies=(copy,), adopted=adopted)
