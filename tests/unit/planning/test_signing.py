"""Unit tests of farm.planning.signing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.attestation.check import Attestation
from farm.errors import AttestationError
from farm.model import Reference
from farm.planning.signing import signing_work
from tests.support.attestations import PROVENANCE
from tests.support.values import HASH

OWN = Reference.parse(f"localhost:1/linuxkit/foo:{HASH}")
DIGEST = f"sha256:{'5' * 64}"


def stated(tag: str, tree: str = HASH) -> Attestation:
    """What a worker attests of an image that it has built for a tag."""
    return Attestation(replace(PROVENANCE, tag=tag, tree=tree), "key", "one", b"")


@pytest.mark.parametrize("reference", [OWN, OWN.for_arch("arm64")])
def test_what_workers_have_built_for_a_tag_is_signed_as_they_attest_it(reference: Reference) -> None:
    work = signing_work(reference, DIGEST, {"arm64": stated(HASH)}, adopt=False)
    (copy,) = work.copies
    assert (copy.source, copy.target, copy.tree, copy.digest) == (OWN, reference, HASH, DIGEST)
    assert (work.arches, work.adopted, work.sign) == (("arm64",), (), True)


@pytest.mark.parametrize(
    ("reference", "attested"),
    [
        (OWN, {}),
        (OWN.with_tag("v1"), {"arm64": stated(HASH)}),
        (OWN.for_arch("amd64"), {"arm64": stated(HASH)}),
        (OWN, {"arm64": stated(HASH), "amd64": stated("f" * 40)}),
        (OWN, {"arm64": stated(HASH), "amd64": stated(HASH, tree="f" * 40)}),
    ],
)
def test_everything_else_is_signed_only_if_it_is_adopted_by_digest(
    reference: Reference, attested: dict[str, Attestation]
) -> None:
    with pytest.raises(AttestationError) as refused:
        signing_work(reference, DIGEST, attested, adopt=False)
    assert "--adopt" in (refused.value.hint or "")
    work = signing_work(reference, DIGEST, attested, adopt=True)
    assert (work.adopted, work.copies[0].target, work.copies[0].digest) == ((DIGEST,), reference, DIGEST)
