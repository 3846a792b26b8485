"""Unit tests of farm.planning.signing."""

from __future__ import annotations

import pytest

from farm.errors import AttestationError
from farm.model import Reference
from farm.planning.signing import signing_work
from farm.trust.attested_builds import ImageOrigin
from tests.support.values import HASH

OWN = Reference.parse(f"localhost:1/linuxkit/foo:{HASH}")
DIGEST = f"sha256:{'5' * 64}"


@pytest.mark.parametrize(("reference", "arch"), [(OWN, ""), (OWN.for_arch("arm64"), "arm64")])
@pytest.mark.parametrize("adopt", [True, False])
def test_what_workers_have_built_is_signed_as_they_attest_it(
    reference: Reference, arch: str, adopt: bool
) -> None:
    work = signing_work(reference, DIGEST, ImageOrigin(OWN, "tree"), adopt=adopt)
    (copy,) = work.copies
    assert (copy.source, copy.target, copy.tree, copy.digest) == (OWN, reference, "tree", DIGEST)
    assert (copy.arch, work.arches, work.adopted, work.sign) == (arch, (), (), True)


def test_everything_else_is_signed_only_if_it_is_adopted_by_digest() -> None:
    with pytest.raises(AttestationError) as refused:
        signing_work(OWN, DIGEST, None, adopt=False)
    assert "--adopt" in (refused.value.hint or "")
    work = signing_work(OWN, DIGEST, None, adopt=True)
    assert (work.adopted, work.copies[0].target, work.copies[0].digest) == ((DIGEST,), OWN, DIGEST)
