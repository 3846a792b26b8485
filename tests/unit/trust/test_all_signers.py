"""What counts as signed where there are several signers, and which signers there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.errors import TrustError
from farm.settings import Secret, Settings
from farm.trust.all_signers import agreed
from farm.trust.signer import Signature, SignedName, signers_of

A, B = (f"sha256:{word * 32}" for word in ("aa", "bb"))
NAME = "docker.io/linuxkit/foo"


def signed(**tags: str) -> SignedName:
    return SignedName(NAME, {tag: Signature(digest, 7) for tag, digest in tags.items()})


def test_a_tag_is_signed_only_if_every_signer_signed_the_same_digest() -> None:
    found = agreed({"cosign": signed(both=A, other=A, first=A), "notary": signed(both=A, other=B, second=A)})
    assert found.tags == {"both": Signature(A, 7)}
    assert {tag: [one.digest for one in some] for tag, some in found.partial.items()} == {
        "other": [A, B],
        "first": [A],
        "second": [A],
    }


def test_a_disagreement_is_one_warning_that_names_both_digests_and_their_signers() -> None:
    found = agreed({"cosign": signed(other=A, first=A), "notary": signed(other=B)})
    assert found.warnings == (f"{NAME}:other does not count as signed: cosign signed {A}, notary signed {B}",)


def test_what_keeps_one_signer_from_signing_keeps_all_of_them() -> None:
    refusals = [TrustError("no delegation"), TrustError("remove that tag")]
    answers = {str(number): signed()._replace(refusal=one) for number, one in enumerate(refusals)}
    refusal = agreed(answers | {"third": signed()}).refusal
    assert refusal is not None
    assert refusal.parts == tuple(refusals)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (Settings(), ("notary",)),
        (Settings(signing_key=Path("key.pem")), ("notary",)),
        (Settings(cosign_key=Path("cosign.key")), ("cosign",)),
        (Settings(cosign_private_key=Secret("PEM")), ("cosign",)),
        (Settings(cosign_public_key=Path("cosign.pub")), ("cosign",)),
        (Settings(cosign_key="pkcs11:x", signing_key=Path("key.pem")), ("cosign", "notary")),
        (Settings(cosign_public_key=Path("p"), notary_server="https://notary"), ("cosign", "notary")),
        (Settings(cosign_public_key=Path("p"), signers=("notary",)), ("notary",)),
    ],
)
def test_the_signers_are_those_that_are_set_or_else_those_that_are_configured(
    settings: Settings, names: tuple[str, ...]
) -> None:
    assert signers_of(settings) == names
