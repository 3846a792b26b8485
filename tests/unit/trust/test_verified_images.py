"""Unit tests of farm.trust.verified_images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from farm.attestation.check import Attestation
from farm.model import Reference
from farm.trust.attested_builds import ImageOrigin, attested
from farm.trust.policy import Policy
from tests.support.attestations import PROVENANCE
from tests.support.values import HASH

ORIGIN = ImageOrigin(Reference.parse(f"{PROVENANCE.name}:{HASH}"), HASH)


def by(key: str, **facts: Any) -> Attestation:
    return Attestation(replace(PROVENANCE, **facts), key, f"name of {key}", b"")


def test_one_key_counts_once_however_often_it_attests() -> None:
    both = Policy(attestations=2)
    assert attested([by("a"), by("a", run="r7-abcd")], ORIGIN, both) == ()
    assert len(attested([by("a"), by("b")], ORIGIN, both)) == 2


def test_what_workers_attest_under_another_tag_or_tree_does_not_count() -> None:
    """A second build for comparison has a tag of its own."""
    both = Policy(attestations=2)
    assert attested([by("a"), by("b", tag=f"{HASH}-rebuild")], ORIGIN, both) == ()
    assert attested([by("a"), by("b", tree="f" * 40)], ORIGIN, both) == ()
