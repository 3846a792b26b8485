"""Pure functions: what to sign, the next initialisation step, and the parsing of tables and keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.errors import TrustError
from farm.trust.notary.admin_keys import StoredKey
from farm.trust.notary.initialise import Collection, InitialisationStep, delegated_keys, next_step
from farm.trust.notary.keys import key_id, notary_block, private_block
from farm.trust.notary.sign_targets import unsigned
from farm.trust.notary.verify import SignedTargets, parse_list
from farm.trust.signer import Signature, SignTarget

GUN = "docker.io/linuxkit/foo"
A, B, C = "a" * 64, "b" * 64, "c" * 64
LISTING = f"""NAME  DIGEST      SIZE (BYTES)    ROLE
----  ------      ------------    ----
v1    {A}         528             targets/releases
v2    {B}         1048576         targets
v3    {C}         7               targets/alice
"""
DELEGATIONS = f"""
ROLE                PATHS             KEY IDS    THRESHOLD
----                -----             -------    ---------
targets/bob         a                 {A}    1
                    b
targets/releases    "" <all paths>    {B}    1
                                      {C}

"""
PUBLIC = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEb3m+qz3p4gwcy4wRhF0TG7InF6gq
hwW4mDDc9y+YwSXRgsNa6xqLjI9hzrIFtjCLXeLZnv0uUnQ5jSutbFYbCg==
-----END PUBLIC KEY-----
"""


def keys(*ids: str) -> list[StoredKey]:
    return [StoredKey(item, "targets", GUN, Path(f"{item}.key")) for item in ids]


def known(*, targets: str = A, snapshot: str = B, delegated: str = C) -> Collection:
    return Collection((A,), frozenset({targets}), frozenset({snapshot}), frozenset({delegated}))


def test_only_the_roles_that_docker_trusts_count_in_a_listing() -> None:
    assert parse_list(LISTING, ("targets/releases", "targets")) == {
        "v1": Signature(f"sha256:{A}", 528),
        "v2": Signature(f"sha256:{B}", 1048576),
    }
    assert parse_list("\r\nNo targets present in this repository.\r\n", ("targets",)) == {}


def test_only_what_differs_is_signed() -> None:
    before = SignedTargets({tag: Signature(f"sha256:{A}", 7) for tag in ("same", "digest", "size")})
    same = SignTarget(GUN, "same", f"sha256:{A}", 7)
    differ = [same._replace(tag="digest", digest=f"sha256:{B}"), same._replace(tag="size", size=8)]
    differ.append(same._replace(tag="new"))
    assert unsigned([same, *differ], before) == differ


def test_each_delegation_has_its_own_keys() -> None:
    assert delegated_keys(DELEGATIONS, "targets/releases") == {B, C}
    assert delegated_keys(DELEGATIONS, "targets/bob") == {A}
    assert delegated_keys("\nNo delegations present in this repository.\n", "targets/bob") == set()


@pytest.mark.parametrize(
    ("collection", "stored", "step"),
    [
        (None, [], InitialisationStep.CREATE),
        (None, keys(A), InitialisationStep.CREATE),
        (known(), keys(A, B), InitialisationStep.ROTATE),
        (known(delegated=B), keys(A), InitialisationStep.DELEGATE),
        (known(), keys(A), None),
    ],
)
def test_the_next_step_is_what_is_still_missing(
    collection: Collection | None, stored: list[StoredKey], step: InitialisationStep | None
) -> None:
    assert next_step(GUN, collection, stored, C) == step


def test_a_gun_with_other_keys_is_refused_and_the_missing_key_named() -> None:
    with pytest.raises(TrustError, match="targets key aaaaaaa"):
        next_step(GUN, known(), keys(B), C)


def test_a_key_id_is_the_one_that_notary_computes() -> None:
    assert key_id(PUBLIC) == "767389b22aa51d5299158e71f356e47df1f3e4b067c2b1987cce83acec010ba8"


@pytest.mark.parametrize("text", ["", "no key", PUBLIC.replace("KoZIzj0CAQ", "KoZIzj0CAA")])
def test_a_key_of_an_unknown_kind_is_refused(text: str) -> None:
    with pytest.raises(TrustError):
        key_id(text)


def test_headers_of_notary_and_docker_are_removed_and_added() -> None:
    plain = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    marked = notary_block(plain, "targets/releases")
    assert "\nrole: targets/releases\n\nAAAA" in marked
    assert private_block(f"a comment\n{marked}") == plain
    assert private_block(PUBLIC) is None


def test_the_headers_of_a_traditionally_encrypted_key_are_kept() -> None:
    old = (
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n"
        "-----END EC PRIVATE KEY-----\n"
    )
    assert private_block(old) == old
